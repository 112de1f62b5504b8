"""Boxes for tests: `box` is a fresh Debian, `installed` the same with Bellpull on it.

Each test has a box of its own, switched on for it: nothing it breaks is another's.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.box.debian import debian
from tests.e2e.box.leftovers import cgroups
from tests.e2e.engine import newer_engine
from tests.e2e.install import clean_copy, install
from tests.e2e.server import CONFIG, Server
from tests.phone import Phone


def why_not() -> str:
    """Why this machine, as we are, cannot have boxes; empty when it can."""
    if os.geteuid() != 0:
        return "a server in a box needs root: sudo make test-all"
    if missing := [name for name in ("mmdebstrap", "unshare", "nsenter", "ip") if not shutil.which(name)]:
        return f"a server in a box needs {', '.join(missing)}: sudo make test-all"
    try:
        cgroups()
    except FileNotFoundError as error:
        return str(error)
    spaces = ["unshare", "--mount", "--pid", "--fork", "--net", "--cgroup", "--uts", "--ipc", "true"]
    tried = subprocess.run(spaces, capture_output=True, text=True, timeout=10)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture(scope="session")
def fresh() -> Image:
    """The fresh Debian to boot from; skips, loudly, where there cannot be one."""
    if reason := why_not():
        pytest.skip(reason)
    return Image((debian(),))


@pytest.fixture(scope="session")
def with_bellpull(fresh: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The fresh Debian after `make install`, done once: a layer that every box may lie on."""
    checkout = clean_copy(tmp_path_factory.mktemp("checkout"))
    with Box(fresh, binds={checkout: "/src/bellpull"}) as box:
        install(box, "/src/bellpull")
        box.power_off()
        box.lan.close()  # a thread less: some tests send their own process signals
        yield Image((box.upper, *fresh.layers))


@pytest.fixture(scope="session")
def with_newer_engine(fresh: Image, with_bellpull: Image) -> Iterator[Image]:
    """The same with Docker's engine 28, and its compose."""
    with Box(fresh) as box:
        layer = newer_engine(box)
        box.power_off()
        box.lan.close()
        yield Image((layer, *with_bellpull.layers))


@pytest.fixture
def box(fresh: Image) -> Iterator[Box]:
    """A server of this test's own, without Bellpull."""
    with Box(fresh) as box:
        yield box


@pytest.fixture
def installed(with_bellpull: Image) -> Iterator[Box]:
    """A server of this test's own on which Bellpull was just installed, and does not run yet."""
    with Box(with_bellpull) as box:
        yield box


@pytest.fixture
async def server(installed: Box) -> AsyncIterator[Server]:
    """The same, configured with the tiles of tests/e2e/server.py and running."""
    server = Server(installed)
    server.configure(CONFIG)
    server.start()
    yield server
    await server.close()


@pytest.fixture
async def phone(server: Server) -> Phone:
    """A phone that is paired with `server`."""
    return await server.phone()
