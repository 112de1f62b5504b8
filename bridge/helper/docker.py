"""What Docker's engine says of the containers on a routed network: would something get out another way?

Asked over the engine's socket, and never in the bridge, because who may ask there is root.
"""

import json
import os
from typing import Any

from .answer import Refusal

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
ANSWER = 3.0  # seconds
LARGEST = 4 << 20

Described = dict[str, Any]


def inspect(container: str) -> Described | None:
    """GET /containers/NAME/json; None when there is no such container or no engine."""
    return _get(f"/containers/{container}/json")


def on_network(network: str) -> list[str]:
    """The containers that are on a network now, by their ids."""
    return list((_get(f"/networks/{network}") or {}).get("Containers") or {})


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


def _get(path: str) -> Described | None:
    """HTTP/1.0, so that the answer ends with the connection; None when there is nothing."""
    import socket

    found = next((place for place in SOCKETS if os.path.exists(place)), None)
    if found is None:
        return None
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(ANSWER)
        try:
            engine.connect(found)
            engine.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            text = b""
            while (part := engine.recv(65536)) and len(text) <= LARGEST:
                text += part
        except ConnectionRefusedError:  # it does not run, and so does no container
            return None
        except OSError as error:
            raise Refusal("failed", f"Docker's engine does not answer: {error}") from None
    head, _, body = text.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        return None
    described: Described = json.loads(body)
    return described
