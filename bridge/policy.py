"""What root allows: compiled from what the accessories need, kept where the helper reads it."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bridge.contract import CommandGrant, ContainerGrant, DomainGrant, Grant, RouteGrant, UnitGrant
from bridge.helper.policy import PATH, VERSION
from bridge.helper.verbs.command import LONGEST
from bridge.helper.verbs.container import ALL
from bridge.helper.verbs.container import NAME as DOCKER_NAME
from bridge.helper.verbs.domain import NAME as DOMAIN_NAME
from bridge.helper.verbs.domain import WORDS
from bridge.helper.verbs.unit import NAME as UNIT_NAME

POLICY = Path(PATH)
KEY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

Policy = dict[str, Any]
"""{"version": 1, "units": [UNIT, …], "commands": {KEY: {…}}, "routes": {KEY: {…}}}; see helper/verbs. Where
somebody has them also "domains", "all_domains" and "containers"."""


class PolicyError(Exception):
    """The policy cannot be read or compiled; a line for a person in each of the arguments."""


def compile_policy(grants: Iterable[Grant]) -> Policy:
    """The policy that holds these grants and no more; PolicyError with every name it cannot hold."""
    grants = list(grants)
    problems = [problem for grant in grants if (problem := _problem(grant))]
    problems += _collisions([grant for grant in grants if isinstance(grant, RouteGrant)])
    if problems:
        raise PolicyError(*problems)
    return {
        "version": VERSION,
        "units": sorted({grant.unit for grant in grants if isinstance(grant, UnitGrant)}),
        "commands": {grant.key: _entry(grant) for grant in grants if isinstance(grant, CommandGrant)},
        "routes": {grant.key: route_entry(grant) for grant in grants if isinstance(grant, RouteGrant)},
        **_guests([grant for grant in grants if isinstance(grant, DomainGrant)]),
        **_containers([grant for grant in grants if isinstance(grant, ContainerGrant)]),
    }


def read_policy(path: Path = POLICY) -> Policy | None:
    """The policy in force, None if there is none; PolicyError when it cannot be used."""
    try:
        policy: Policy = json.loads(path.read_bytes())
        describe(policy)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise PolicyError(f"{path}: not as `bellpull apply` writes it; run: sudo bellpull apply") from None
    return policy


def is_behind(grants: Iterable[Grant], path: Path = POLICY) -> bool:
    """Does the policy in force differ from what these grants ask for?"""
    return read_policy(path) != compile_policy(grants)


def describe(policy: Policy) -> list[str]:
    """The policy in lines for a person, one a thing that root allows."""
    units = [f"unit {unit}: start, stop, restart" for unit in policy["units"]]
    commands = [
        f"command {key} {which}, {entry['timeout']:g} s: {json.dumps(entry[which], ensure_ascii=False)}"
        for key, entry in policy["commands"].items()
        for which in ("on", "off")
        if which in entry
    ]
    routes = [
        f"route {key}: what comes from {entry['bridge']} through {entry['interface']}"
        for key, entry in policy["routes"].items()
    ]
    guests = [f"guest {name}: {', '.join(words)}" for name, words in policy.get("domains", {}).items()]
    if "all_domains" in policy:
        guests.append(f"every guest: {', '.join(policy['all_domains'])}")
    containers = [
        f"{key}: start, stop, restart, watch {_named(entry)}"
        for key, entry in policy.get("containers", {}).items()
    ]
    return units + commands + routes + guests + containers


def calls(policy: Policy) -> Iterator[tuple[str, str]]:
    """Each (verb, name) that the helper may be called with."""
    for unit in policy["units"]:
        for verb in ("unit-start", "unit-stop", "unit-restart"):
            yield verb, unit
    for key, entry in policy["commands"].items():
        for which in ("on", "off"):
            if which in entry:
                yield f"command-{which}", key
    for key in policy["routes"]:
        for verb in ("route-on", "route-off"):
            yield verb, key
    for name, words in policy.get("domains", {}).items():
        for word in words:
            yield f"domain-{word}", name
    for word in policy.get("all_domains", []):
        yield f"domains-{word}", "all"
    for key in policy.get("containers", {}):
        for verb in ("container-start", "container-stop", "container-restart"):
            yield verb, key
    if "containers" in policy:
        yield "container-watch", ALL


def _problem(grant: Grant) -> str:
    """Why a grant has no place in a policy, or nothing. Names must be exact in sudoers."""
    match grant:
        case UnitGrant(unit) if not UNIT_NAME.fullmatch(unit):
            return f"{unit!r} is not the full name of a unit; write it as in: smbd.service"
        case DomainGrant(str(name)) if not DOMAIN_NAME.fullmatch(name):
            return f"{name!r} cannot be the name of a guest that root may start; `virsh domrename` it"
        case CommandGrant(key) if not KEY_NAME.fullmatch(key):
            return f"{key!r} cannot be the key of a privileged command; use letters, digits, _ . -"
        case CommandGrant(key, timeout=seconds) if not 0 < seconds <= LONGEST:
            return f"{key}: a privileged command cannot have {seconds:g} s; give it a day at most"
        case ContainerGrant(key) if not KEY_NAME.fullmatch(key):
            return f"{key!r} cannot be the key of a container; use letters, digits, _ . -"
        case ContainerGrant(key, name, project) if not DOCKER_NAME.fullmatch(name or project or ""):
            return f"{key}: {name or project!r} cannot be a name of Docker's"
    return ""


def _guests(grants: list[DomainGrant]) -> Policy:
    """As helper/verbs/domain.py reads it; nothing where nobody has a guest."""
    found: dict[str | None, list[str]] = {}
    for grant in sorted(grants, key=lambda grant: grant.force):
        found[grant.name] = [word for word in WORDS if grant.force or word != "destroy"]
    named = {name: words for name, words in sorted(found.items(), key=str) if name is not None}
    sections = {"domains": named, "all_domains": found.get(None, [])}
    return {section: entries for section, entries in sections.items() if entries}


def _containers(grants: list[ContainerGrant]) -> Policy:
    """As helper/verbs/container.py reads it; nothing where nobody has a container."""
    entries = {
        grant.key: {"container": grant.container, "project": grant.project, "grace": grant.grace}
        for grant in grants
    }
    return {"containers": entries} if entries else {}


def _named(entry: dict[str, Any]) -> str:
    return f"container {entry['container']}" if entry["container"] else f"project {entry['project']}"


def _collisions(grants: list[RouteGrant]) -> Iterator[str]:
    for one, other in itertools.combinations(grants, 2):
        if one.table == other.table or one.bridge == other.bridge:
            yield f"{one.key} and {other.key} share a routing table by chance; change one of the keys"


def route_entry(grant: RouteGrant) -> dict[str, Any]:
    """As helper/verbs/route.py reads it."""
    return {
        "bridge": grant.bridge,
        "table": grant.table,
        "interface": grant.interface,
        "lan": list(grant.lan),
        "ipv6": grant.ipv6,
        "network": grant.network,
        "container": grant.container,
        "dns": grant.checks_dns,
    }


def _entry(grant: CommandGrant) -> dict[str, Any]:
    argvs = {"on": grant.on, "off": grant.off}
    return {which: list(argv) for which, argv in argvs.items() if argv} | {"timeout": grant.timeout}
