"""`bellpull vpn setup KEY`: Docker's network, and what a start of the machine needs; and back again."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.contract import RouteGrant
from bridge.paths import HELPER, STATE
from bridge.rootfile import RootFile
from bridge.vpn import engine as engines

UNITS = Path("/etc/systemd/system")
NETWORKD = Path("/etc/systemd/networkd.conf.d/50-bellpull.conf")
SYSTEMCTL = "/usr/bin/systemctl"

GUARD = """\
# Written by `bellpull vpn setup`. While the tile is on, nothing leaves before the bridge has laid the way.
[Unit]
Description=Bellpull: nothing of {key} gets out but through {interface}
Before=docker.service
ConditionPathExists={wish}

[Service]
Type=oneshot
ExecStart={helper} route-guard {key}

[Install]
WantedBy=docker.service multi-user.target
"""
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
    unit = guard_unit(grant)
    if not (UNITS / "docker.service.wants" / unit).is_symlink():
        yield Step(f"enable {unit}, before Docker", lambda: _systemctl("enable", unit))
    if engines.network(engine, grant) is None:
        line = f"make the Docker network {grant.network} on the bridge {grant.bridge}"
        yield Step(line, lambda: engines.make(engine, grant))
    if container and grant.network not in container.attrs["NetworkSettings"]["Networks"]:
        line = f"connect {container.name} to it; its open connections end"
        yield Step(line, lambda: engines.join(engine, grant, container))


def removal(grant: RouteGrant) -> Iterator[Step]:
    """The same, taken back; networkd's file stays while another tile's unit is there."""
    yield Step("turn it off", lambda: _run(str(HELPER), "route-off", grant.key))
    engine = engines.connect()
    found = next(iter(engine.networks.list(names=[f"^{grant.network}$"])), None)
    if found:
        yield Step(f"remove the Docker network {grant.network}", lambda: engines.leave(found))
    unit = UNITS / guard_unit(grant)
    if unit.exists():
        yield Step(f"disable and remove {unit}", lambda: _remove_unit(unit))
    if NETWORKD.exists() and not [other for other in UNITS.glob("bellpull-vpn-*.service") if other != unit]:
        yield Step(f"remove {NETWORKD}", NETWORKD.unlink)


def guard_unit(grant: RouteGrant) -> str:
    return f"bellpull-vpn-{grant.key}.service"


def files(grant: RouteGrant) -> list[RootFile]:
    wish = STATE / "wishes" / f"{grant.key}.on"
    text = GUARD.format(key=grant.key, interface=grant.interface, wish=wish, helper=HELPER)
    return [RootFile(UNITS / guard_unit(grant), text, 0o644), RootFile(NETWORKD, KEEP, 0o644)]


def _write(file: RootFile) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with file.staged() as draft:
        file.publish(draft)
    _systemctl("daemon-reload")


def _remove_unit(unit: Path) -> None:
    _systemctl("disable", unit.name)
    unit.unlink()
    _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    _run(SYSTEMCTL, "--quiet", *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise engines.VpnError(f"{' '.join(words)}: {said or f'exit code {done.returncode}'}")
