"""`python -m tests.integration.routing.campaign [TOGGLES]` (root): toggles under a flood

Says how many packets took the plain uplink while the tile was on: it has to be none. The router does
it, and lays the way again by itself when the tunnel is back.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.integration.routing.lab import HELPER_FOLDER, INTERNET, POLICY, PORT, Ears, Lab

Turn = Callable[[str], None]
"""on or off, and it is done."""

# The router in the house, without Docker and systemd; what it is asked it reads, a word and a key a line.
ROUTER = """
import json, sys, threading
sys.path.append(sys.argv[1])
from helper import docker, news, routing, serving
docker.RUNS, news.FOLDER, news.STATE = "/nowhere", sys.argv[3] + "/run", sys.argv[3] + "/state"
router = routing.Router(lambda: json.loads(sys.argv[2]))
router.begin()
threading.Thread(target=serving.watch_kernel, args=(router,), daemon=True).start()
for line in sys.stdin:
    word, key = line.split()
    {"on": router.turn_on, "off": router.turn_off}[word](key)
    print("done", flush=True)
"""


@contextmanager
def router(lab: Lab) -> Iterator[Turn]:
    with tempfile.TemporaryDirectory(dir=lab.folder) as folder:
        for name in ("run", "state"):
            (lab.folder / folder / name).mkdir()
        words = ["ip", "netns", "exec", lab.ns("house"), sys.executable, "-ISc", ROUTER, HELPER_FOLDER]
        words += [json.dumps(POLICY), folder]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None

            def turn(word: str) -> None:
                print(word, "vpn", file=process.stdin, flush=True)
                assert process.stdout is not None
                while (said := process.stdout.readline()) != "done\n":  # of a tunnel that fell meanwhile
                    assert said.startswith("Refusal: "), said or "the router has ended"

            yield turn
            process.stdin.close()


def campaign(lab: Lab, turn: Turn, toggles: int, every: int = 25) -> tuple[int, int]:
    """(packets leaked while on, packets the tunnel carried); the tunnel falls at each `every`th toggle."""
    leaked = carried = 0
    with lab.listening() as ears, lab.flood(), ExitStack() as stack:
        last = [stack.enter_context(_last(lab, family)) for family in (4, 6)]
        for number in range(1, toggles + 1):
            turn("on")
            count(last)
            for where in ears.heard:
                ears.heard[where] = 0
            if number % every == 0:
                lab.tunnel_down()
                time.sleep(0.03)
                lab.tunnel_up(8 + number // every % 2)
                resumed(ears)
            time.sleep(0.01)
            count(last)
            leaked, carried = leaked + ears.leaked - len(last), carried + ears.carried
            turn("off")
    return leaked, carried


def _last(lab: Lab, family: int) -> socket.socket:
    """What the house itself sends, by the plain uplink."""
    made = lab.socket("house", family)
    made.settimeout(5)
    made.connect((INTERNET[family], PORT))
    return made


def count(last: list[socket.socket]) -> None:
    """What has been sent by the plain uplink before is counted when a last packet is answered."""
    for made in last:
        made.send(b"?")
        assert made.recv(100).startswith(b"isp")


def resumed(ears: Ears) -> None:
    """Nobody asks for it: the router heard of the tunnel."""
    before, end = ears.carried, time.monotonic() + 5
    while ears.carried == before:
        assert time.monotonic() < end, "the router did not lay the way into the tunnel that is back"
        time.sleep(0.005)


def main() -> int:
    toggles = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    lab = Lab()
    try:
        lab.up()
        lab.tunnel_up()
        start = time.monotonic()
        with router(lab) as turn:
            leaked, carried = campaign(lab, turn, toggles)
    finally:
        lab.down()
        shutil.rmtree(lab.folder)
    print(f"{toggles} toggles in {time.monotonic() - start:.0f} s: {leaked} leaked, {carried} carried")
    return int(leaked > 0)


if __name__ == "__main__":
    sys.exit(main())
