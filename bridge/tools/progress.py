"""Hears over a unix socket how far a worker of the scans is (bridge/scans/inbox/progress.py)."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
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
    """Everything that workers say there, one after the other, for ever; each event of a batch once.

    While nobody is `working`, nobody is asked.
    """
    batch, heard = 0, 0
    while True:
        await working.wait()
        try:
            reader, writer = await connect(folder)
        except OSError:
            await asyncio.sleep(AGAIN)
            continue
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if message["batch"] != batch:
                    batch, heard = message["batch"], 0
                if message.get("n", heard + 1) > heard:
                    heard = message.get("n", heard)
                    yield message
        except (OSError, ValueError, KeyError):
            pass
        finally:
            writer.close()
        await asyncio.sleep(AGAIN)


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
