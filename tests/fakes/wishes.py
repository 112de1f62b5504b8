"""A place for kept wishes that forgets them with the test."""


class FakeWishes:
    def __init__(self, **there: bool | None) -> None:
        self.there = there

    def read(self, key: str, at_first: bool | None = None) -> bool | None:
        found = self.there.get(key)
        return at_first if found is None else found

    def write(self, key: str, on: bool | None) -> None:
        self.there[key] = on
