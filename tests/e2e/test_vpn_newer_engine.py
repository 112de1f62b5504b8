"""VPN Routing with the engine and the compose that most people run now, under a flood of both families."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.server import eventually
from tests.e2e.test_vpn import said
from tests.e2e.test_vpn_tunnels import WINS, comes_by
from tests.e2e.vpn import CONFIG, DNS, FLOOD, INTERNET, PLAIN, TUNNEL, TUNNEL6, VpnServer, prepared

COMPOSED = {
    "services": {
        "seedbox": {
            "container_name": "seedbox",
            "image": "tiny",
            "command": FLOOD,
            "dns": [DNS],
            "volumes": ["/usr:/usr:ro"],
            "restart": "unless-stopped",
        }
    }
}
TILES = f"""\
{CONFIG}\
  loose: {{kind: vpn_route, name: Loose, container: loose, interface: tun0, dns: unchecked}}
"""
UP = ["docker", "compose", "--file", "/srv/house/compose.yaml", "up", "--detach"]


@pytest.fixture(scope="module")
def shared(with_newer_engine: Image) -> Iterator[VpnServer]:
    with Box(with_newer_engine) as box, prepared(box, TILES) as server:
        box.run(["docker", "network", "create", "--ipv6", "--subnet", "fd99::/64", WINS])
        box.write("/srv/house/compose.yaml", json.dumps(COMPOSED))
        yield server


@pytest.fixture
async def server(shared: VpnServer) -> AsyncIterator[VpnServer]:
    """One server for all of these tests; each finds the tile on, and a container that floods."""
    internet = shared.internet
    shared.container(flood=True)
    shared.box.run(["bellpull", "vpn", "setup", "vpn"])
    internet.forget()
    shared.turn("vpn", True)
    # What was sent before has been counted when this has.
    await eventually(lambda: internet.heard[TUNNEL] > 0 and internet.heard[TUNNEL6] > 0)
    internet.forget()
    yield shared
    shared.turn("vpn", False)
    shared.box.run(["docker", "rm", "-f", "seedbox"], check=False)


def inside(server: VpnServer) -> dict[str, dict[str, object]]:
    """The container's networks, as the engine has them."""
    said = server.box.run(["docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", "seedbox"])
    networks: dict[str, dict[str, object]] = json.loads(said.stdout)
    return networks


async def test_the_tile_has_the_priority_and_is_not_moved_by_a_network_of_more(server: VpnServer) -> None:
    version = server.box.run(["docker", "version", "--format", "{{.Server.APIVersion}}"]).stdout
    assert tuple(map(int, version.split("."))) >= (1, 48)
    assert inside(server)["0-bellpull-vpn"]["GwPriority"] == 1
    await comes_by(server, TUNNEL, TUNNEL6)
    server.box.run(["docker", "network", "connect", "--gw-priority", "9", WINS, "seedbox"])
    await comes_by(server, TUNNEL, TUNNEL6)
    server.box.run(["docker", "restart", "--time", "0", "seedbox"])
    await comes_by(server, TUNNEL, TUNNEL6)


async def test_what_compose_makes_anew_is_routed_from_its_first_packet(server: VpnServer) -> None:
    server.box.run(["docker", "rm", "-f", "seedbox"])
    server.box.run(UP)
    for _ in range(3):
        await comes_by(server, TUNNEL, TUNNEL6)
        server.box.run([*UP, "--force-recreate", "--timeout", "0"])
    await comes_by(server, TUNNEL, TUNNEL6)
    assert set(inside(server)) == {"house_default", "0-bellpull-vpn"}
    assert server.tiles()["vpn"]["state"] == "on"
    server.box.run([*UP[:4], "down", "--timeout", "0"])


async def test_containers_that_outlive_the_engine_stay_routed(server: VpnServer) -> None:
    box = server.box
    box.run(["docker", "network", "connect", WINS, "seedbox"])
    settings = json.loads(box.read("/etc/docker/daemon.json"))
    box.write("/etc/docker/daemon.json", json.dumps({**settings, "live-restore": True}))
    box.run(["systemctl", "reload", "docker"])
    before = Counter(server.internet.heard)
    box.run(["systemctl", "restart", "docker"], timeout=60)
    await eventually(lambda: server.internet.heard[TUNNEL] > before[TUNNEL] + 500)
    await comes_by(server, TUNNEL, TUNNEL6)
    assert "0-bellpull-vpn" in inside(server)


async def test_a_published_port_answers_the_house_while_on(server: VpnServer) -> None:
    server.box.run(["docker", "rm", "-f", "seedbox"])
    answering = ["/bin/busybox", "sh", "-c", "while :; do echo here | busybox nc -l -p 7000; done"]
    server.make("seedbox", "--publish", "7000:7000", program=answering)
    await eventually(lambda: server.ask() == TUNNEL)
    assert await server.box.lan.run(_read(server.box.address, 7000)) == "here"


async def test_names_are_asked_for_past_the_rules_unless_a_container_has_servers_of_its_own(
    server: VpnServer,
) -> None:
    server.turn("vpn", False)
    server.container(dns="")
    server.box.run(["bellpull", "vpn", "setup", "vpn"])
    assert "seedbox has no DNS server of its own" in server.turn("vpn", True)
    server.box.write("/etc/resolv.conf", f"nameserver {INTERNET}\n")
    for dns, way in (("", PLAIN), (INTERNET, TUNNEL)):
        server.make("loose", dns=dns)
        server.box.run(["bellpull", "vpn", "setup", "loose"])
        assert server.turn("loose", True) == "loose is on\n"
        assert await _asked_for_names(server, "loose") == {way}
        assert "unchecked, as the configuration says" in said(server, "status", "loose")
        server.box.run(["docker", "rm", "-f", "loose"])
    server.turn("loose", False)


async def _read(host: str, port: int) -> str:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return (await reader.read()).decode().strip()
        finally:
            writer.close()


class Names(asyncio.DatagramProtocol):
    """A name server in the Internet, which answers nobody."""

    def __init__(self) -> None:
        self.asked_by: set[str] = set()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked_by.add(address[0])


async def _asked_for_names(server: VpnServer, name: str) -> set[str]:
    """From where the Internet is asked when a container looks a name up."""
    lan, names = server.box.lan, Names()

    async def listen() -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        return (await loop.create_datagram_endpoint(lambda: names, (INTERNET, 53)))[0]

    async def close() -> None:
        transport.close()

    transport = await lan.run(listen())
    try:
        words = ["/bin/busybox", "timeout", "2", "/bin/busybox", "nslookup", "bellpull.example"]
        looking = asyncio.to_thread(server.box.run, ["docker", "exec", name, *words], check=False)
        await asyncio.gather(looking, eventually(lambda: bool(names.asked_by)))
    finally:
        await lan.run(close())
    return names.asked_by
