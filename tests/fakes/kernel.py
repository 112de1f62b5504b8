"""`ip` for the router's tests: rules, addresses and routes of a machine and of its containers."""

import json
from typing import Any

from bridge.helper.answer import Refusal

Seen = dict[str, Any]


class FakeKernel:
    """Stands in for the module `bridge.helper.kernel`; what is changed is in `done`, oldest first.

    rules   (namespace, family) -> the rules of ours that are there, as written for `ip rule add`
    ways    (namespace, family) -> the interface that the next packet leaves by
    """

    def __init__(self) -> None:
        self.rules: dict[tuple[str, str], list[str]] = {}
        self.routes: dict[tuple[str, str], list[str]] = {}
        self.ways: dict[tuple[str, str], str] = {}
        self.links: list[Seen] = []
        self.inside: dict[str, list[Seen]] = {}
        self.done: list[str] = []
        self.refuses = ""

    def families(self) -> tuple[str, ...]:
        return ("6", "4")

    def ask(self, family: str, words: str, sandbox: str = "") -> str:
        if words.startswith("addr"):
            return json.dumps(self.inside.get(sandbox, []) if sandbox else self.links)
        if words.startswith("rule"):
            return json.dumps([_rule(rule) for rule in self.rules.get((sandbox, family), [])])
        if way := self.ways.get((sandbox, family)):
            return json.dumps([{"dev": way}])
        raise Refusal("failed", "Network is unreachable")

    def ask_all(self, words: str) -> dict[str, str]:
        return {family: self._everything(family) for family in self.families()}

    def change_all(self, lines: dict[str, list[str]]) -> None:
        if self.refuses:
            raise Refusal("failed", self.refuses)
        for family, there in lines.items():
            self.change(family, there)

    def change(self, family: str, lines: list[str], sandbox: str = "") -> None:
        rules = self.rules.setdefault((sandbox, family), [])
        for line in lines:
            self.done.append(f"{sandbox}{family}: {line}")
            word, rest = line.split(" ", 2)[1:] if line.startswith("rule") else ("", line)
            if word == "add":
                assert rest not in rules, "File exists"
                rules.append(rest)
            elif word == "del":
                (gone,) = [rule for rule in rules if rule == rest or rule.startswith(f"{rest} ")]
                rules.remove(gone)
            else:
                self.routes[sandbox, family] = [rest.removeprefix("route replace ")]

    def there(self, pref: int, family: str = "4", sandbox: str = "") -> list[str]:
        """The rules of one preference."""
        return [rule for rule in self.rules.get((sandbox, family), []) if rule.startswith(f"pref {pref} ")]

    def _everything(self, family: str) -> str:
        rules = [_rule(rule) for rule in self.rules.get(("", family), [])]
        routes = [_route(route) for route in self.routes.get(("", family), [])]
        family_links = [
            {
                **link,
                "addr_info": [one for one in link["addr_info"] if (":" in one["local"]) == (family == "6")],
            }
            for link in self.links
        ]
        return "\n".join(json.dumps(part) for part in (family_links, rules, [], routes)) + "\n"


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=False))


def _rule(text: str) -> Seen:
    said = _pairs(text)
    rule: Seen = {"priority": int(said["pref"]), "src": said.get("from", "all"), "protocol": said["protocol"]}
    if "to" in said:
        address, _, length = said["to"].partition("/")
        rule |= {"dst": address} | ({"dstlen": int(length)} if length else {})
    if "iif" in said:
        rule["iif"] = said["iif"]
    return rule | ({"table": said["lookup"]} if "lookup" in said else {})


def _route(text: str) -> Seen:
    said = _pairs(text.removeprefix("default "))
    return {"dst": "default", **said, "metric": int(said["metric"])}
