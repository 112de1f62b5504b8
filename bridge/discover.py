"""`bellpull init`: a first configuration, written from what this machine has."""

import grp
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# systemd.unit(5), "System Unit Search Path"
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)

HEAD = """\
# Bellpull: what the Home app shows of this server. After a change:
#   bellpull check                      is it right?
#   sudo bellpull apply                 lets root do what it asks for
#   sudo systemctl restart bellpull
# Every kind with all its keys: config.example.yaml in the sources.

bridge:
  name: Bellpull
  # address: 192.168.1.10   # this server's own; left out, every real network is used
  # port: 21100

# The words before the colons ("file-server") are the accessories' identity: Home keeps rooms
# and automations by them. Change `name:` freely, but leave the keys as they are.
accessories:
"""


@dataclass(frozen=True)
class Suggestion:
    """A tile to suggest: of each choice the first unit that exists is taken.

    kind: what it is if it is not those services that make it up, with its lines.
    """

    key: str
    name: str
    choices: tuple[tuple[str, ...], ...]
    kind: str = ""


# Debian's name first, Fedora's next.
SUGGESTIONS = (
    Suggestion("file-server", "File Server", (("smbd", "smb"), ("nmbd", "nmb"), ("netatalk",))),
    Suggestion("web", "Web", (("apache2", "httpd", "nginx", "caddy", "lighttpd"),)),
    Suggestion("media", "Media", (("jellyfin", "plexmediaserver", "emby-server"),)),
    Suggestion("printing", "Printing", (("cups",),)),
    Suggestion(
        "vm-guests",
        "VM Guests",
        (("libvirtd", "virtqemud"),),
        "    kind: vm\n"
        "    name: VM Guests\n"
        "    domains: all           # or [web, mail], as `virsh list --all` shows them\n"
        "    shutdown: 2m           # how long guests may take to shut down\n",
    ),
)


def exists(unit: str, folders: Iterable[str] = UNIT_FOLDERS) -> bool:
    """Whether a service unit of this name is installed, and not masked."""
    files = (Path(folder) / f"{unit}.service" for folder in folders)
    return next((file.is_file() for file in files if file.exists()), False)


def draft(folders: Iterable[str] = UNIT_FOLDERS) -> str:
    """The text of a configuration; what was not found stands there as a comment."""
    folders = tuple(folders)
    found: list[str] = []
    others: list[str] = []
    for suggestion in SUGGESTIONS:
        there = [unit for choice in suggestion.choices for unit in choice if exists(unit, folders)]
        first = [next((unit for unit in choice if unit in there), "") for choice in suggestion.choices]
        units = [unit for unit in first if unit]
        if units:
            found.append(_tile(suggestion, units, [unit for unit in there if unit not in units]))
        else:
            others.append(_tile(suggestion, [choice[0] for choice in suggestion.choices], []))
    if not found:
        found.append(EXAMPLE)
    return HEAD + "".join(found) + "".join("\n" + _commented(tile) for tile in others)


EXAMPLE = """\
  example:
    kind: command
    name: Example
    on: [touch, /tmp/bellpull-example]
    off: [rm, -f, /tmp/bellpull-example]
    state: [test, -e, /tmp/bellpull-example]
    watch: [/tmp/bellpull-example]
"""


def _tile(suggestion: Suggestion, units: list[str], besides: list[str]) -> str:
    if suggestion.kind:
        return f"  {suggestion.key}:\n{suggestion.kind}"
    also = f"   # also on this machine: {', '.join(besides)}" if besides else ""
    return (
        f"  {suggestion.key}:\n    kind: services\n    name: {suggestion.name}\n"
        f"    units: [{', '.join(units)}]{also}\n"
    )


def _commented(tile: str) -> str:
    return "".join(f"  # {line[2:]}" for line in tile.splitlines(keepends=True))


def write(path: Path) -> None:
    """Write the draft to a new file; FileExistsError if there is one.

    0600, and where root writes it for an installed bridge 0640 for the bridge's group.
    """
    gid = _group() if os.geteuid() == 0 else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "x", encoding="utf-8", opener=_private) as file:
        file.write(draft())
        if gid is not None:
            os.fchown(file.fileno(), 0, gid)
            os.fchmod(file.fileno(), 0o640)


def _group() -> int | None:
    try:
        return grp.getgrnam("bellpull").gr_gid
    except KeyError:
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
