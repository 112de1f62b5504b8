"""What Docker's engine says of containers and networks: would something get out past a route?

Asked over the engine's socket, and never in the bridge, because who may ask there is root.
Only the lists are asked while a container starts: its own description waits until it has.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from .answer import Refusal

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
RUNS = "/run/docker.pid"
ANSWER = 3.0  # seconds
LONGEST = 30.0  # seconds for what waits until a container has started
LARGEST = 4 << 20
BRIDGE = "com.docker.network.bridge.name"
COMING_UP = "ep-"  # in place of a container's id, until its namespace is there
HEARD = {
    "type": ["container", "network"],
    "event": ["create", "rename", "start", "die", "destroy", "connect", "disconnect"],
}

Described = dict[str, Any]
T = TypeVar("T")


class Network(NamedTuple):
    """A network of the driver bridge; `endpoints` are the addresses of each container, by its id."""

    name: str
    bridge: str
    endpoints: dict[str, tuple[str, ...]]


class Container(NamedTuple):
    """A container as the list has it; `networks` by their names."""

    id: str
    name: str
    running: bool
    networks: tuple[str, ...]


class Memory:
    """What the engine answered, for as long as it tells of nothing: a tap asks for what is new."""

    def __init__(self) -> None:
        self._said: dict[tuple[object, ...], Any] = {}

    def forget(self) -> None:
        self._said = {}

    def of(self, ask: Callable[..., T], *words: str) -> T:
        said = self._said  # what is answered while it forgets is forgotten, too
        if (ask, *words) not in said:
            said[ask, *words] = ask(*words)
        answer: T = said[ask, *words]
        return answer


def inspect(container: str) -> Described | None:
    """GET /containers/NAME/json; None when there is no such container or no engine."""
    described: Described | None = _get(f"/containers/{container}/json")
    return described


def on_network(network: str) -> list[str]:
    """The containers that are on a network now, by their ids."""
    return list((_get(f"/networks/{network}") or {}).get("Containers") or {})


def networks() -> list[Network]:
    ids = [one["Id"] for one in _get("/networks") or [] if one["Driver"] == "bridge"]
    return [network(described) for id in ids if (described := _get(f"/networks/{id}"))]


def network(described: Described) -> Network:
    """What GET /networks/ID says; the bridge's name is the engine's choice unless the owner made one.

    An address whose container the engine does not tell yet is nobody's: it may be a routed one's.
    """
    name = (described.get("Options") or {}).get(BRIDGE) or bridge(described["Id"])
    endpoints = {
        container: tuple(
            address.partition("/")[0]
            for address in (there.get("IPv4Address"), there.get("IPv6Address"))
            if address
        )
        for container, there in (described.get("Containers") or {}).items()
        if not container.startswith(COMING_UP)
    }
    return Network(described["Name"], name, endpoints)


def bridge(network: str) -> str:
    """The name that the engine gives to the bridge of a network with this id."""
    return f"br-{network[:12]}"


def told(networks: list[Network], described: Described) -> list[Network]:
    """The same, with the addresses that a container has by its own description.

    While one comes up, its networks do not tell whose its addresses are.
    """
    there = described["NetworkSettings"]["Networks"]
    own = {
        name: tuple(address for kind in ("IPAddress", "GlobalIPv6Address") if (address := one.get(kind)))
        for name, one in there.items()
    }
    return [
        one._replace(endpoints={**one.endpoints, described["Id"]: own[one.name]}) if one.name in own else one
        for one in networks
    ]


def remembered(networks: list[Network], before: list[Network], container: Container) -> list[Network]:
    """The same, with the addresses that a running container had where its networks do not tell them now."""
    had = {one.name: one.endpoints[container.id] for one in before if container.id in one.endpoints}
    return [
        one._replace(endpoints={container.id: had[one.name], **one.endpoints})
        if one.name in had and one.name in container.networks
        else one
        for one in networks
    ]


def containers() -> list[Container]:
    listed = _get("/containers/json?all=1") or []
    return [
        Container(
            one["Id"],
            min(one["Names"], key=len, default="").lstrip("/"),  # the others are links to it
            one["State"] in ("running", "paused"),
            tuple((one.get("NetworkSettings") or {}).get("Networks") or {}),
        )
        for one in listed
    ]


def connect(network: str, container: str) -> str:
    """Put a container on a network so that its default route is there; why not, empty when it is.

    An engine before 28 knows no GwPriority, and takes the network whose name sorts first.
    """
    wanted = {"Container": container, "EndpointConfig": {"GwPriority": 1}}
    status, said = _call("POST", f"/networks/{network}/connect", json.dumps(wanted), LONGEST)
    return "" if status == 200 else str(_said(said))


def events(since: str) -> Iterator[Described | None]:
    """What happens to containers and networks since then (seconds of the clock); ends with the engine.

    The first one is None: from then on nothing is missed.
    """
    from urllib.parse import quote

    with _connected(None) as engine:
        path = f"/events?since={since}&filters={quote(json.dumps(HEARD))}"
        engine.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        with engine.makefile("rb") as stream:
            while stream.readline().strip():
                pass
            yield None
            for line in stream:
                yield json.loads(line)


def read_event(event: Described | None) -> tuple[str, str, str, list[Network]]:
    """(what happened, the container's name if it is told, its id, the network that was made).

    A network that was made has the bridge that the engine gives it, until one looks.
    """
    if event is None:
        return "", "", "", []
    word, actor = str(event.get("Action")), event.get("Actor") or {}
    attributes, id = actor.get("Attributes") or {}, str(actor.get("ID", ""))
    if event.get("Type") == "network":
        made = [Network("", bridge(id), {})] if word == "create" else []
        return word, "", str(attributes.get("container", "")), made
    return word, str(attributes.get("name", "")).lstrip("/"), id, []


def runs() -> bool:
    """Whether there is an engine; not asked over the socket, because systemd would start one."""
    try:
        with open(RUNS) as file:
            os.kill(int(file.read()), 0)
    except (OSError, ValueError):
        return False
    return True


def parse(prefix: str) -> tuple[int, int, int]:
    """(bits of the family, number of the network, length) of an address or a prefix."""
    import socket  # 5 ms that only this needs

    address, _, length = prefix.partition("/")
    kind, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    return bits, int.from_bytes(socket.inet_pton(kind, address), "big"), int(length or bits)


def way_out(described: Described, network: str) -> str:
    """Why a container gets out by another network than `network`, with the cure; empty when it does not.

    Docker gives the default route to the highest priority, then to the name that sorts first.
    """
    name = _name(described)
    networks = (described.get("NetworkSettings") or {}).get("Networks") or {}
    if network not in networks:
        return f"{name} is not on the network {network}; run: sudo bellpull vpn setup"
    leading = [called for called, there in networks.items() if there.get("Gateway") or called == network]
    first = min(leading, key=lambda called: (-(networks[called].get("GwPriority") or 0), called))
    if first != network:
        return f"{name} leaves by its network {first}; run: docker network disconnect {first} {name}"
    return ""


def names(described: Described, house: list[tuple[int, int, int]]) -> str:
    """Why what a container asks for by name is told to others, with the cure; empty when it is not.

    Without servers of its own, Docker asks for it from outside the container (Moby 28 on).
    house: the networks reached directly, by parse().
    """
    name = _name(described)
    servers = (described.get("HostConfig") or {}).get("Dns") or []
    if not servers:
        return f"{name} has no DNS server of its own; make it with --dns ADDRESS, or write dns: unchecked"
    for server in servers:
        bits, number, _ = parse(server)
        for kind, first, length in house:
            if kind == bits and number >> (bits - length) == first >> (bits - length):
                return f"{name} asks {server} in the house; give it another --dns, or write dns: unchecked"
    return ""


def _name(described: Described) -> str:
    return str(described.get("Name", "")).lstrip("/")


def _get(path: str) -> Any:
    """None when there is nothing of the kind, or no engine: then there is no container either."""
    try:
        status, body = _call("GET", path)
    except ConnectionRefusedError:
        return None
    return json.loads(body) if status == 200 else None


def _call(method: str, path: str, body: str = "", within: float = ANSWER) -> tuple[int, bytes]:
    """(status, body), by HTTP/1.0, so that the answer ends with the connection."""
    kind = "Content-Type: application/json\r\n" if body else ""
    request = f"{method} {path} HTTP/1.0\r\nHost: docker\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    try:
        with _connected(within) as engine:
            engine.sendall(request.encode())
            text = b""
            while (part := engine.recv(65536)) and len(text) <= LARGEST:
                text += part
    except ConnectionRefusedError:  # it does not run
        raise
    except OSError as error:
        raise Refusal("failed", f"Docker's engine does not answer: {error}") from None
    head, _, said = text.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), said


def _connected(within: float | None) -> Any:
    import socket

    found = next((place for place in SOCKETS if os.path.exists(place)), None)
    if found is None:
        raise ConnectionRefusedError
    engine = socket.socket(socket.AF_UNIX)
    try:
        engine.settimeout(within)
        engine.connect(found)
    except BaseException:
        engine.close()
        raise
    return engine


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return "the engine gives no reason"
