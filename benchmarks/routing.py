"""`python -m benchmarks.routing` (root): how fast a VPN tile is, with a real engine and tunnel in a box."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bridge.hands import Hands
from benchmarks.bridge.place import installed
from benchmarks.bridge.table import Series, markdown, mib
from tests.e2e.box import Box
from tests.e2e.vpn import CONFIG, TUNNEL, VpnServer, listening
from tests.phone import Phone, Tile

ROUNDS = 40
FLUSHES = 10
REST = 0.2  # seconds between two samples
WAY = 4720  # the rule into the tunnel's table

# Says when the kernel tells of a rule: linux/rtnetlink.h, RTNLGRP_IPV4_RULE, RTM_NEWRULE, FRA_PRIORITY.
EAR = """
import signal, socket, struct, time
ear = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
ear.bind((0, 1 << 7))
print(0.0, "ready", 0, flush=True)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
while True:
    text, at = ear.recv(65536), 28
    while at < len(text):
        length, kind = struct.unpack_from("=HH", text, at)
        if kind == 6:
            what = "new" if struct.unpack_from("=IH", text)[1] == 32 else "gone"
            print(time.monotonic(), what, *struct.unpack_from("=I", text, at + 4), flush=True)
        at += (length + 3) & ~3
"""
ASK = """
import json, socket, sys, time
taken = []
for number in range(int(sys.argv[1])):
    start = time.monotonic()
    router = socket.socket(socket.AF_UNIX)
    router.connect("/run/bellpull-vpn/router.sock")
    router.sendall(b"%s vpn\\n" % (b"off", b"on")[number % 2])
    assert json.loads(router.makefile().readline())["ok"]
    taken.append(time.monotonic() - start)
    time.sleep(0.2)
print(json.dumps(taken))
"""
NETLINK = """
import json, sys, time
from bridge.helper import kernel
rules = ["pref %d iif none0 type unreachable protocol 217" % (4700 + number) for number in range(5)]
taken = []
for number in range(int(sys.argv[1])):
    start = time.monotonic()
    kernel.look()
    lines = ["rule %s %s" % (("add", "del")[number % 2], rule) for rule in rules]
    kernel.change({"6": lines, "4": lines})
    taken.append(time.monotonic() - start)
print(json.dumps(taken))
"""
FLUSH = "ip rule flush; ip rule add pref 32766 lookup main; ip -6 rule flush"
PYTHON = "/opt/bellpull/venv/bin/python3"
HELPER = "/opt/bellpull/libexec/bellpull-helper"


class Ear:
    """What the kernel of the box tells of rules for IPv4, with the time that the box shares with us."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.wait("ready", 0)

    def wait(self, what: str, preference: int, since: float = 0.0) -> float:
        while True:
            instant, said, number = self._lines.readline().split()
            if (said, int(number)) == (what, preference) and float(instant) >= since:
                return float(instant)


@contextmanager
def ear(box: Box) -> Iterator[Ear]:
    words = box.command(["/usr/bin/python3", "-c", EAR])
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield Ear(process)
    finally:
        process.kill()
        process.wait()


async def taps(tile: Tile, ear: Ear) -> list[Series]:
    answered = Series("a tap, to its answer")
    ways = {True: Series("a tap, to the way changed: on"), False: Series("a tap, to the way changed: off")}
    for number in range(ROUNDS):
        on = number % 2 == 0
        start = time.monotonic()
        answer = await tile.turn(on)
        assert answer.status == 0, answer
        answered.add(answer.seconds)
        ways[on].add(await asyncio.to_thread(ear.wait, "new" if on else "gone", WAY) - start)
        await asyncio.sleep(REST)
    return [answered, ways[True], ways[False]]


def asked(box: Box, what: str, script: str, *words: str) -> list[Series]:
    """Changes on and off in turns, timed by a script in the box."""
    taken = json.loads(box.run([PYTHON, "-c", script, *words], timeout=60).stdout)
    return [Series(f"{what}: on", taken[1::2]), Series(f"{what}: off", taken[::2])]


async def flushed(server: VpnServer, root: Hands, ear: Ear) -> tuple[Series, int]:
    """(all rules flushed to laid again, packets that got out)"""
    series, leaked = Series("all rules flushed, to laid again"), 0
    for _ in range(FLUSHES):
        server.internet.forget()
        done = await asyncio.to_thread(root.run, "sh", "-c", FLUSH)
        await asyncio.to_thread(ear.wait, "gone", WAY, done.start)
        series.add(await asyncio.to_thread(ear.wait, "new", WAY) - done.start)
        await asyncio.sleep(1)
        leaked += server.internet.leaked
    return series, leaked


async def outside(box: Box, phone: Phone, tile: Tile, ear: Ear) -> Series:
    """Root turns it on and off behind the bridge's back, until the phone has the event."""
    series = Series("changed by somebody else, to the phone's event")
    async with phone.watching(tile.id) as events:
        for number in range(ROUNDS // 2):
            on = number % 2 == 0
            events.seen.clear()
            await asyncio.to_thread(box.run, [HELPER, "route-on" if on else "route-off", "vpn"])
            at = (await events.wait_for(tile.id, on)).at
            series.add(at - await asyncio.to_thread(ear.wait, "new" if on else "gone", WAY))
            await asyncio.sleep(REST)
    return series


def rss(root: Hands, unit: str) -> str:
    status = root.read(f"/proc/{root.property(unit, 'MainPID')}/status")
    return mib(next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) * 1024)


async def run(box: Box) -> None:
    server = VpnServer(box, await box.lan.run(listening(box)))
    try:
        server.internet.tunnel_up()
        server.configure(CONFIG)
        server.container(flood=True)
        box.run(["bellpull", "vpn", "setup", "vpn"])
        server.start()
        phone = await server.phone()
        tile = await phone.tile("VPN Routing")
        with Hands(box) as root, ear(box) as heard:
            print(f"load {os.getloadavg()[0]:.1f}; ", end="")
            rows = [await outside(box, phone, tile, heard)]  # while nobody has a wish that is defended
            rows += await taps(tile, heard)
            await tile.turn(True)
            rows += asked(box, "the router asked without sudo", ASK, str(ROUNDS))
            rows += asked(box, "its netlink alone, ten rules", NETLINK, str(ROUNDS))
            again, leaked = await flushed(server, root, heard)
            assert server.internet.heard[TUNNEL]
            rows.append(again)
            print(f"{leaked} packets got out in {FLUSHES} flushes, one sent every 2 ms\n")
            print(
                markdown(
                    ["", "n", "least", "median", "95 %", "between quartiles"], [row.row() for row in rows]
                )
            )
            print(f"\nRSS: bridge {rss(root, 'bellpull')}, router {rss(root, 'bellpull-router')}")
    finally:
        await server.close()


if __name__ == "__main__":
    with installed() as there:
        asyncio.run(run(there))
