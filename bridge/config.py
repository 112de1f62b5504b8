"""The configuration file: what a person writes, checked as a whole before anything runs."""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from yaml.nodes import MappingNode

from bridge import headers, schema
from bridge import kind as kinds
from bridge.kind import Kind
from bridge.rules import MOST_ACCESSORIES, is_setup_code
from bridge.schema import Duration, From, Node, Pairs, Problem, Problems, Wrong
from bridge.watchdog.settings import Watch

LONGEST_NAME = 64  # characters
S = TypeVar("S", "Bridge", "Notify")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")


def homekit_name(node: Node) -> str:
    """Letters, digits, spaces and apostrophes, a letter or digit at both ends (HAP, "Name"); 64 at most."""
    name = unicodedata.normalize("NFC", schema.text(node).strip())
    if len(name) > LONGEST_NAME:
        raise Wrong(f"longer than {LONGEST_NAME} characters; shorten it")
    if not (name[0].isalnum() and _is_letter(name[-1])):
        raise Wrong(f"{name!r} does not begin and end with a letter or digit, as Apple demands; change it")
    odd = sorted({char for char in name if not (_is_letter(char) or char in " '")})
    if odd:
        raise Wrong(f"{name!r} has {' '.join(odd)!r}; Apple allows letters, digits, spaces and apostrophes")
    return name


