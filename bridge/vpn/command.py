"""What `bellpull vpn` says, a line after the other."""

import asyncio
import os
from collections.abc import Iterable, Iterator

from bridge import check, config
from bridge.apply import ApplyError, read_config
from bridge.contract import RouteGrant
from bridge.paths import Paths
from bridge.vpn import setup, status
from bridge.vpn.engine import VpnError

__all__ = ["VpnError", "run"]


def run(paths: Paths, what: str, key: str, dry_run: bool, remove: bool) -> Iterator[str]:
    """Do it and say it; VpnError when it cannot be done."""
    if os.geteuid() != 0:
        raise VpnError(f"Docker listens to root only: sudo bellpull vpn {what} {key}")
    grants = tiles(paths)
    if key not in grants:
        known = ", ".join(grants) or "none"
        raise VpnError(f"{paths.config} has no VPN tile {key}; it has: {known}")
    grant = grants[key]
    if what == "status":
        yield from asyncio.run(status.status(grant))
        return
    steps = list(setup.removal(grant, others=len(grants) > 1) if remove else setup.plan(grant))
    for step in steps:
        yield f"would {step.text}" if dry_run else step.text
        if not dry_run:
            step.do()
    if not steps:
        yield "nothing to do"


def prepare(grants: Iterable[RouteGrant], changed: bool) -> Iterator[str]:
    """What `apply` does for VPN tiles: a line for each thing done; one that cannot be is told, too."""
    if changed:
        setup.renew()
    for grant in grants:
        try:
            for step in setup.plan(grant):
                step.do()
                yield f"{grant.key}: {step.text}"
        except VpnError as error:
            yield f"{grant.key}: not prepared yet: {error}; then run: sudo bellpull vpn setup {grant.key}"


def tiles(paths: Paths) -> dict[str, RouteGrant]:
    """What the configuration's VPN tiles need, by their keys; root believes what `apply` would."""
    try:
        found, errors = config.parse(read_config(paths.config), str(paths.config), builtin_only=True)
    except (ApplyError, config.ConfigError) as error:
        raise VpnError(str(error)) from None
    if found is None:
        raise VpnError(errors[0])
    return {grant.key: grant for grant in check.grants(found) if isinstance(grant, RouteGrant)}
