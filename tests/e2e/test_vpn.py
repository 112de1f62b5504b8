"""VPN Routing from the phone: a real engine, a real tunnel, and packets that tell which way they came."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.vpn import CONFIG, PLAIN, TUNNEL, VpnServer, install_docker, listening
from tests.phone import Phone


@pytest.fixture(scope="module")
def with_docker(with_bellpull: Image) -> Iterator[Image]:
    with Box(with_bellpull) as box:
        install_docker(box)
        box.power_off()
        yield Image((box.upper, *with_bellpull.layers))


@pytest.fixture
async def server(with_docker: Image) -> AsyncIterator[VpnServer]:
    with Box(with_docker) as box:
        server = VpnServer(box, await box.lan.run(listening(box)))
        try:
            server.internet.tunnel_up()
            server.configure(CONFIG)
            print(box.run(["bellpull", "vpn", "setup", "vpn"]).stdout)
            server.start()
            yield server
        finally:
            await server.close()


async def test_a_tap_sends_the_container_through_the_tunnel_and_back(server: VpnServer) -> None:
    phone = await server.phone()
    tile = await phone.tile("VPN Routing")
    b=server.box
    for c in (["docker","ps","-a"],["docker","exec","seedbox","/bin/busybox","ip","route"],["docker","exec","seedbox","/bin/busybox","ip","addr"],["docker","exec","seedbox","/bin/busybox","sh","-c","echo ? | /bin/busybox nc -u -w 1 198.51.100.1 5000"],["ip","route"],["sysctl","net.ipv4.ip_forward"],["iptables","-t","nat","-S"],["bellpull","vpn","status","vpn"]):
        d=b.run(c,check=False); print(c,d.stdout,d.stderr, d.returncode)
    print(server.internet.heard)
    assert server.ask() == PLAIN
    assert (await tile.turn(True)).status == 0
    assert server.ask() == TUNNEL
    assert (await tile.turn(False)).status == 0
    assert server.ask() == PLAIN
