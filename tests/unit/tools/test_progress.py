"""The bridge's end of the socket over which a worker of scans says how far it is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.scans.inbox.ledger import BATCH, END, Entry, Ledger, Told
from bridge.scans.inbox.progress import Progress
from bridge.scans.inbox.tree import Tree
from bridge.tools import progress as module
from bridge.tools.progress import ask_to_stop, follow

BOTH = {"end": {"done": 2}}


class Worker:
    """What one run of a worker keeps and tells."""

    def __init__(self, folder: Path, stack: ExitStack, stop: Callable[[], None]) -> None:
        self.folder = folder
        tree = stack.enter_context(closing(Tree(folder)))
        self.ledger = stack.enter_context(closing(Ledger(tree, "ledger")))
        self.told = stack.enter_context(closing(Told(tree, "told", self.ledger.count)))
        self.progress = Progress(self.ledger, self.told, stop)

    def happens(self, event: dict[str, Any]) -> None:
        do = BATCH if "end" in event else END
        self.ledger.write(Entry(do, event.get("scan", ""), "", event=event))
        self.progress.event(self.ledger.count, event)

    async def __aenter__(self) -> "Worker":
        await self.progress.listen(self.folder, mode=0o600)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.progress.close()


@contextmanager
def a_worker(folder: Path, stop: Callable[[], None] = lambda: None) -> Iterator[Worker]:
    with ExitStack() as stack:
        yield Worker(folder, stack, stop)


def scan(number: int) -> dict[str, Any]:
    return {"scan": f"{number}.png", "said": "2 photos"}


class Bridge:
    """Listens as a bridge does, from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._listen(folder))

    async def _listen(self, folder: Path) -> None:
        working = asyncio.Event()
        working.set()
        async with aclosing(follow(folder, working)) as messages:
            async for message in messages:
                if "status" not in message:
                    self.heard.append({name: value for name, value in message.items() if name != "n"})

    async def hears(self, *events: dict[str, Any]) -> None:
        """Wait until it has heard as much, and say whether it is this."""
        async with asyncio.timeout(10):
            while len(self.heard) < len(events):
                await asyncio.sleep(0.01)
        assert self.heard == list(events)

    async def killed(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@pytest.mark.parametrize("attempt", range(10))
async def test_a_worker_that_has_much_to_say_hears_every_request_to_stop(
    tmp_path: Path, attempt: int
) -> None:
    asked = asyncio.Event()

    def stop() -> None:
        asked.set()
        worker.progress.status.state = "stopping"
        worker.progress.changed()

    with a_worker(tmp_path, stop) as worker:
        async with worker:
            for number in range(500):
                worker.progress.event(0, scan(number))
            assert await ask_to_stop(tmp_path)
            assert asked.is_set()
    assert not await ask_to_stop(tmp_path)


async def test_nobody_is_asked_while_nobody_works(tmp_path: Path) -> None:
    working = asyncio.Event()
    with a_worker(tmp_path) as worker:
        async with worker, aclosing(follow(tmp_path, working)) as messages:
            heard = asyncio.ensure_future(anext(messages))
            await asyncio.sleep(2 * module.AGAIN)
            assert not heard.done() and not worker.progress._writers
            working.set()
            assert "status" in await asyncio.wait_for(heard, 10)


async def test_a_bridge_that_is_restarted_in_a_batch_hears_each_scan_once(tmp_path: Path) -> None:
    with a_worker(tmp_path) as worker:
        async with worker:
            worker.happens(scan(1))
            first = Bridge(tmp_path)
            await first.hears(scan(1))
            async with asyncio.timeout(10):
                await worker.progress.heard_all()
            await first.killed()
            worker.happens(scan(2))
            second = Bridge(tmp_path)
            await second.hears(scan(2))
            worker.happens(BOTH)
            await second.hears(scan(2), BOTH)
            await second.killed()


async def test_what_a_worker_did_while_the_bridge_was_down_is_heard_from_the_next_worker(
    tmp_path: Path,
) -> None:
    with a_worker(tmp_path) as worker:
        async with worker:
            worker.happens(scan(1))
            worker.happens(BOTH)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(worker.progress.heard_all(), 0.05)
    with a_worker(tmp_path) as worker:
        async with worker:
            bridge = Bridge(tmp_path)
            await bridge.hears(scan(1), BOTH)
            worker.progress.begin(1, worker.ledger.count)
            worker.happens(scan(2))
            await bridge.hears(scan(1), BOTH, scan(2))
            await asyncio.wait_for(worker.progress.heard_all(), 10)
            await bridge.killed()
    with a_worker(tmp_path) as worker:
        assert worker.progress._events == []


async def test_a_ledger_that_is_another_one_is_heard_from_its_beginning(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    for _ in range(2):
        with a_worker(tmp_path) as worker:
            async with worker:
                worker.happens(scan(1))
                await asyncio.wait_for(worker.progress.heard_all(), 10)
        (tmp_path / "ledger").rename(tmp_path / "ledger.old")  # kept, so that its inode is not given again
        (tmp_path / "told").unlink()
    await bridge.hears(scan(1), scan(1))
    await bridge.killed()


@pytest.mark.parametrize("said", ['{"heard": "x"}', '{"heard": 99}', "[]", "nonsense", "7", '{"heard": -1}'])
async def test_nonsense_from_who_listens_makes_nothing_heard(tmp_path: Path, said: str) -> None:
    with a_worker(tmp_path) as worker:
        async with worker:
            _, writer = await module.connect(tmp_path)
            writer.write(said.encode() + b"\n")
            writer.close()
            await asyncio.sleep(0.05)
            worker.happens(scan(1))
            bridge = Bridge(tmp_path)
            await bridge.hears(scan(1))
            await bridge.killed()


async def test_the_batch_that_was_not_ended_is_known_to_the_next_run(tmp_path: Path) -> None:
    with a_worker(tmp_path) as worker:
        worker.happens(scan(1))
        worker.happens(BOTH)
        worker.happens(scan(2))
    with a_worker(tmp_path) as worker:
        assert (worker.ledger.count, worker.ledger.batch) == (3, [scan(2)])
        assert list(worker.ledger.news) == [1, 2, 3]


async def test_what_nobody_has_heard_for_a_week_is_no_news(tmp_path: Path) -> None:
    with a_worker(tmp_path) as worker:
        worker.ledger.write(Entry(END, "old.png", "", event=scan(1), at=1.0))
        worker.happens(scan(2))
    with a_worker(tmp_path) as worker:
        assert worker.ledger.count == 2 and list(worker.ledger.news) == [2]
