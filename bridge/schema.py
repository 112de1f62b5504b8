"""YAML nodes to frozen dataclasses, by their annotations, with every problem at its place.

Values are read by the type that is expected, never guessed from their look: `on` is a
key, `12:30` is text, and `yes` is no boolean. Field types: str, bool, int, Literal,
tuple[X, ...], X | None, another dataclass, and Annotated[X, From(reader)] for everything else.
"""

import dataclasses
import difflib
import re
import shlex
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from bridge.printable import printable

Node = yaml.nodes.Node
Pairs = dict[str, tuple[Node, Node]]
T = TypeVar("T")  # a dataclass

UNITS = {  # of durations, longer words first
    **dict.fromkeys(("ms",), 0.001),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60),
    **dict.fromkeys(("hours", "hour", "h"), 3600),
    **dict.fromkeys(("days", "day", "d"), 86400),
}


class Wrong(Exception):
    """A value that cannot be taken: "what is wrong; what to write"."""

    def __init__(self, text: str, node: Node | None = None) -> None:
        super().__init__(text)
        self.node = node


@dataclass(frozen=True)
class From:
    """In Annotated: how to read the value from its node; raises Wrong."""

    read: Callable[[Node], Any]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong; line and column count from 1."""

    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.path + ': ' if self.path else ''}{self.text}"


@dataclass
class Problems:
    """Collects what is wrong, so that a person hears everything at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, node: Node, path: str, text: str) -> None:
        mark = node.start_mark
        self.found.append(Problem(mark.line + 1, mark.column + 1, printable(path), printable(text)))


def _tree(text: str) -> Node | None:
    """The root node, by libyaml, which is seven times as fast, or else by who explains mistakes better."""
    if yaml.__with_libyaml__:
        try:
            return yaml.compose(text, Loader=quick())
        except (yaml.YAMLError, UnicodeError):
            pass
    return yaml.compose(text, Loader=yaml.SafeLoader)


@cache
def quick() -> Any:
    """libyaml's parser with PyYAML's composer: its own ends the process when brackets nest too deeply."""
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Quick(Composer, CParser, Resolver):
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            Resolver.__init__(self)

    return Quick


def compose(text: str, problems: Problems) -> Node | None:
    """The YAML document's root node; None when there is none or it cannot be parsed."""
    try:
        return _tree(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
        if error.context_mark and error.context_mark.line + 1 != line:
            said += f" (it began in line {error.context_mark.line + 1})"
        problems.found.append(
            Problem(line, column, "", f"not valid YAML: {said}; indent with spaces, quote odd text")
        )
    except yaml.reader.ReaderError as error:
        before = (text[: error.position] + ".").splitlines()
        problems.found.append(
            Problem(
                len(before),
                len(before[-1]),
                "",
                f"a character that cannot be written in YAML, U+{error.character:04X}; remove it",
            )
        )
    except RecursionError:
        problems.found.append(Problem(1, 1, "", "nested too deeply to be read; remove some brackets"))
    return None


def pairs(node: Node, path: str, problems: Problems) -> Pairs:
    """A mapping's keys -> (key node, value node), duplicates reported and left out."""
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, path, f"{_what(node)} where `key: value` lines are expected")
        return {}
    found: Pairs = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.add(key, path, "a key must be plain text")
        elif key.value in found:
            first = found[key.value][0].start_mark.line + 1
            problems.add(
                key, join(path, key.value), f"given twice; it stands in line {first} already, remove one"
            )
        else:
            found[key.value] = (key, value)
    return found


def inside(node: Node, name: str) -> Node:
    """The value of a key in a mapping; the mapping itself where it has none."""
    found = [value for key, value in getattr(node, "value", ()) if key.value == name]
    return found[0] if found else node


def only(known: Iterable[str], given: Pairs, path: str, problems: Problems) -> None:
    """Report the keys that nobody reads, each with the nearest known one."""
    for name, (key, _) in given.items():
        if name not in known:
            problems.add(key, join(path, name), unknown(name, known))


def read(cls: type[T], given: Pairs, node: Node, path: str, problems: Problems) -> T | None:
    """A dataclass from a mapping's pairs, taking its own fields only; None when one is wrong."""
    before = len(problems.found)
    found = values(cls, given, node, path, problems)
    return None if len(problems.found) > before else cls(**found)


def values(cls: type[T], given: Pairs, node: Node, path: str, problems: Problems) -> dict[str, Any]:
    """Those fields of a dataclass that a mapping gives rightly."""
    found: dict[str, Any] = {}
    known = hints(cls)  # type: ignore[arg-type]
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if item.name in given:
            value_node = given[item.name][1]
            if section := _section(known[item.name]):
                found[item.name] = _read_section(section, value_node, join(path, item.name), problems)
                continue
            try:
                found[item.name] = value(known[item.name], value_node)
            except Wrong as wrong:
                problems.add(wrong.node or value_node, join(path, item.name), str(wrong))
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            problems.add(node, join(path, item.name), f"missing; write `{item.name}: …`")
    return found


