"""Whatever is said to the bridge: it answers or hangs up, lives on, and nothing moves without authority."""

import asyncio
import itertools
import json
import tempfile
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bridges import Ours, ours
from tests.wire import JSON, PAIRING, Pairing, Wire, encode

pytestmark = pytest.mark.campaign

# One bridge serves many examples; the fixtures need not be made anew for each.
sample = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Field:
    """One bridge for many examples, on a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._context = ours(folder, ("files", "web"))
        self.bridge: Ours = self.run(self._context.__aenter__())
        self.pairing: Pairing = self.run(self.bridge.pair())
        self.identity = self.bridge.homekit._store.keys

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self.runner.close()

    async def alive(self) -> None:
        """A member of the home is served, and nothing has changed that a stranger must not change."""
        async with self.bridge.phone(self.pairing) as phone:
            assert (await phone.ask("GET", "/accessories")).status == 200
        keys = self.bridge.homekit._store.keys
        assert keys.pairings == self.identity.pairings
        assert keys.places == self.identity.places
        assert not any(machine.asked for machine in self.bridge.machines.values())

    async def say(self, *parts: bytes) -> None:
        """Say it as a stranger, in these parts; the bridge answers, waits for more or hangs up."""
        async with Wire.open(self.bridge.port) as wire:
            for part in parts:
                wire.send(part)
                await asyncio.sleep(0)
            await wire.closed(within=0.01)


@pytest.fixture(scope="module")
def field() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        playing = Field(Path(folder))
        yield playing
        playing.close()


PATHS = st.sampled_from(
    ["/pair-setup", "/pair-verify", "/pairings", "/identify", "/accessories", "/characteristics", "/prepare"]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map(lambda text: f"/{text}")
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"])


@sample
@given(parts=st.lists(st.binary(max_size=2000), max_size=5))
def test_bytes_without_sense(field: Field, parts: list[bytes]) -> None:
    async def play() -> None:
        await field.say(*parts)
        await field.alive()

    field.run(play())


@sample
@given(
    method=METHODS,
    path=PATHS,
    body=st.binary(max_size=6000),
    lines=st.lists(st.binary(max_size=60), max_size=5),
    cuts=st.lists(st.integers(0, 6000), max_size=3),
)
def test_requests_that_are_nearly_http(
    field: Field, method: str, path: str, body: bytes, lines: list[bytes], cuts: list[int]
) -> None:
    request = encode(method, path, body).replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join([*lines, b"\r\n"]), 1)
    edges = [0, *sorted(min(cut, len(request)) for cut in cuts), len(request)]

    async def play() -> None:
        await field.say(*(request[start:end] for start, end in itertools.pairwise(edges)))
        await field.alive()

    field.run(play())


TLV_FIELDS = st.lists(
    st.tuples(st.integers(0, 14) | st.integers(0, 255), st.binary(max_size=300)), max_size=6
).map(lambda fields: b"".join(bytes([tag, len(value) % 256]) + value for tag, value in fields))
STATES = st.integers(0, 7).map(lambda number: bytes([6, 1, number]))


@sample
@given(path=st.sampled_from(["/pair-setup", "/pair-verify"]), state=STATES, fields=TLV_FIELDS)
def test_pairing_messages_of_strangers_are_answered_and_open_nothing(
    field: Field, path: str, state: bytes, fields: bytes
) -> None:
    async def play() -> None:
        async with Wire.open(field.bridge.port) as wire:
            answer = await wire.ask("POST", path, state + fields, PAIRING)
            assert answer.status in (200, 400)
            assert (await wire.ask("GET", "/accessories")).status == 470
        await field.alive()

    field.run(play())


@asynccontextmanager
async def unpaired() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        async with ours(Path(folder)) as bridge:
            yield bridge


@sample
@given(messages=st.lists(st.tuples(STATES, TLV_FIELDS), min_size=1, max_size=5))
def test_without_the_code_nobody_is_paired_whatever_the_order(messages: list[tuple[bytes, bytes]]) -> None:
    async def play() -> None:
        async with unpaired() as bridge:
            async with Wire.open(bridge.port) as wire:
                for state, fields in messages:
                    answer = await wire.ask("POST", "/pair-setup", state + fields, PAIRING)
                    assert answer.status in (200, 400)
            assert not bridge.homekit.paired
            assert bridge.homekit._store.keys.attempts <= len(messages)

    asyncio.run(play())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ITEMS = st.fixed_dictionaries(
    {"aid": st.integers(0, 5) | ANYTHING, "iid": st.integers(0, 12) | ANYTHING},
    # No "value" that a switch takes: nothing may move here.
    optional={
        "ev": ANYTHING,
        "value": ANYTHING.filter(lambda value: value not in (0, 1) and not isinstance(value, str)),
        "r": ANYTHING,
        "authData": ANYTHING,
        "remote": ANYTHING,
    },
)


@sample
@given(
    path=st.sampled_from(["/characteristics", "/prepare"]),
    content=st.fixed_dictionaries(
        {"characteristics": st.lists(ITEMS, max_size=5)}, optional={"pid": ANYTHING, "ttl": ANYTHING}
    )
    | ANYTHING,
)
def test_a_member_that_writes_nonsense_gets_an_answer_in_homekits_words(
    field: Field, path: str, content: Any
) -> None:
    async def play() -> None:
        async with field.bridge.phone(field.pairing) as phone:
            body = json.dumps(content).encode()
            answer = await phone.ask("PUT", path, body, JSON)
            assert answer.status in (200, 204, 207, 400)
            if answer.status == 207:
                assert all(-70412 <= status <= 0 for status in answer.statuses)
        await field.alive()

    field.run(play())


@sample
@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200))
def test_a_member_that_reads_nonsense_gets_an_answer(field: Field, query: str) -> None:
    async def play() -> None:
        async with field.bridge.phone(field.pairing) as phone:
            answer = await phone.ask("GET", f"/characteristics?id={query}")
            assert answer.status in (200, 207, 400)

    field.run(play())


@sample
@given(data=st.binary(max_size=300), frame=st.integers(1, 1024))
def test_a_member_that_breaks_off_in_the_middle_breaks_nothing(field: Field, data: bytes, frame: int) -> None:
    async def play() -> None:
        async with field.bridge.phone(field.pairing) as phone:
            phone.send(data, frame)
            await phone.closed(within=0.01)
        await field.alive()

    field.run(play())


@sample
@given(method=st.binary(min_size=1, max_size=1), fields=TLV_FIELDS)
def test_pairings_cannot_be_changed_by_accident(field: Field, method: bytes, fields: bytes) -> None:
    async def play() -> None:
        async with field.bridge.phone(field.pairing) as phone:
            body = b"\x06\x01\x01\x00\x01" + method + fields
            answer = await phone.ask("POST", "/pairings", body, PAIRING)
            assert answer.status in (200, 400)
        await field.alive()

    field.run(play())
