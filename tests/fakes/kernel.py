"""The kernel for the router's tests: rules, addresses and routes of a machine and of its containers."""

from collections.abc import Mapping, Sequence

from bridge.helper.answer import Refusal
from bridge.helper.kernel import Link, Seen


class FakeKernel:
    """Stands in for the module `bridge.helper.kernel`; what is changed is in `done`, oldest first.

    rules   (namespace, family) -> the rules of ours that are there, as written for `ip rule add`
    ways    (namespace, family) -> the interface that the next packet leaves by
    """

    def __init__(self) -> None:
        self.rules_of: dict[tuple[str, str], list[str]] = {}
        self.routes: dict[tuple[str, str], list[str]] = {}
        self.ways: dict[tuple[str, str], str] = {}
        self.links_of: dict[str, list[Link]] = {}
        self.done: list[str] = []
        self.refuses = ""

    def families(self) -> tuple[str, ...]:
        return ("6", "4")

    def links(self, sandbox: str = "") -> list[Link]:
        return self.links_of.get(sandbox, [])

    def rules(self, family: str, sandbox: str = "") -> list[str]:
        return [*self.rules_of.get((sandbox, family), [])]

    def way(self, family: str, to: str, sandbox: str = "") -> str:
        return self.ways.get((sandbox, family), "")

    def look(self) -> dict[str, Seen]:
        return {
            family: Seen(self.links(), self.rules(family), [], [*self.routes.get(("", family), [])])
            for family in self.families()
        }

    def change(self, lines: Mapping[str, Sequence[str]], sandbox: str = "") -> None:
        if self.refuses:
            raise Refusal("failed", self.refuses)
        for family, there in lines.items():
            for line in there:
                self._do(family, line, sandbox)

    def there(self, pref: int, family: str = "4", sandbox: str = "") -> list[str]:
        """The rules of one preference."""
        return [rule for rule in self.rules(family, sandbox) if rule.startswith(f"pref {pref} ")]

    def _do(self, family: str, line: str, sandbox: str) -> None:
        self.done.append(f"{sandbox}{family}: {line}")
        rules = self.rules_of.setdefault((sandbox, family), [])
        what, word, rest = line.split(" ", 2)
        if what == "route":
            self.routes[sandbox, family] = [rest]
        elif word == "add":
            assert rest not in rules, "File exists"
            rules.append(rest)
        else:
            rules.remove(rest)
