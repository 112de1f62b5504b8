"""What a stranger in the network can cost: little, and never a member of the home."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from bridge.homekit import connection, quiet, server
from tests.bridges import Ours
from tests.wire import Pairing, Wire


@pytest.fixture
async def strangers() -> AsyncExitStack:  # type: ignore[misc]
    async with AsyncExitStack() as stack:
        yield stack


async def test_strangers_crowd_out_each_other_and_no_member(
    bridge: Ours, pairing: Pairing, phone: Wire, strangers: AsyncExitStack
) -> None:
    wires = [await strangers.enter_async_context(Wire.open(bridge.port)) for _ in range(80)]
    for wire in wires:
        wire.send(b"POST /pair-verify HTTP/1.1\r\nContent-Len")
    assert await wires[0].closed()
    assert (await phone.get(bridge.on("files"))).status == 200
    async with bridge.phone(pairing) as another:
        assert (await another.get(bridge.on("files"))).status == 200
    assert len(bridge.homekit._driver.http_server._strangers) <= server.MOST_STRANGERS


async def test_among_too_many_members_the_quietest_goes(
    bridge: Ours, pairing: Pairing, strangers: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_VERIFIED", 3)
    wires = [await strangers.enter_async_context(bridge.phone(pairing)) for _ in range(3)]
    await wires[0].get(bridge.on("files"))
    await strangers.enter_async_context(bridge.phone(pairing))
    assert await wires[1].closed(within=2)
    assert (await wires[0].get(bridge.on("files"))).status == 200


@pytest.mark.parametrize(
    "half",
    [b"", b"GET /acc", b"PUT /characteristics HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"],
    ids=["nothing", "half a line", "half a body"],
)
async def test_a_stranger_who_does_not_get_to_the_point_is_hung_up_on(
    bridge: Ours, half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF", 0.1)
    async with Wire.open(bridge.port) as wire:
        wire.send(half)
        assert await wire.closed(within=2)


async def test_dripping_bytes_buys_no_time(bridge: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HALF", 0.2)
    async with Wire.open(bridge.port) as wire:
        dripping = asyncio.create_task(wire.closed(within=2))
        while not dripping.done():
            wire.send(b"G")
            await asyncio.sleep(0.02)
        assert dripping.result()


async def test_a_member_may_be_silent_but_not_stop_in_the_middle(
    bridge: Ours, pairing: Pairing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF", 0.1)
    async with bridge.phone(pairing) as phone:
        assert not await phone.closed(within=0.3)
        assert (await phone.get(bridge.on("files"))).status == 200
        phone.send(b"GET /accessories HT")
        assert await phone.closed(within=2)
    async with bridge.phone(pairing) as phone:
        phone.writer.write(b"\x10")  # a frame that is not all there
        assert await phone.closed(within=2)


async def test_a_head_without_end_is_refused(bridge: Ours) -> None:
    async with Wire.open(bridge.port) as wire:
        wire.send(b"GET /accessories HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert (await wire.answer()).status == 431
        assert await wire.closed()


async def test_a_body_in_endless_chunks_is_refused(bridge: Ours) -> None:
    async with Wire.open(bridge.port) as wire:
        wire.send(b"POST /pair-setup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"400\r\n" + bytes(1024) + b"\r\n")
        for _ in range(8):
            wire.send(b"400\r\n" + bytes(1024) + b"\r\n")
        assert (await wire.answer()).status == 413
        assert await wire.closed()


async def test_a_member_has_room_for_a_whole_house(bridge: Ours, phone: Wire) -> None:
    everything = [(aid, 9) for aid in range(2, 1000)]
    assert (await phone.get(*everything)).status == 207
    assert (await phone.listen(*everything)).status == 207


async def test_who_does_not_speak_with_its_key_is_hung_up_on(bridge: Ours, phone: Wire) -> None:
    phone.writer.write(b"\x04\x00" + bytes(20))
    assert await phone.closed()


async def test_a_member_that_fetches_nothing_is_given_up(
    bridge: Ours, pairing: Pairing, phone: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_UNREAD", -1)
    await phone.listen(bridge.on("files"))
    bridge.machines["files"].become(True)
    assert await phone.closed(within=2)


async def test_six_hundred_who_talk_nonsense_are_worth_a_few_lines(
    bridge: Ours, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(600):
        async with Wire.open(bridge.port) as wire:
            wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    await asyncio.sleep(0.05)
    lines = [record for record in caplog.records if record.name.startswith(("bridge", "pyhap"))]
    assert len(lines) <= 2 * quiet.MOST


async def test_while_four_hundred_hang_a_member_comes_in(
    bridge: Ours, pairing: Pairing, strangers: AsyncExitStack
) -> None:
    for _ in range(400):
        await strangers.enter_async_context(Wire.open(bridge.port))
    async with bridge.phone(pairing) as phone:
        assert (await phone.get(bridge.on("files"))).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"HEAD /accessories HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://x/accessories HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /accessories HTTP/1.0\r\n\r\n",
        b"GET /accessories HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /accessories HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST /identify HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda request: request[:24].decode(),
)
async def test_http_that_homekit_does_not_speak_breaks_nothing(
    bridge: Ours, pairing: Pairing, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Wire.open(bridge.port) as wire:
        wire.send(request_)
        wire.send(request_)
        await wire.closed(within=0.1)
    async with bridge.phone(pairing) as phone:
        assert (await phone.get(bridge.on("files"))).status == 200
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
