"""Docker's engine: what a routed container and its network have to be, and making them so."""

import hashlib
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from bridge.contract import RouteGrant

SOCKET = "unix:///run/docker.sock"  # not from the environment: it may point at another machine
NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
LEAST_MTU = 1420  # WireGuard's over Ethernet; what fits everywhere when the tunnel is not there yet
PRIORITIES = (1, 48)  # the API that has GwPriority: engine 28
MODES = {
    "host": "uses the server's own network",
    "none": "has no network",
    "container": "shares the network of another container",
}


class VpnError(Exception):
    """It cannot be set up; one line for a person, with the cure."""


def connect() -> docker.DockerClient:
    try:
        engine = docker.DockerClient(base_url=SOCKET, timeout=30)
        info = engine.info()
    except DockerException as error:
        raise VpnError(f"Docker's engine does not answer at {SOCKET}: {_said(error)}") from None
    if any("rootless" in option for option in info.get("SecurityOptions") or ()):
        raise VpnError(
            "Docker runs rootless, where its traffic has no bridge of the server's; use the system's"
        )
    return engine


def find(engine: docker.DockerClient, grant: RouteGrant) -> Container | None:
    """The container of the tile; VpnError when it cannot be routed. None when none is named."""
    if grant.container is None:
        return None
    try:
        container = engine.containers.get(grant.container)
    except NotFound:
        raise VpnError(
            f"there is no container {grant.container}; `docker ps --all` shows those there are"
        ) from None
    mode = str(container.attrs["HostConfig"]["NetworkMode"]).partition(":")[0]
    if mode in MODES:
        raise VpnError(
            f"{grant.container} {MODES[mode]}, so it has no way of its own; make it without --network {mode}"
        )
    for name in others(container, grant):
        driver = engine.networks.get(name).attrs["Driver"]
        if driver in ("macvlan", "ipvlan", "overlay"):
            raise VpnError(
                f"{grant.container} is on {name} ({driver}), which passes by the server's rules; "
                f"run: docker network disconnect {name} {grant.container}"
            )
    return container


def others(container: Container, grant: RouteGrant) -> list[str]:
    return [name for name in container.attrs["NetworkSettings"]["Networks"] if name != grant.network]


def network(engine: docker.DockerClient, grant: RouteGrant) -> Network | None:
    """The tile's network, if it is there; VpnError when it is not as it must be."""
    found = engine.networks.list(names=[f"^{grant.network}$"])
    if not found:
        return None
    there = found[0]
    if wrong := what_is_wrong(there.attrs, grant):
        raise VpnError(
            f"the network {grant.network} {wrong}; remove it and try again: docker network rm {grant.network}"
        )
    return there


def what_is_wrong(attributes: dict[str, Any], grant: RouteGrant) -> str:
    """Why a network cannot be routed, in words that follow its name; empty when it can."""
    options = attributes.get("Options") or {}
    prefix = "com.docker.network.bridge."
    modes = [options.get(f"{prefix}gateway_mode_{family}", "nat") for family in ("ipv4", "ipv6")]
    checks = [
        (attributes["Driver"] != "bridge", f"has the driver {attributes['Driver']}, not bridge"),
        (options.get(NAME) != grant.bridge, f"has not the bridge {grant.bridge}"),
        (attributes["Internal"], "is internal, so nothing gets out of it anyway"),
        (options.get(f"{prefix}enable_ip_masquerade", "true") == "false", "does not masquerade"),
        (any("host_ipv" in option for option in options), "goes out with an address of its own (host_ipv4)"),
        (any(mode not in ("nat", "nat-unprotected") for mode in modes), "is not translated (gateway_mode)"),
        (attributes["EnableIPv6"] is not grant.ipv6, f"has {'no ' * grant.ipv6}IPv6"),
    ]  # fmt: skip
    return next((text for wrong, text in checks if wrong), "")


def make(engine: docker.DockerClient, grant: RouteGrant) -> None:
    options = {NAME: grant.bridge, MTU: str(mtu(grant.interface))}
    pools = [docker.types.IPAMPool(subnet=subnet(grant.key))] if grant.ipv6 else []
    try:
        engine.networks.create(
            grant.network,
            driver="bridge",
            options=options,
            enable_ipv6=grant.ipv6,
            ipam=docker.types.IPAMConfig(pool_configs=pools) if pools else None,
            check_duplicate=True,
            labels={"bellpull": grant.key},
        )
    except APIError as error:
        raise VpnError(f"Docker does not make the network {grant.network}: {_said(error)}") from None


def join(engine: docker.DockerClient, grant: RouteGrant, container: Container) -> None:
    """Connect it, so that its default route is this network's."""
    wanted: dict[str, Any] = {"Container": container.id, "EndpointConfig": {}}
    version = tuple(int(part) for part in engine.api._version.split("."))
    if version >= PRIORITIES:
        wanted["EndpointConfig"]["GwPriority"] = 1
    found = network(engine, grant)
    assert found is not None
    # The SDK knows no GwPriority.
    answer = engine.api._post_json(engine.api._url("/networks/{0}/connect", found.id), data=wanted)
    try:
        engine.api._raise_for_status(answer)
    except APIError as error:
        raise VpnError(
            f"Docker does not connect {container.name} to {grant.network}: {_said(error)}"
        ) from None


def leave(found: Network) -> None:
    """Everybody off it, and the network away."""
    try:
        found.reload()
        for container in found.attrs.get("Containers") or {}:
            found.disconnect(container, force=True)
        found.remove()
    except APIError as error:
        raise VpnError(f"Docker does not remove the network {found.name}: {_said(error)}") from None


def mtu(interface: str) -> int:
    """The tunnel's, so that nothing has to be cut to pieces in it."""
    try:
        return int(Path(f"/sys/class/net/{interface}/mtu").read_text())
    except OSError:
        return LEAST_MTU


def subnet(key: str) -> str:
    """A unique local network for this key (RFC 4193); old engines choose none by themselves."""
    digits = hashlib.sha256(f"bellpull {key}".encode()).hexdigest()
    return f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}::/64"


def _said(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())