def _section(kind: Any) -> Any:
    """The dataclass that a field of this type holds, if it does: `X` or `X | None`."""
    arguments = (
        typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    )
    return next((one for one in arguments if isinstance(one, type) and dataclasses.is_dataclass(one)), None)


def _read_section(cls: Any, node: Node, path: str, problems: Problems) -> Any:
    given = pairs(node, path, problems)
    if not isinstance(node, yaml.MappingNode):
        return None
    only(hints(cls), given, path, problems)
    return read(cls, given, node, path, problems)


@cache
def hints(cls: Any) -> dict[str, Any]:
    """Field name -> annotation."""
    known = typing.get_type_hints(cls, include_extras=True)
    return {item.name: known[item.name] for item in dataclasses.fields(cls)}


def value(kind: Any, node: Node) -> Any:
    """One value of an annotated type from its node; raises Wrong."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        reader = next((item.read for item in arguments[1:] if isinstance(item, From)), None)
        return reader(node) if reader else value(arguments[0], node)
    if origin in (types.UnionType, typing.Union):
        return value(next(item for item in arguments if item is not type(None)), node)
    if origin is Literal:
        return _literal(arguments, node)
    if origin is tuple:
        return tuple(value(arguments[0], item) for item in _items(node))
    return {str: text, bool: boolean, int: integer}[kind](node)


def text(node: Node) -> str:
    """Any scalar that is not empty, as it is written."""
    if not isinstance(node, yaml.ScalarNode):
        raise Wrong(f"{_what(node)} where text is expected")
    if not node.value.strip():
        raise Wrong("empty; write a value")
    return str(node.value)


def boolean(node: Node) -> bool:
    """YAML 1.2: true or false and nothing else."""
    if isinstance(node, yaml.ScalarNode) and node.value in ("true", "false"):
        return bool(node.value == "true")
    raise Wrong(f"{_what(node)} is neither true nor false; write true or false")


def integer(node: Node) -> int:
    if isinstance(node, yaml.ScalarNode) and re.fullmatch(r"[+-]?\d{1,18}", node.value, re.ASCII):
        return int(node.value)
    raise Wrong(f"{_what(node)} is not a whole number; write one, such as 80")


def duration(node: Node) -> float:
    """Seconds, from "90", "1.5s", "500ms", "2m", "1h 30m"; more than zero."""
    return seconds(text(node).strip())


def seconds(written: str) -> float:
    """The seconds of a duration; raises Wrong."""
    number = r"(\d+(?:\.\d+)?)"
    if re.fullmatch(number, written, re.ASCII):
        found = float(written)
    elif re.fullmatch(rf"({number}\s*({'|'.join(UNITS)})\s*)+", written, re.ASCII):
        parts = re.findall(rf"{number}\s*({'|'.join(UNITS)})", written)
        found = sum(float(count) * UNITS[unit] for count, unit in parts)
    else:
        raise Wrong(f"{written!r} is not a duration; write it like 30s, 5m or 1.5 (seconds)")
    if not 0 < found <= 31 * 86400:
        raise Wrong(f"{written!r} is not a usable duration; write more than 0 and at most 31d")
    return found


def argv(node: Node) -> tuple[str, ...]:
    """A program and its arguments: a list, or one text split as a shell would, without a shell."""
    if isinstance(node, yaml.SequenceNode):
        words = tuple(_argument(item) for item in node.value)
    else:
        try:
            words = tuple(shlex.split(text(node)))
        except ValueError as error:
            raise Wrong(
                f"cannot be split into arguments ({error}); write a list: [program, argument]"
            ) from None
    if not words or not words[0]:
        raise Wrong("no program; write a list: [program, argument]")
    if any("\0" in word for word in words):
        raise Wrong("a NUL character in an argument; remove it")
    return words


def _argument(node: Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise Wrong(f"{_what(node)} where one argument is expected; quote it to make it text", node)
    return str(node.value)


Duration = Annotated[float, From(duration)]
Argv = Annotated[tuple[str, ...], From(argv)]


def _literal(allowed: tuple[str, ...], node: Node) -> str:
    written = text(node)
    if written in allowed:
        return written
    choice = " or ".join(allowed)
    raise Wrong(f"{written!r} is not known here; write {choice}")


def _items(node: Node) -> list[Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise Wrong(f"{_what(node)} where a list is expected; write [{_sample(node)}]")
    if not node.value:
        raise Wrong("an empty list; write at least one item")
    return list(node.value)


def _sample(node: Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) and node.value else "…"


def _what(node: Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def unknown(name: str, known: Iterable[str], *, what: str = "key") -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown {what}; did you mean {near[0]!r}?"
    return f"unknown {what}; known here: {', '.join(sorted(known))}"


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
