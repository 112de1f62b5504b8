"""A bridge on HAP-python as its examples have it: a setter that runs the command, perhaps a getter.

python -m benchmarks.homekit.hap_python FOLDER COUNT PORT [getters]

Without getters it does not know how its switches stand; it shows what was last written to it.
"""

import asyncio
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from pyhap.accessory import Accessory, Bridge
from pyhap.accessory_driver import AccessoryDriver

from benchmarks.homekit.subjects import CODE, switch


def turn(path: Path, on: bool) -> None:
    subprocess.run(["touch", path] if on else ["rm", "-f", path], check=True)


def stands(path: Path) -> bool:
    return subprocess.run(["test", "-e", path], check=False).returncode == 0


async def serve(folder: Path, count: int, port: int, *, getters: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    driver = AccessoryDriver(
        loop=loop,
        address="0.0.0.0",
        advertised_address="127.0.0.1",
        port=port,
        persist_file=str(folder / "state"),
        pincode=CODE.encode(),
    )
    bridge = Bridge(driver, "Bench")
    for number in range(count):
        accessory = Accessory(driver, f"Switch {number}")
        path = switch(folder, number)
        accessory.add_preload_service("Switch").configure_char(
            "On",
            setter_callback=partial(turn, path),
            getter_callback=partial(stands, path) if getters else None,
        )
        bridge.add_accessory(accessory)
    driver.add_accessory(bridge)
    await driver.async_start()
    await stop.wait()
    await driver.async_stop()


if __name__ == "__main__":
    folder, count, port, *options = sys.argv[1:]
    asyncio.run(serve(Path(folder), int(count), int(port), getters=options == ["getters"]))
