"""The phone of the tests is a real controller: tried on HAP-python's own bridge, over loopback."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohomekit.exceptions import AuthenticationError, UnavailableError

from tests import plain_bridge
from tests.phone import Phone, advertised


def a_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = a_free_port()
    with plain_bridge.running("127.0.0.1", port, tmp_path_factory.mktemp("bridge") / "state"):
        yield port


@pytest.fixture
async def phone(port: int) -> AsyncIterator[Phone]:
    phone = await Phone.at("127.0.0.1", port)
    await plain_bridge.pair(phone)
    yield phone
    await phone.unpair()
    await phone.close()


async def test_a_tile_is_found_by_its_name_and_obeys(phone: Phone) -> None:
    tile = await phone.tile("File Server")
    answer = await tile.turn(True)
    assert (answer.http, answer.status) == (204, 0)
    assert 0 < answer.seconds < 9
    assert await tile.is_on()
    with pytest.raises(LookupError, match="Broken"):
        await phone.tile("No Such Tile")


async def test_a_scene_answers_the_status_of_every_tile(phone: Phone) -> None:
    works, broken = await phone.tile("File Server"), await phone.tile("Broken")
    answer = await phone.put([(*works.id, True), (*broken.id, True)])
    assert answer.http == 207
    assert answer.statuses == {works.id: 0, broken.id: -70402}


async def test_another_phone_of_the_home_hears_what_the_first_one_does(phone: Phone) -> None:
    guest = await phone.invite()
    tile = await phone.tile("File Server")
    await tile.turn(False)
    async with guest.watching(tile.id) as heard, phone.watching(tile.id) as own:
        await tile.turn(True)
        await heard.wait_for(tile.id, True)
    assert not own.seen  # a bridge does not echo a write to the phone that wrote
    assert await (await guest.tile("File Server")).is_on()
    await guest.close()


async def test_waiting_for_an_event_that_does_not_come_fails_and_says_what_did(phone: Phone) -> None:
    tile = await phone.tile("File Server")
    async with phone.watching(tile.id) as events:
        with pytest.raises(AssertionError, match="no event"):
            await events.wait_for(tile.id, "never", within=0.1)


async def test_a_wrong_code_does_not_pair(port: int) -> None:
    stranger = await Phone.at("127.0.0.1", port)
    with pytest.raises(AuthenticationError):
        await stranger.pair("999-88-777")
    await stranger.close()


async def test_a_stranger_cannot_pair_once_the_home_has_the_bridge(phone: Phone, port: int) -> None:
    stranger = await Phone.at("127.0.0.1", port)
    with pytest.raises(UnavailableError):
        await stranger.pair(plain_bridge.CODE)
    await stranger.close()


async def test_the_bridge_is_heard_by_mdns(port: int) -> None:
    service = await advertised(plain_bridge.NAME)
    assert service.port == port
    assert service.addresses == ["127.0.0.1"]
