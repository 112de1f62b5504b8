"""What `bellpull vpn` says, a line after the other."""

import asyncio
import os
from collections.abc import Iterator

from bridge import check, config
from bridge.contract import RouteGrant
from bridge.paths import Paths
from bridge.vpn import setup, status
from bridge.vpn.engine import VpnError

__all__ = ["VpnError", "run"]


def run(paths: Paths, what: str, key: str, dry_run: bool, remove: bool) -> Iterator[str]:
    """Do it and say it; VpnError when it cannot be done."""
    if os.geteuid() != 0:
        raise VpnError(f"Docker listens to root only: sudo bellpull vpn {what} {key}")
    grant = find(paths, key)
    if what == "status":
        yield from asyncio.run(status.status(grant))
        return
    steps = list(setup.removal(grant) if remove else setup.plan(grant))
    for step in steps:
        yield f"would {step.text}" if dry_run else step.text
        if not dry_run:
            step.do()
    if not steps:
        yield "nothing to do"


def find(paths: Paths, key: str) -> RouteGrant:
    """The tile's grant; VpnError when the configuration has no such tile."""
    try:
        found, errors = config.load(paths.config)
    except config.ConfigError as error:
        raise VpnError(str(error)) from None
    if found is None:
        raise VpnError(errors[0])
    grants = {grant.key: grant for grant in check.grants(found) if isinstance(grant, RouteGrant)}
    if key not in grants:
        known = ", ".join(grants) or "none"
        raise VpnError(f"{paths.config} has no VPN tile {key}; it has: {known}")
    return grants[key]
