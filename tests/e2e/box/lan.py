"""The home network a box is on: a network namespace held by a thread, where phones live."""

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare is there from Python 3.12 on

SERVER = "10.31.7.1"  # of no consequence outside: both ends are in namespaces
ROUTER = "10.31.7.2"

T = TypeVar("T")


class Lan:
    """A thread with an event loop whose sockets, and those of the threads it starts, are on the LAN.

    The namespace lives as long as the thread, so it is gone whichever way the tests end.
    """

    def __init__(self) -> None:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=[started], name="lan", daemon=True)
        self._thread.start()
        started.result(10)

    def _live(self, started: "Future[None]") -> None:
        try:
            _leave_the_network()
            self.tid = threading.get_native_id()
            with asyncio.Runner() as runner:
                runner.run(self._main(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    async def _main(self, started: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        started.set_result(None)
        await self._over.wait()

    @property
    def path(self) -> str:
        """The namespace as a file, for `nsenter --net=`."""
        return f"/proc/{os.getpid()}/task/{self.tid}/ns/net"

    def attach(self, box_pid: int) -> None:
        """Lay the cable: eth0 with SERVER in the namespace of box_pid, ROUTER on our side."""
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "wire0", "type", "veth", "peer", "name", "eth0", "netns", str(box_pid))
        self.ip("addr", "add", f"{ROUTER}/24", "dev", "wire0")
        self.ip("link", "set", "wire0", "up")
        for command in (
            "link set lo up",
            f"addr add {SERVER}/24 brd + dev eth0",
            "link set eth0 up",
            f"route add default via {ROUTER}",
        ):
            _nsenter_ip(f"/proc/{box_pid}/ns/net", *command.split())

    def detach(self) -> None:
        """Pull the cable, which the kernel does by itself, in its own time, when the box has gone."""
        with suppress(RuntimeError):
            self.ip("link", "del", "wire0")

    def ip(self, *arguments: str) -> None:
        """Run ip(8) on the LAN."""
        _nsenter_ip(self.path, *arguments)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on the LAN, from any loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], within: float = 60) -> T:
        """The same for code without a loop; raises TimeoutError after `within` seconds."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(within)

    def close(self) -> None:
        """End the loop, the thread and the namespace with it; once is enough, twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)


def _leave_the_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare(CLONE_NEWNET): {os.strerror(number)}")


def _nsenter_ip(namespace: str, *arguments: str) -> None:
    command = ["nsenter", f"--net={namespace}", "ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
