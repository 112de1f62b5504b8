"""Hears over a unix socket how far a worker of the scans is (bridge/scans/inbox/progress.py)."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

SOCKET = "progress.sock"
LONGEST = 1 << 20
HEARD = 5.0  # seconds a worker has to say that it stops
AGAIN = 0.2  # seconds until a worker that does not listen yet is tried again


async def connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """OSError where nobody listens. The folder's path may be longer than a socket's (unix(7))."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{fd}/{SOCKET}", limit=LONGEST)
    finally:
        os.close(fd)


async def follow(folder: Path, working: asyncio.Event) -> AsyncGenerator[dict[str, Any], None]:
    """Everything that workers say there, one after the other, for ever; each event once.

    The worker is told which ones we have heard, and keeps it over restarts, its own and ours. While nobody
    is `working`, nobody is asked.
    """
    heard: dict[int, int] = {}
    while True:
        await working.wait()
        try:
            reader, writer = await connect(folder)
        except OSError:
            await asyncio.sleep(AGAIN)
            continue
        try:
            async with aclosing(_new(reader, heard)) as messages:
                async for message, n in messages:
                    yield message
                    if n:
                        writer.write(json.dumps({"heard": n}).encode() + b"\n")
        except (OSError, ValueError, KeyError):
            pass
        finally:
            writer.close()
        await asyncio.sleep(AGAIN)


async def _new(
    reader: asyncio.StreamReader, heard: dict[int, int]
) -> AsyncGenerator[tuple[dict[str, Any], int], None]:
    """Messages that were not in `heard`, the last number by ledger, with their number."""
    ledger = 0
    while line := await reader.readline():
        message = json.loads(line)
        if "status" in message:
            ledger = message["ledger"]
            heard[ledger] = max(message["told"], heard.get(ledger, 0))
            yield message, 0
        elif not message["n"]:
            yield message, 0
        elif message["n"] > heard[ledger]:
            heard[ledger] = message["n"]
            yield message, message["n"]


async def ask_to_stop(folder: Path) -> bool:
    """Have a worker of our own user finish what it has in hand; False when none has heard it.

    Its answer is waited for: a connection that is closed at once takes the request along.
    """
    try:
        reader, writer = await connect(folder)
    except OSError:
        return False
    try:
        writer.write(b'{"stop": true}\n')
        async with asyncio.timeout(HEARD):
            while line := await reader.readline():
                if json.loads(line).get("status", {}).get("state") == "stopping":
                    break
    except (OSError, ValueError, TimeoutError):
        return False
    finally:
        writer.close()
    return True