def _is_letter(char: str) -> bool:
    """A letter, a digit, or a part of a letter, such as the vowels of Hindi and Thai."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def a_setup_code(node: Node) -> str:
    """XXX-XX-XXX, none of the codes the HomeKit specification forbids."""
    code = schema.text(node)
    if not is_setup_code(code):
        raise Wrong(f"{code!r} is not a setup code, or too easy a one; write eight digits like 031-45-154")
    return code


def a_port(node: Node) -> int:
    number = schema.integer(node)
    if not 1024 <= number <= 65535:
        raise Wrong(f"{number} cannot be used as a port; write one from 1024 to 65535")
    return number


def an_address(node: Node) -> str:
    written = schema.text(node)
    try:
        found = ipaddress.IPv4Address(written)
    except ValueError:
        found = ipaddress.IPv4Address("0.0.0.0")  # noqa: S104 - refused below
    if found.is_unspecified or found.is_multicast:
        raise Wrong(f"{written!r} is no IPv4 address of a machine; write this server's own, or leave it out")
    return str(found)


@dataclass(frozen=True)
class Bridge:
    """`bridge:`, how the bridge shows itself on the network.

    The readers have names of their own: a class body holds a field's default already when it
    evaluates the field's annotation.
    """

    name: Annotated[str, From(homekit_name)] = "Bellpull"
    address: Annotated[str | None, From(an_address)] = None
    port: Annotated[int, From(a_port)] = 21100
    setup_code: Annotated[str | None, From(a_setup_code)] = None


def a_url(node: Node) -> str:
    """Where notices go. It may hold a secret, so nothing quotes it."""
    written = schema.text(node)
    try:
        parts = urlsplit(written)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise Wrong("not a URL; write one like https://ntfy.sh/TOPIC") from None
    if not (written.isascii() and written.isprintable() and " " not in written and port_is_right):
        raise Wrong("not a URL; write one like https://ntfy.sh/TOPIC, other characters as %XX")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Wrong("not a URL of the web; write one like https://ntfy.sh/TOPIC")
    if parts.username is not None:
        raise Wrong("a password in the URL; write `headers_file:` and Authorization: Basic … into that file")
    return written


def a_headers_file(node: Node) -> str:
    path = schema.text(node)
    if wrong := headers.problem(path):
        raise Wrong(wrong)
    return path


@dataclass(frozen=True)
class Notify:
    """`notify:`, whom to tell beside HomeKit."""

    url: Annotated[str, From(a_url)]
    headers_file: Annotated[str | None, From(a_headers_file)] = None


@dataclass(frozen=True)
class Common:
    """What every accessory may say, whatever its kind."""

    name: Annotated[str | None, From(homekit_name)] = None
    action: Literal["switch", "restart"] = "switch"
    deadline: Duration | None = None
    bulk: Literal["obey", "ignore"] | None = None
    trouble: bool = False
    watchdog: Watch | None = None


@dataclass(frozen=True)
class Entry:
    """One accessory of the file. `kind` is None, and `broken` says why, when it cannot be opened."""

    key: str
    name: str
    kind: Kind | None
    kind_name: str
    action: str = "switch"
    deadline: float = kinds.DEADLINE
    ignores_bulk: bool = False
    sensors: tuple[str, ...] = ()
    watch: Watch | None = None
    broken: str = ""
    place: str = ""  # LINE:COLUMN of its key


@dataclass(frozen=True)
class Config:
    """The whole file; accessories in the order they are written."""

    bridge: Bridge
    accessories: tuple[Entry, ...]
    notify: Notify | None = None


class ConfigError(Exception):
    """The configuration cannot be used; the text holds one line a problem."""


def load(path: Path) -> tuple[Config | None, list[str]]:
    """As parse(), from a file; raises ConfigError when it cannot be read."""
    try:
        written = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; write one with `bellpull --config {path} init`"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    except PermissionError:
        raise ConfigError(f"{path}: not allowed to read it; join the group bellpull or use sudo") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(written, str(path))


def parse(written: str, file: str, *, builtin_only: bool = False) -> tuple[Config | None, list[str]]:
    """(configuration, problems as "FILE:LINE:COLUMN: path: what is wrong; what to write").

    An accessory with a problem is there with `broken`, so that the others can run; the
    configuration is None when the file as a whole makes no sense.
    """
    problems = Problems()
    config = _Parser(problems, builtin_only).config(written)
    return config, [f"{file}:{problem}" for problem in sorted(problems.found)]


class _Parser:
    def __init__(self, problems: Problems, builtin_only: bool) -> None:
        self.problems = problems
        self.builtin_only = builtin_only
        self.names: dict[str, str] = {}

    def config(self, written: str) -> Config | None:
        root = schema.compose(written, self.problems)
        if root is None:
            if not self.problems.found:
                self.problems.found.append(
                    Problem(1, 1, "", "the file is empty; write `accessories:` at least")
                )
            return None
        sections = schema.pairs(root, "", self.problems)
        schema.only({"bridge", "notify", "accessories"}, sections, "", self.problems)
        bridge: Bridge | None = Bridge()
        if "bridge" in sections:
            bridge = self.section(Bridge, sections, "bridge")
        notify = self.section(Notify, sections, "notify") if "notify" in sections else None
        if "accessories" not in sections:
            self.problems.add(
                root, "accessories", "missing; write at least one accessory below `accessories:`"
            )
            return None
        entries = self.entries(sections["accessories"][1])
        return Config(bridge, entries, notify) if bridge else None

    def section(self, cls: type[S], sections: Pairs, name: str) -> S | None:
        node = sections[name][1]
        given = schema.pairs(node, name, self.problems)
        schema.only(schema.hints(cls), given, name, self.problems)  # type: ignore[arg-type]
        return schema.read(cls, given, node, name, self.problems)

    def entries(self, node: Node) -> tuple[Entry, ...]:
        given = schema.pairs(node, "accessories", self.problems)
        if isinstance(node, MappingNode) and not node.value:
            self.problems.add(node, "accessories", "empty; write at least one accessory below `accessories:`")
        entries = tuple(self.entry(key, *nodes) for key, nodes in given.items() if self.usable(key, nodes[0]))
        beside = sum(len(entry.sensors) + bool(entry.watch and entry.watch.switch) for entry in entries)
        if len(entries) + beside > MOST_ACCESSORIES:
            count = f"{len(entries) + beside} accessories" + (
                f" with {beside} sensors and switches" if beside else ""
            )
            limit = f"HomeKit takes {MOST_ACCESSORIES} behind one bridge"
            self.problems.add(node, "accessories", f"{count}, but {limit}; move some to a second bridge")
        return entries

    def usable(self, key: str, node: Node) -> bool:
        """Whether a key can be an accessory's identity; who never had one has nothing to lose."""
        if KEY.fullmatch(key):
            return True
        text = "not a usable key; write letters, digits, - and _, 48 at most"
        self.problems.add(node, f"accessories.{key}", text)
        return False

    def entry(self, key: str, key_node: Node, node: Node) -> Entry:
        path = f"accessories.{key}"
        before = len(self.problems.found)
        given = schema.pairs(node, path, self.problems)
        kind_name, kind_class = self.kind(given, node, path)
        if kind_class is not None:
            known = {"kind", *schema.hints(Common), *schema.hints(kind_class)}
            schema.only(known, given, path, self.problems)
        common = Common(**schema.values(Common, given, node, path, self.problems))
        kind = schema.read(kind_class, given, node, path, self.problems) if kind_class else None
        if kind is not None:
            self.together(kind, common, given, node, path)
        name = common.name or _name_from(key)
        self.unique(name, key, given["name"][1] if "name" in given else key_node, path)
        sensors = (*(["trouble"] if common.trouble else []), *(kind.sensors() if kind else ()))
        for sensor in sensors:
            self.sensor(sensor, name, key, given[sensor][1] if sensor in given else key_node, path)
        if common.watchdog and common.watchdog.switch:
            self.sensor("watchdog", name, key, given["watchdog"][1], path)
        broken = "; ".join(problem.text for problem in self.problems.found[before:])
        return Entry(
            key=key,
            name=name,
            kind=None if broken else kind,
            kind_name=kind_name,
            action=common.action,
            deadline=common.deadline or (kind.deadline if kind else kinds.DEADLINE),
            ignores_bulk=(common.bulk or (kind_class or Kind).bulk) == "ignore",
            sensors=sensors,
            watch=common.watchdog,
            broken=broken,
            place=f"{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}",
        )

    def kind(self, given: Pairs, node: Node, path: str) -> tuple[str, type[Kind] | None]:
        """The entry's kind: its name, and its class unless it is unknown."""
        if "kind" not in given:
            if isinstance(node, MappingNode):
                choice = ", ".join(sorted(self.kinds()))
                self.problems.add(node, f"{path}.kind", f"missing; write `kind:` and one of {choice}")
            return "", None
        kind_node = given["kind"][1]
        try:
            name = schema.text(kind_node)
            known = kinds.names(builtin_only=True)
            if name not in known:
                known = self.kinds()
            if name not in known:
                raise Wrong(schema.unknown(name, known, what="kind"))
            return name, kinds.find(known[name])
        except Wrong as wrong:
            self.problems.add(kind_node, f"{path}.kind", str(wrong))
            return "", None

    def kinds(self) -> dict[str, str]:
        """Every kind there is, other packages' too; slow, so that it is asked only when ours do not do."""
        return kinds.names(builtin_only=self.builtin_only)

    def together(self, kind: Kind, common: Common, given: Pairs, node: Node, path: str) -> None:
        """What only shows when the fields are looked at together."""
        for field, text in kind.problems():
            self.problems.add(given[field][1] if field in given else node, f"{path}.{field}", text)
        if common.watchdog is not None:
            for field, text in common.watchdog.problems(kind, common.action):
                at = given["watchdog"][1]
                self.problems.add(schema.inside(at, field), f"{path}.watchdog.{field}", text)
        if common.action == "restart" and not kind.can_restart:
            self.problems.add(
                given["action"][1], f"{path}.action", "this kind cannot be restarted; remove the line"
            )

    def unique(self, name: str, key: str, node: Node, path: str) -> None:
        other = self.names.setdefault(name.casefold(), key)
        if other != key:
            self.problems.add(
                node, f"{path}.name", f"{name!r} is the name of {other!r} already; write another `name:`"
            )

    def sensor(self, sensor: str, name: str, key: str, node: Node, path: str) -> None:
        """A sensor's or switch's name is made from its accessory's, and under HomeKit's rules as well."""
        called = sensor_name(name, sensor)
        if len(called) > LONGEST_NAME:
            text = f"its sensor's name {called!r} is longer than {LONGEST_NAME} characters; shorten `name:`"
            self.problems.add(node, f"{path}.{sensor}", text)
        self.unique(called, f"{key}.{sensor}", node, path)


def sensor_name(name: str, sensor: str) -> str:
    """What Home calls the sensor "done" of "Process Scans": Process Scans Done."""
    return f"{name} {sensor.capitalize()}"


def _name_from(key: str) -> str:
    """A HomeKit name made from a key: file_server -> File Server."""
    return " ".join(word[:1].upper() + word[1:] for word in re.split("[-_]+", key) if word) or key
