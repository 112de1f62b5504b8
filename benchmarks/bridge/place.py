"""The server that is measured: a fresh Debian, Bellpull installed by make, and tiles of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.box import Box, Image
from tests.e2e.box.debian import debian
from tests.e2e.install import clean_copy, install
from tests.e2e.server import CODE, PORT, Server

TILES = 20
HELPER = "/opt/bellpull/libexec/bellpull-helper"
SYSTEMCTL = "/usr/bin/systemctl"
PYTHON = "/usr/bin/python3"


def unit(number: int) -> str:
    return f"bench@{number:02}.service"


# systemd lets nobody start a unit more than five times in ten seconds, and forgets a stopped
# one, and when that was, unless another unit names it.
OFTEN = "[Unit]\nStartLimitIntervalSec=0\n"
NAMING = f"[Unit]\nAfter={' '.join(unit(number) for number in range(TILES))} bench-daemon.service\n"
ONCE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/true\n"
DAEMON = "[Service]\nExecStart=/usr/bin/sleep infinity\n"

TILE = "  tile_{0:02}: {{kind: services, name: Tile {0:02}, units: [{1}]}}\n"
CONFIG = "".join(
    [
        f"bridge: {{address: {Box.address}, port: {PORT}, setup_code: {CODE}}}\n",
        "accessories:\n",
        *(TILE.format(number, unit(number)) for number in range(TILES - 1)),
        "  daemon: {kind: services, name: Daemon, units: [bench-daemon]}\n",
    ]
)
SUDOERS = (
    f"bellpull ALL=(root) NOPASSWD: {SYSTEMCTL} start bench-outside.service\n"
    f"bellpull ALL=(root) NOPASSWD: {PYTHON} -I -c pass\n"
)


@contextmanager
def installed() -> Iterator[Box]:
    with tempfile.TemporaryDirectory() as folder:
        checkout = clean_copy(Path(folder))
        with Box(Image((debian(),)), binds={checkout: "/src/bellpull"}) as box:
            install(box, "/src/bellpull")
            yield box


def started(box: Box) -> Server:
    """The bridge with its tiles, running."""
    server = Server(box)
    server.unit("bench@", OFTEN + ONCE)
    server.unit("bench-outside", OFTEN + ONCE)
    server.unit("bench-daemon", OFTEN + DAEMON)
    server.unit("bench-naming", NAMING + ONCE)
    box.run(["systemctl", "start", "bench-naming"])
    box.write("/etc/sudoers.d/bench", SUDOERS, 0o440)
    server.configure(CONFIG)
    server.start()
    return server
