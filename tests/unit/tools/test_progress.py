"""The bridge's end of the socket over which a worker of scans says how far it is."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge.scans.inbox.progress import Progress
from bridge.tools import progress as module
from bridge.tools.progress import ask_to_stop, follow


@pytest.mark.parametrize("attempt", range(10))
async def test_a_worker_that_has_much_to_say_hears_every_request_to_stop(
    tmp_path: Path, attempt: int
) -> None:
    asked = asyncio.Event()

    def stop() -> None:
        asked.set()
        worker.status.state = "stopping"
        worker.changed()

    worker = Progress(stop)
    await worker.listen(tmp_path, mode=0o600)
    for number in range(500):
        worker.event(scan=f"{number}.png", failed=False, said="2 photos")
    assert await ask_to_stop(tmp_path)
    assert asked.is_set()
    await worker.close()
    assert not await ask_to_stop(tmp_path)


async def test_nobody_is_asked_while_nobody_works(tmp_path: Path) -> None:
    worker, working = Progress(lambda: None), asyncio.Event()
    await worker.listen(tmp_path, mode=0o600)
    async with aclosing(follow(tmp_path, working)) as messages:
        heard = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(2 * module.AGAIN)
        assert not heard.done() and not worker._writers
        working.set()
        assert "status" in await asyncio.wait_for(heard, 10)
    await worker.close()
