"""A place for kept wishes that forgets them with the test."""


class FakeWishes:
    def __init__(self, **there: bool | None) -> None:
        self.there = there

    def read(self, key: str) -> bool | None:
        return self.there.get(key)

    def write(self, key: str, on: bool | None) -> None:
        self.there[key] = on
