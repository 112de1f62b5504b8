"""Phones find the bridge: on the networks of the house, wherever its address goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from bridge import doctor
from bridge.homekit import Companion, HomeKit, Settings, links
from tests.bridges import CODE
from tests.network import in_a_network, ip
from tests.wire import Wire

pytestmark = pytest.mark.root

HAP = "_hap._tcp.local."
HOME, FAR, MOVED = "10.31.9.1", "10.31.9.2", "10.31.9.77"


def house() -> None:
    """A LAN, a container network, a guest network, and a VPN."""
    ip("link add lan0 type veth peer name far0")
    for link, address in (("lan0", HOME), ("far0", FAR)):
        ip(f"address add {address}/24 dev {link}")
        ip(f"link set {link} up")
    for number, link in enumerate(("docker0", "br-4711", "virbr0")):
        ip(f"link add {link} type bridge")
        ip(f"address add 172.{17 + number}.0.1/16 dev {link}")
        ip(f"link set {link} up")
    ip("tuntap add tun0 mode tun")
    ip("address add 10.8.0.1/24 dev tun0")
    ip("link set tun0 up")


class Ears:
    """Everything that is said by mDNS on the LAN, as a phone there hears it."""

    def __init__(self, zeroconf: AsyncZeroconf) -> None:
        self.heard: list[tuple[ServiceStateChange, str]] = []
        self._zeroconf = zeroconf

    def hear(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        self.heard.append((state_change, name))

    async def until(self, what: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20):
            while not (found := what()):
                await asyncio.sleep(0.02)
            return found

    async def service(self, name: str = "") -> AsyncServiceInfo:
        """The bridge as it is advertised now."""
        await self.until(lambda: [n for change, n in self.heard if change is not ServiceStateChange.Removed])
        info = AsyncServiceInfo(HAP, self.heard[-1][1])
        assert await info.async_request(self._zeroconf.zeroconf, 3000)
        return info

    async def says(self, key: str, value: str) -> None:
        """Wait until the advertisement says so."""
        async with asyncio.timeout(20):
            while (said := (await self.service()).decoded_properties.get(key)) != value:
                await asyncio.sleep(0.05)
                assert said is not None


@asynccontextmanager
async def listening(address: str) -> AsyncIterator[Ears]:
    async with AsyncZeroconf(interfaces=[address]) as zeroconf:
        ears = Ears(zeroconf)
        browser = AsyncServiceBrowser(zeroconf.zeroconf, HAP, handlers=[ears.hear])
        yield ears
        await browser.async_cancel()


@asynccontextmanager
async def advertised(folder: Path, address: str | None = None) -> AsyncIterator[HomeKit]:
    homekit = HomeKit(Settings("Test Bridge", address, 0, CODE), [], folder / "keys", version="1")
    await homekit.start()
    try:
        yield homekit
    finally:
        await homekit.stop()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SETTLE", 0.05)
    monkeypatch.setattr(doctor, "LOOK", 1.5)


@in_a_network
async def test_the_bridge_is_advertised_with_the_addresses_of_the_house_and_no_other(tmp_path: Path) -> None:
    house()
    async with listening(HOME) as ears, advertised(tmp_path) as homekit:
        info = await ears.service()
        assert set(info.parsed_addresses()) == {HOME, FAR}
        assert info.port == homekit.port
        said = info.decoded_properties
        assert said["id"] == homekit._store.keys.device_id
        assert (said["sf"], said["ci"], said["pv"], said["md"]) == ("1", "2", "1.1", "Test Bridge")
        assert info.name.startswith("Test Bridge ")


@in_a_network
async def test_who_left_the_choice_gets_one_address_only(tmp_path: Path) -> None:
    house()
    async with listening(HOME) as ears, advertised(tmp_path, HOME):
        assert (await ears.service()).parsed_addresses() == [HOME]


@in_a_network
async def test_the_advertisement_follows_the_address(tmp_path: Path) -> None:
    house()
    async with listening(HOME) as ears, advertised(tmp_path) as homekit:
        await ears.service()
        ip(f"address del {FAR}/24 dev far0")
        ip(f"address add {MOVED}/24 dev far0")
        await ears.until(lambda: set(homekit._advertiser._addresses) == {HOME, MOVED})
        async with listening(MOVED) as there:
            assert set((await there.service()).parsed_addresses()) == {HOME, MOVED}


@in_a_network
async def test_a_link_that_goes_down_and_comes_up_is_advertised_on_again(tmp_path: Path) -> None:
    house()
    ip("link set far0 down")
    async with advertised(tmp_path) as homekit:
        assert homekit._advertiser._addresses == []
        ip("link set far0 up")
        async with listening(HOME) as ears:
            info = await ears.service()
            assert set(info.parsed_addresses()) == {HOME, FAR}


@in_a_network
async def test_pairing_and_unpairing_are_advertised(tmp_path: Path) -> None:
    house()
    async with listening(HOME) as ears, advertised(tmp_path) as homekit:
        await ears.says("sf", "1")
        async with Wire.open(homekit.port) as wire:
            await wire.pair(CODE)
        await ears.says("sf", "0")
        before = await ears.service()
        await homekit.reset()
        await ears.until(lambda: ears.heard[-1] != (ServiceStateChange.Added, before.name))
        await ears.until(lambda: (ServiceStateChange.Removed, before.name) in ears.heard)
        await ears.until(lambda: ears.heard[-1][0] is ServiceStateChange.Added)
        await ears.says("sf", "1")
        await ears.says("id", homekit._store.keys.device_id)


@in_a_network
async def test_an_accessory_that_is_forgotten_counts_the_configuration_up(tmp_path: Path) -> None:
    house()
    gone = Companion("files.done", "Files Done")
    HomeKit(Settings("Test Bridge", None, 0, CODE), [], tmp_path / "keys", version="1", companions=[gone])
    async with listening(HOME) as ears, advertised(tmp_path) as homekit:
        number = int((await ears.service()).decoded_properties["c#"] or 0)
        assert await homekit.forget("files.done")
        await ears.says("c#", str(number + 1))


@in_a_network
async def test_a_stop_says_goodbye(tmp_path: Path) -> None:
    house()
    async with listening(HOME) as ears:
        async with advertised(tmp_path):
            name = (await ears.service()).name
        await ears.until(lambda: (ServiceStateChange.Removed, name) in ears.heard)


@in_a_network
async def test_every_address_is_judged_with_its_reason() -> None:
    house()
    ip("link add down0 type veth peer name down1")
    ip("address add 10.31.10.1/24 dev down0")
    ip("link add br0 type bridge")
    ip("address add 10.31.11.1/24 dev br0")
    ip("link add member type veth peer name outside")
    for link in ("member", "outside", "br0"):
        ip(f"link set {link} up")
    ip("link set member master br0")
    await asyncio.sleep(0.1)
    assert {link.name: link.why_not for link in links.links()} == {
        "lo": "reaches this machine only",
        "lan0": "",
        "far0": "",
        "docker0": "belongs to containers, guests or a VPN",
        "br-4711": "belongs to containers, guests or a VPN",
        "virbr0": "belongs to containers, guests or a VPN",
        "tun0": "belongs to containers, guests or a VPN",
        "down0": "is down",
        "br0": "",
    }


@in_a_network
async def test_the_doctor_hears_the_bridge_and_says_where_it_is(tmp_path: Path) -> None:
    house()
    async with advertised(tmp_path) as homekit:
        finding = await doctor.advertisement("Test Bridge", None, homekit.port)
        assert finding.ok
        other = await doctor.advertisement("Test Bridge", None, homekit.port + 1)
        assert not other.ok  # a bridge of the same name, but not this one
        assert HOME in finding.line
        assert f"port {homekit.port}, ready to be paired" in finding.line
    finding = await doctor.advertisement("Test Bridge", None, 21100)
    assert not finding.ok
    assert "5353" in finding.line
