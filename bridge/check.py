"""`bellpull check`: the configuration against its rules, then against this machine."""

import asyncio

from bridge import config, policy
from bridge.config import Config
from bridge.contract import Grant, ScansGrant, Unavailable
from bridge.paths import Paths
from bridge.scansunit import ScansError, ScansFiles
from bridge.tools import Tools


def check(paths: Paths) -> tuple[Config | None, list[str], list[str]]:
    """(configuration, errors, warnings), a line each; raises ConfigError when there is no file."""
    found, errors = config.load(paths.config)
    if found is None or errors:
        return found, errors, []
    warnings = asyncio.run(_doubts(found, paths))
    return found, [], [*warnings, *_scans(found), *_policy(found)]


def grants(found: Config) -> list[Grant]:
    """What the whole configuration needs of root."""
    return [grant for entry in found.accessories if entry.kind for grant in entry.kind.grants(entry.key)]


async def _doubts(found: Config, paths: Paths) -> list[str]:
    tools = Tools(secrets=paths.keys)
    lines = []
    unseen = {}
    try:
        for entry in found.accessories:
            assert entry.kind is not None
            try:
                doubts = await entry.kind.doubts(tools)
            except Unavailable as trouble:
                unseen[str(trouble)] = entry.kind_name
            else:
                place = f"{paths.config}:{entry.place}: accessories.{entry.key}"
                lines += [f"{place}: warning: {doubt}" for doubt in doubts]
    finally:
        await tools.close()
    return lines + [f"warning: {kind} not compared with this machine: {why}" for why, kind in unseen.items()]


def _scans(found: Config) -> list[str]:
    """By hand two inboxes work; a server has one service for them."""
    try:
        ScansFiles().wanted(grant for grant in grants(found) if isinstance(grant, ScansGrant))
    except ScansError as error:
        return [f"warning: `apply` will refuse: {error}"]
    return []


def _policy(found: Config) -> list[str]:
    needed = grants(found)
    try:
        if not policy.is_behind(needed):
            return []
        in_force = policy.read_policy()
    except policy.PolicyError as error:
        return [f"warning: {line}" for line in error.args]
    if in_force is None and not needed:
        return []
    return ["warning: root does not allow what this configuration asks for yet; run: sudo bellpull apply"]
