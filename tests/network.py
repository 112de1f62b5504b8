"""A network of the test's own: a thread in a network namespace, where links come and go. Needs root.

    @in_a_network
    async def test_something() -> None:
        ip("link add lan0 type veth peer name far0")

The namespace is gone with the thread, so nothing is left behind.
"""

import asyncio
import ctypes
import functools
import os
import subprocess
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare is there from Python 3.12 on
LONGEST = 60.0  # seconds


def in_a_network(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Run the coroutine on a loop of its own in a network of its own, with only lo in it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        def alone() -> None:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "a network namespace is not to be had")
            ip("link set lo up")
            asyncio.run(asyncio.wait_for(test(*args, **kwargs), LONGEST))

        with ThreadPoolExecutor(1) as thread:
            thread.submit(alone).result()

    return run


def ip(command: str) -> None:
    """`ip COMMAND` in the network of the calling thread."""
    # A child of this thread starts in its namespace; /proc/self would be another thread's.
    subprocess.run(["ip", *command.split()], check=True, timeout=10, env={"PATH": os.environ["PATH"]})
