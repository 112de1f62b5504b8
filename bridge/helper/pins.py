"""Rules inside a routed container's own namespace: its default route is ours, whatever network wins.

Docker moves a container's default route when another network is connected, and tells afterwards.
With these, that moves nothing: what its networks reach directly stays, all else goes by our
gateway, or nowhere.
"""

from typing import Any

from . import kernel
from .answer import Refusal
from .kernel import PROTOCOL

NEAR, WAY, NOWHERE = 4710, 4720, 4721
TABLE = 24810
INTERNET = {"4": "192.0.2.1", "6": "2001:db8::1"}  # RFC 5737, RFC 3849


def pin(described: dict[str, Any], network: str) -> str:
    """Why it could not be done, empty when the container's next packet goes to `network`'s gateway."""
    there = described["NetworkSettings"]["Networks"][network]
    gateways = {"4": there.get("Gateway"), "6": there.get("IPv6Gateway")}
    name = str(described.get("Name", "")).lstrip("/")
    try:
        sandbox = _sandbox(described)
        device = _device(sandbox, there.get("IPAddress"))
        for family in kernel.families():
            _change(sandbox, family, _wanted(device, gateways[family]))
            way = kernel.way(family, INTERNET[family], sandbox)
            if way != (device if gateways[family] else ""):
                return f"{name} leaves by {way or 'nothing'} inside, and not by {network}"
    except Refusal as refusal:
        return f"the way out of {name} cannot be held: {refusal}"
    return ""


def unpin(described: dict[str, Any]) -> None:
    """Docker's own default route decides again; one that has just ended has none."""
    try:
        for family in kernel.families():
            _change(_sandbox(described), family, [])
    except Refusal:
        pass


def _sandbox(described: dict[str, Any]) -> str:
    """Of its first process; Docker's own name for it may be a mount that a service does not see."""
    process = int(described["State"].get("Pid") or 0)
    if process <= 1:
        raise Refusal("failed", "it has no process now")
    return f"/proc/{process}/ns/net"


def _device(sandbox: str, address: object) -> str:
    for link in kernel.links(sandbox):
        if any(there == address for there, _ in link.addresses):
            return link.name
    raise Refusal("failed", f"it has no interface with the address {address}")


def _wanted(device: str, gateway: str | None) -> list[str]:
    rules = [f"pref {NEAR} lookup 254 suppress_prefixlength 0 protocol {PROTOCOL}"]
    if gateway:
        rules.append(f"pref {WAY} lookup {TABLE} protocol {PROTOCOL}")
        rules.append(f"route replace default via {gateway} dev {device} table {TABLE} protocol {PROTOCOL}")
    return [*rules, f"pref {NOWHERE} type unreachable protocol {PROTOCOL}"]


def _change(sandbox: str, family: str, wanted: list[str]) -> None:
    """The way first, what closes last: who is to be pinned goes out by us already, or is fenced in."""
    there = kernel.rules(family, sandbox)
    routes = [line for line in wanted if line.startswith("route ")]
    rules = [line for line in wanted if line.startswith("pref ")]
    missing = [f"rule add {rule}" for rule in rules if rule not in there]
    left_over = [f"rule del {rule}" for rule in reversed(there) if rule not in rules]
    kernel.change({family: [*routes, *missing, *left_over]}, sandbox)
