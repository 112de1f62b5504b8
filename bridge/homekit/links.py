"""Which addresses of this machine a phone can reach, and word when they change."""

import array
import asyncio
import fcntl
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import ifaddr

# Networks of containers and guests; a bridge that somebody made for the LAN ("br0") is real.
INSIDE = re.compile("docker|br-|virbr|veth|vnet|lxcbr|lxdbr|podman|cni|flannel|cali|tap|tun|wg|zt|tailscale")

SIOCGIFFLAGS, SIOCGIFHWADDR = 0x8913, 0x8927  # linux/sockios.h
IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT, IFF_RUNNING = 0x1, 0x8, 0x10, 0x40  # linux/if.h
ARPHRD_ETHER = 1  # linux/if_arp.h; Wi-Fi as well
RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10  # linux/rtnetlink.h

SETTLE = 0.5  # seconds without news before a change is looked at; a link comes up in several steps


@dataclass(frozen=True, slots=True)
class Link:
    """An interface with one of its IPv4 addresses; `why_not` is "" when phones can be behind it."""

    name: str
    address: str
    why_not: str


def links() -> list[Link]:
    """Every IPv4 address of this machine, in the order of the interfaces."""
    return [
        Link(adapter.name, str(address.ip), _why_not(adapter.name))
        for adapter in ifaddr.get_adapters()
        for address in adapter.ips
        if address.is_IPv4
    ]


def reachable(wanted: str | None) -> list[str]:
    """The addresses to advertise: `wanted` if it is there and up, or those of all real interfaces."""
    if wanted is not None:
        return [link.address for link in links() if link.address == wanted and is_up(link.name)]
    return [link.address for link in links() if not link.why_not]


def is_up(name: str) -> bool:
    flags = _flags(name)
    return bool(flags & IFF_UP) and bool(flags & (IFF_RUNNING | IFF_LOOPBACK))


def _why_not(name: str) -> str:
    flags = _flags(name)
    if flags & IFF_LOOPBACK:
        return "reaches this machine only"
    if INSIDE.match(name):
        return "belongs to containers, guests or a VPN"
    if flags & IFF_POINTOPOINT or _hardware(name) != ARPHRD_ETHER:
        return "is a tunnel"
    return "" if is_up(name) else "is down"


def _flags(name: str) -> int:
    return int(struct.unpack_from("H", _ask(SIOCGIFFLAGS, name), 16)[0])


def _hardware(name: str) -> int:
    return int(struct.unpack_from("H", _ask(SIOCGIFHWADDR, name), 16)[0])


def _ask(question: int, name: str) -> bytes:
    """An ioctl about an interface: a struct ifreq, all zero for an interface that has gone."""
    request = array.array("B", struct.pack("16s24x", name.encode()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            fcntl.ioctl(asking, question, request)
        except OSError:
            return bytes(40)
    return request.tobytes()


class Watch:
    """Calls `changed` some time after an interface or an address has changed; nothing polls."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
        self._loop.add_reader(self._socket, self._heard)

    def _heard(self) -> None:
        try:
            while self._socket.recv(65536):
                pass
        except OSError:
            pass  # nothing more, or so much that some was lost: a look at everything follows
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(SETTLE, self._changed)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._timer is not None:
            self._timer.cancel()
