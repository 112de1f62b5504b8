"""Where things lie: the installed places, or everything below one state folder."""

from dataclasses import dataclass
from pathlib import Path

CONFIG = Path("/etc/bellpull/config.yaml")
STATE = Path("/var/lib/bellpull")
RUN = Path("/run/bellpull")
HELPER = Path("/opt/bellpull/libexec/bellpull-helper")


@dataclass(frozen=True)
class Paths:
    """The files of one bridge."""

    config: Path = CONFIG
    state: Path = STATE

    @property
    def keys(self) -> Path:
        """Setup code, pairings and private keys; 0700 and nothing else lies in it."""
        return self.state / "keys"

    @property
    def secret(self) -> Path:
        """What the bridge's own user shows to the control socket to be believed."""
        return self.keys / "control.secret"

    @property
    def wishes(self) -> Path:
        """The wishes that are kept; root's units look whether a file is there."""
        return self.state / "wishes"

    @property
    def journal(self) -> Path:
        return self.state / "journal.db"

    @property
    def watchdog(self) -> Path:
        return self.state / "watchdog.json"

    @property
    def socket(self) -> Path:
        """Where the running bridge listens to the command line."""
        return (RUN if self.state == STATE else self.state) / "control.sock"
