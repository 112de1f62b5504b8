"""Why does a phone not find the bridge? Each check says one line, and what to do about it."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from bridge.homekit import links

HAP = "_hap._tcp.local."
LOOK = 4.0  # seconds to hear an advertisement
UFW = Path("/etc/ufw/ufw.conf")

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a person; `ok` when there is nothing to do about it."""

    ok: bool
    line: str


def interfaces(wanted: str | None) -> Iterator[Finding]:
    """Which addresses phones can reach, and why not the others; `wanted` is bridge.address."""
    found = links.links()
    if wanted is not None:
        yield _the_one(wanted, found)
        return
    if not any(not link.why_not for link in found):
        yield Finding(False, "no network: every interface is down or not a network of the house")
    for link in found:
        what = f"not advertised: {link.name} {link.why_not}" if link.why_not else "advertised"
        yield Finding(True, f"{link.address} on {link.name}: {what}")


def _the_one(wanted: str, found: Sequence[links.Link]) -> Finding:
    for link in found:
        if link.address == wanted:
            up = links.is_up(link.name)
            return Finding(up, f"{wanted} on {link.name}: {'advertised' if up else 'the interface is down'}")
    here = ", ".join(link.address for link in found)
    return Finding(
        False, f"bridge.address {wanted} is not on this machine ({here}); correct it, or leave it out"
    )


def port(address: str | None, number: int) -> Finding:
    """Whether something answers on the bridge's port, asked from this machine."""
    host = address or "127.0.0.1"
    try:
        with socket.create_connection((host, number), timeout=2):
            return Finding(True, f"port {number} answers on {host}")
    except OSError as error:
        reason = error.strerror or "no answer"
        return Finding(False, f"port {number} does not answer on {host} ({reason}); is the bridge running?")


async def advertisement(name: str, address: str | None, number: int) -> Finding:
    """Whether the bridge is heard by mDNS, as a phone would hear it."""
    addresses = links.reachable(address)
    if not addresses:
        return Finding(False, "not advertised: there is no network to advertise on")
    try:
        info = await asyncio.wait_for(_hear(name, number, addresses), LOOK)
    except TimeoutError:
        advice = "something keeps UDP port 5353 from this machine, or the bridge is not running"
        return Finding(False, f"{name!r} is not heard by mDNS on {', '.join(addresses)}: {advice}")
    except OSError as error:
        return Finding(False, f"mDNS cannot be used on {', '.join(addresses)}: {error.strerror}")
    paired = "paired" if info.decoded_properties.get("sf") == "0" else "ready to be paired"
    where = ", ".join(info.parsed_addresses())
    return Finding(True, f"advertised as {info.name.split('.')[0]!r} at {where} port {info.port}, {paired}")


async def _hear(name: str, number: int, addresses: list[str]) -> AsyncServiceInfo:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        heard.put_nowait(name)

    async with AsyncZeroconf(interfaces=addresses) as zeroconf:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, HAP, handlers=[hear])
        try:
            while True:
                found = await heard.get()
                info = AsyncServiceInfo(HAP, found)
                if not found.startswith(name) or not await info.async_request(zeroconf.zeroconf, 3000):
                    continue
                if info.port == number and set(addresses) & set(info.parsed_addresses()):
                    return info
        finally:
            await browser.async_cancel()


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """A program's exit status and output; 127 when it is not there."""
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        return subprocess.CompletedProcess(command, 127, "", "")
    # S603: the program is absolute, and the words are this module's own.
    return subprocess.run(  # noqa: S603
        [program, *command[1:]], capture_output=True, text=True, timeout=10, check=False
    )


def firewall(number: int, run: Run = run, ufw: Path = UFW) -> Iterator[Finding]:
    """Whether firewalld or ufw keeps phones out, and the command that lets them in."""
    if run(["firewall-cmd", "--state"]).returncode == 0:
        yield _firewalld(number, run)
    if ufw.exists() and "ENABLED=yes" in ufw.read_text():
        yield _ufw(number, run)


def _firewalld(number: int, run: Run) -> Finding:
    asked = (f"--query-port={number}/tcp", "--query-service=mdns")
    if all(run(["firewall-cmd", question]).returncode == 0 for question in asked):
        return Finding(True, f"firewalld lets port {number} and mDNS through")
    command = f"sudo firewall-cmd --permanent --add-port={number}/tcp --add-service=mdns"
    return Finding(False, f"firewalld keeps phones out; let them in: {command} && sudo firewall-cmd --reload")


def _ufw(number: int, run: Run) -> Finding:
    commands = f"sudo ufw allow {number}/tcp && sudo ufw allow 5353/udp"
    status = run(["ufw", "status"])
    if status.returncode:
        return Finding(False, f"ufw is on, and only root sees its rules; if phones are kept out: {commands}")
    open_ports = {line.split()[0] for line in status.stdout.splitlines() if " ALLOW " in line}
    if open_ports & {f"{number}/tcp", str(number)} and open_ports & {"5353/udp", "5353"}:
        return Finding(True, f"ufw lets port {number} and mDNS through")
    return Finding(False, f"ufw keeps phones out; let them in: {commands}")


def lock(answer: Mapping[str, Any]) -> Finding:
    """Whether too many wrong codes closed the bridge; `answer` is the control socket's to "pair"."""
    if answer["locked"]:
        text = "pairing is locked after 100 attempts with a wrong code; `bellpull pair --unlock` opens it"
        return Finding(False, text)
    count = len(answer["pairings"])
    return Finding(True, f"paired with {count} controllers" if count else "not paired yet")


def watchdogs(reports: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What the watchdog cannot read, and why; `reports` are the control socket's."""
    for report in reports:
        if not report["watching"]:
            continue
        unread = {rule["why"] for rule in report["rules"]} | {report["why"]}
        for why in sorted(filter(None, unread)):
            yield Finding(False, f"the watchdog of {report['key']} cannot measure it: {why}")


def notices(answer: Mapping[str, Any]) -> Iterator[Finding]:
    """Why notices do not arrive."""
    if answer["failing"]:
        yield Finding(
            False, f"the last notice could not be delivered: {answer['failing']}; look at `notify:`"
        )


async def examine(
    name: str, address: str | None, number: int, answer: Mapping[str, Any] | None
) -> list[Finding]:
    """All of it, for the bridge of this name, address and port; `answer` is None when it does not run."""
    findings = [*interfaces(address), port(address, number), await advertisement(name, address, number)]
    findings += firewall(number)
    return findings if answer is None else [*findings, lock(answer)]
