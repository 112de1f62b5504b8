"""One laboratory for all; each test finds it with the tunnel up and no rule of ours."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.integration.routing.lab import Lab


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: sudo make test-all")
    if missing := [name for name in ("ip", "nft", "openvpn", "openssl") if not shutil.which(name)]:
        pytest.skip(f"routing is tried with {', '.join(missing)}: sudo make test-all")
    lab = Lab()
    try:
        lab.up()
        yield lab
    finally:
        lab.down()
        shutil.rmtree(lab.folder)


@pytest.fixture
def lab(laboratory: Lab) -> Lab:
    laboratory.tunnel_up()
    laboratory.helper("route-off")
    return laboratory
