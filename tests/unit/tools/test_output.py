"""What a child says is shown as what it is: text, bounded, and harmless to a terminal."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.tools import output as module
from bridge.tools.output import LONGEST, Output, readable
from tests.children import nothing_left, until

log = logging.getLogger("command.tile")


@given(st.binary(max_size=3000))
def test_whatever_is_said_reads_as_one_short_printable_line(said: bytes) -> None:
    shown = readable(said)
    assert shown.isprintable()
    assert len(shown) <= LONGEST


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=LONGEST))
def test_plain_text_stays_as_it_is(said: str) -> None:
    assert readable(said.encode()) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"red \033[31m\n", r"red \x1b[31m"),
        ("left\u202eright".encode(), r"left\u202eright"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"x" * 5000, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_what_could_deceive_is_escaped(said: bytes, shown: str) -> None:
    assert readable(said) == shown


@asynccontextmanager
async def pipe() -> AsyncIterator[tuple[Output, int]]:
    async with nothing_left():
        read, write = os.pipe()
        output = Output(read, log)
        yield output, write
        os.close(write)
        await until(lambda: not output.open)


async def test_a_line_is_told_when_it_is_complete(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with pipe() as (output, write):
        os.write(write, b"one\ntw")
        await until(lambda: caplog.messages)
        assert caplog.messages == ["one"]
        os.write(write, b"o\n\n  \n")
        await until(lambda: len(caplog.messages) == 2)
        assert (caplog.messages, output.last) == (["one", "two"], "two")


async def test_the_last_line_needs_no_end() -> None:
    async with pipe() as (output, write):
        os.write(write, b"one\ntwo")
    assert output.last == "two"


async def test_a_line_without_an_end_takes_no_memory() -> None:
    async with pipe() as (output, write):
        for _ in range(50):
            os.write(write, b"x" * 4096)
            output.read()
        assert len(output._rest) <= 4 * LONGEST


async def test_one_that_never_stops_talking_waits_at_its_pipe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BYTES", 10_000)
    caplog.set_level(logging.INFO)
    async with pipe() as (output, write):
        os.set_blocking(write, False)
        taken = 0
        for _ in range(20):
            try:
                taken += os.write(write, b"word\n" * 1000)
            except BlockingIOError:
                pass
            await asyncio.sleep(0)
        assert taken < 200_000
        await until(lambda: any(message.startswith("… and ") for message in caplog.messages))
        *words, rest = caplog.messages[: module.LINES + 1]
        assert words == ["word"] * module.LINES
        assert rest.startswith("… and ")
        output.close()


async def test_a_closed_pipe_can_be_closed_again() -> None:
    async with pipe() as (output, _):
        output.close()
        output.read()
        output.close()
