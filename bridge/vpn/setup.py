"""`bellpull vpn setup KEY`: Docker's network, and what a start of the machine needs; and back again."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.contract import RouteGrant
from bridge.paths import HELPER
from bridge.rootfile import RootFile
from bridge.vpn import engine as engines

ROUTER = "bellpull-router.service"
NETWORKD = Path("/etc/systemd/networkd.conf.d/50-bellpull.conf")
SYSTEMCTL = "/usr/bin/systemctl"

KEEP = """\
# Written by `bellpull vpn setup`: systemd-networkd would delete the rules and routes at its restart.
[Network]
ManageForeignRoutingPolicyRules=no
ManageForeignRoutes=no
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, said in a line."""

    text: str
    do: Callable[[], None]


def plan(grant: RouteGrant) -> Iterator[Step]:
    """What is missing, in its order; VpnError when it cannot be had. Nothing is done yet."""
    engine = engines.connect()
    container = engines.find(engine, grant)
    for file in files(grant):
        if not file.is_there():
            yield Step(f"write {file.path}", lambda file=file: _write(file))  # type: ignore[misc]
    if not _runs():
        yield Step(f"start {ROUTER}, now and before Docker", lambda: _systemctl("enable", "--now", ROUTER))
    if engines.network(engine, grant) is None:
        line = f"make the Docker network {grant.network} on the bridge {grant.bridge}"
        yield Step(line, lambda: engines.make(engine, grant))
    if container and grant.network not in container.attrs["NetworkSettings"]["Networks"]:
        line = f"connect {container.name} to it; its open connections end"
        yield Step(line, lambda: engines.join(engine, grant, container))


def removal(grant: RouteGrant, others: bool) -> Iterator[Step]:
    """The same, taken back; the router and networkd's file stay while there are other tiles."""
    yield Step("turn it off", lambda: _run(str(HELPER), "route-off", grant.key))
    engine = engines.connect()
    found = next(iter(engine.networks.list(names=[f"^{grant.network}$"])), None)
    if found:
        yield Step(f"remove the Docker network {grant.network}", lambda: engines.leave(found))
    if not others:
        if _runs():
            yield Step(f"stop {ROUTER}", lambda: _systemctl("disable", "--now", ROUTER))
        if NETWORKD.exists():
            yield Step(f"remove {NETWORKD}", NETWORKD.unlink)


def renew() -> None:
    """Let a router that runs read what root allows now."""
    _ask(SYSTEMCTL, "--quiet", "try-restart", ROUTER)


def files(grant: RouteGrant) -> list[RootFile]:
    return [RootFile(NETWORKD, KEEP, 0o644)]


def _runs() -> bool:
    """Whether the router runs, and will before Docker at the next start."""
    return all(_ask(SYSTEMCTL, "--quiet", word, ROUTER) for word in ("is-enabled", "is-active"))


def _write(file: RootFile) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with file.staged() as draft:
        file.publish(draft)


def _systemctl(*words: str) -> None:
    _run(SYSTEMCTL, "--quiet", *words)


def _ask(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0  # noqa: S603


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise engines.VpnError(f"{' '.join(words)}: {said or f'exit code {done.returncode}'}")
