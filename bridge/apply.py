"""`sudo bellpull apply`: makes what the configuration asks of root the law, after a hard look.

Root believes the configuration from then on, so nobody else may have a hand in it: not in the
file, not in this program, not in the commands it names, not in a folder above any of them.
"""

import grp
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import accessories
import bridge
from bridge import sudoers
from bridge.contract import CommandGrant, Grant, ScansGrant
from bridge.helper import trust
from bridge.policy import POLICY, Policy, PolicyError, compile_policy, describe, read_policy
from bridge.rootfile import RootFile
from bridge.scansunit import ScansError, ScansFiles

LARGEST = 1 << 20
SHELLS = ("ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "rbash", "sh", "tcsh", "zsh")
INLINE = {"node": "e", "nodejs": "e", "perl": "eE", "php": "r", "python": "c", "ruby": "e"} | dict.fromkeys(
    SHELLS, "c"
)
"""Program, without its version -> the letters of the options that hand it a text to run."""

Load = Callable[[str], Iterable[Grant]]
"""The text of a configuration -> what its accessories need of root (built-in kinds only)."""


class ApplyError(Exception):
    """Nothing was changed; a line for a person in each of the arguments."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did, a line each; nothing changed if `changed` is empty."""

    changed: list[str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Places:
    """Where root keeps the law, and whose group may read it."""

    group: str = sudoers.USER
    policy: Path = POLICY
    sudoers: Path = sudoers.SUDOERS
    scans: ScansFiles = field(default_factory=ScansFiles)


def apply(config: Path, load: Load, places: Places = Places()) -> Applied:
    """Compile the policy and the sudoers lines from `config`; ApplyError, or what `load` raises."""
    if os.geteuid() != 0:
        raise ApplyError("apply writes what root allows, so it needs root: sudo bellpull apply")
    gid = _group(places.group)
    inspect_installation()
    _inspect_folders(places)
    grants = list(load(read_config(config)))
    if problems := list(_commands(grants, _untrusted)):
        raise ApplyError(*problems)
    try:
        policy = compile_policy(grants)
        scans = places.scans.wanted(grant for grant in grants if isinstance(grant, ScansGrant))
        changed = _write(policy, places, gid) + _tell_scans(places.scans, scans)
        return Applied(changed, [*_commands(grants, _doubtful), *sudoers.doubts(policy)])
    except (PolicyError, ScansError, sudoers.SudoersError) as error:
        raise ApplyError(*error.args) from None


def read_config(path: Path) -> str:
    """The text of the configuration, read from one descriptor that was judged; ApplyError."""
    try:
        descriptor = trust.open_file(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    except trust.Untrusted as error:
        raise ApplyError(f"{error}; root believes no configuration that others can change") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ApplyError(f"{path}: larger than {LARGEST} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ApplyError(f"{path}: not UTF-8 text: byte {error.start}") from None


def inspect_installation() -> None:
    """ApplyError unless only root can change this program: interpreter, libraries, packages."""
    own = [*bridge.__path__, *accessories.__path__]
    trees = [sys.prefix, *own] if sys.prefix != sys.base_prefix else own
    try:
        trust.inspect_loaded()
        for tree in trees:
            _inspect_tree(tree)
    except trust.Untrusted as error:
        raise ApplyError(f"this installation is not root's alone: {error}; run: sudo make install") from None


def _inspect_tree(top: str) -> None:
    seen: trust.Seen = {}
    trust.inspect(top, seen)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            trust.inspect(f"{folder}/{name}", seen)


def _inspect_folders(places: Places) -> None:
    try:
        for path in (places.policy, places.sudoers):
            trust.inspect(str(path.parent))
    except trust.Untrusted as error:
        raise ApplyError(str(error)) from None


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ApplyError(f"there is no group {name}; run: sudo make install") from None


def _commands(grants: Iterable[Grant], judge: Callable[[tuple[str, ...]], str]) -> Iterator[str]:
    """What `judge` says of each command, with its place in the configuration."""
    for grant in grants:
        if isinstance(grant, CommandGrant):
            for which, argv in (("on", grant.on), ("off", grant.off)):
                if argv and (said := judge(argv)):
                    yield f"accessories.{grant.key}.{which}: {said}"


def _untrusted(argv: tuple[str, ...]) -> str:
    if not argv[0].startswith("/"):
        return f"{argv[0]!r} is looked for in several folders; write the program's whole path"
    try:
        trust.inspect_command(argv)
    except trust.Untrusted as error:
        return f"{error}; root runs nothing that others can change"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _doubtful(argv: tuple[str, ...]) -> str:
    names = {_plain(argv[0]), _plain(os.path.realpath(argv[0]))}
    if "env" in names:
        return "runs env as root, which looks for a program in several folders; write that one's whole path"
    letters = {letter for name in names for letter in INLINE.get(name, "")}
    for word in argv[1:]:
        if word.startswith("-") and not word.startswith("--") and letters & set(word):
            return f"runs {_plain(argv[0])} {word} as root; a script of root's own is easier to keep safe"
    return ""


def _plain(program: str) -> str:
    """Its name without a version: python3.11 is python."""
    return Path(program).name.rstrip("0123456789.-")


def _write(policy: Policy, places: Places, gid: int) -> list[str]:
    """Bring both files up to date, or neither; what changed."""
    text = json.dumps(policy, indent=1, ensure_ascii=False) + "\n"
    law = [
        RootFile(places.policy, text, 0o640, gid),
        RootFile(places.sudoers, sudoers.render(policy), 0o440),
    ]
    stale = [file for file in law if not file.is_there()]
    if not stale:
        return []
    changed = _difference(places.policy, policy)
    with ExitStack() as stack:
        staged = [(file, stack.enter_context(file.staged())) for file in stale]
        for file, draft in staged:
            if file.path == places.sudoers:
                sudoers.check(draft)
        for file, draft in staged:
            file.publish(draft)
    return changed + [f"written: {file.path}" for file in stale]


def _tell_scans(files: ScansFiles, wanted: list[RootFile]) -> list[str]:
    """Bring the service's two files up to date, and systemd's memory of them; what changed."""
    changed = []
    for file in wanted:
        if not file.is_there():
            file.path.parent.mkdir(mode=0o755, exist_ok=True)
            with file.staged() as draft:
                file.publish(draft)
            changed.append(f"written: {file.path}")
    for path in files.stale(wanted):
        path.unlink()
        changed.append(f"removed: {path}")
    if changed and Path("/run/systemd/system").is_dir():
        subprocess.run(["/usr/bin/systemctl", "daemon-reload"], check=False)
    return changed


def _difference(path: Path, policy: Policy) -> list[str]:
    try:
        before = read_policy(path)
    except PolicyError:
        before = None
    old, new = describe(before) if before else [], describe(policy)
    gone = [f"- {line}" for line in old if line not in new]
    return gone + [f"+ {line}" for line in new if line not in old]
