"""What `apply` tells bellpull-scans.service: which folders are its own, and what to do in them.

The service cannot read the configuration, and has no folder to write to before root names one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bridge.contract import ScansGrant
from bridge.rootfile import RootFile

SETTINGS = Path("/etc/bellpull/scans.json")
DROP_IN = Path("/etc/systemd/system/bellpull-scans.service.d/folders.conf")
HOMES = ("/home", "/root", "/run/user")
AGAIN = "Restart=on-failure\nRestartSec=30\n"


class ScansError(Exception):
    """A line for a person."""


@dataclass(frozen=True, slots=True)
class ScansFiles:
    """Where they lie."""

    settings: Path = SETTINGS
    drop_in: Path = DROP_IN

    def wanted(self, grants: Iterable[ScansGrant]) -> list[RootFile]:
        """What should lie there; nothing without a grant. ScansError for two: there is one service."""
        grants = list(grants)
        if len(grants) > 1:
            keys = " and ".join(grant.key for grant in grants)
            raise ScansError(f"{keys} both want {grants[0].unit}; one server has one inbox of scans")
        return [
            file
            for grant in grants
            for file in (
                RootFile(self.settings, grant.settings + "\n", 0o644),
                RootFile(self.drop_in, drop_in(grant), 0o644),
            )
        ]

    def stale(self, wanted: list[RootFile]) -> list[Path]:
        """What lies there and should not."""
        paths = {file.path for file in wanted}
        return [path for path in (self.settings, self.drop_in) if path not in paths and os.path.lexists(path)]


def drop_in(grant: ScansGrant) -> str:
    """systemd.exec(5), "ReadWritePaths=" and "BindPaths="; systemd.syntax(7), "Quoting"."""
    outer = [folder for folder in grant.folders if not _inside(folder, grant.folders)]
    lines = ["# Written by `bellpull apply`.", "[Unit]"]
    lines += [f"RequiresMountsFor={_quoted(folder)}" for folder in outer]
    lines += ["[Service]"]
    # What ProtectHome= hides can only be bound into view; all else is made writable in its place.
    for folder in outer:
        hidden = any(Path(folder).is_relative_to(home) for home in HOMES)
        lines.append(f"{'BindPaths' if hidden else 'ReadWritePaths'}={_quoted(folder)}")
    return "\n".join(lines) + "\n" + (AGAIN if grant.lasts else "")


def _inside(folder: str, others: Iterable[str]) -> bool:
    return any(folder != other and Path(folder).is_relative_to(other) for other in others)


def _quoted(path: str) -> str:
    """A path is one word: quotes and backslashes escaped, and % no specifier."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
