"""HAP-python's own bridge, as it comes: what the phone is tried on, and what ours is compared with.

    python -m tests.plain_bridge ADDRESS PORT STATEFILE

Tiles: "File Server" obeys, "Broken" raises. Prints "ready" when it answers.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohomekit.exceptions import AuthenticationError
from pyhap.accessory import Accessory, Bridge
from pyhap.accessory_driver import AccessoryDriver
from pyhap.const import CATEGORY_SWITCH

from tests.phone import Phone

NAME = "Plain Bridge"
CODE = "031-45-154"


def _refuse(value: Any) -> None:
    raise RuntimeError(f"will not be {value}")


def _switch(driver: AccessoryDriver, name: str, **on: Any) -> Accessory:
    switch = Accessory(driver, name)
    switch.category = CATEGORY_SWITCH
    switch.add_preload_service("Switch").configure_char("On", **on)
    return switch


async def pair(phone: Phone) -> None:
    """Pair; this bridge refuses the right code once in eighty times, so more than once if need be."""
    for _ in range(4):
        try:
            return await phone.pair(CODE)
        except AuthenticationError:
            pass
    return await phone.pair(CODE)


async def serve(address: str, port: int, state: str) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    driver = AccessoryDriver(loop=loop, address=address, port=port, persist_file=state, pincode=CODE.encode())
    bridge = Bridge(driver, NAME)
    bridge.add_accessory(_switch(driver, "File Server"))
    bridge.add_accessory(_switch(driver, "Broken", setter_callback=_refuse))
    driver.add_accessory(bridge)
    await driver.async_start()
    print("ready", flush=True)
    await stop.wait()
    await driver.async_stop()


@contextmanager
def running(address: str, port: int, state: Path, within: Sequence[str] = ()) -> Iterator[None]:
    """The bridge as a child process, ready; `within` is a command that runs it elsewhere (nsenter)."""
    command = [*within, sys.executable, "-m", "tests.plain_bridge", address, str(port), str(state)]
    root = Path(__file__).parents[1]
    child = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert child.stdout is not None
        assert "ready\n" in child.stdout, "the plain bridge did not start"
        yield
    finally:
        child.terminate()
        child.communicate(timeout=10)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
