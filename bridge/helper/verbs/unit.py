"""Units of systemd: puts a job in the queue and returns; the outcome is seen on the bus.

Policy: "units": [UNIT, …].
"""

import re

from ..plan import Plan
from ..policy import Policy, denied, unusable

SYSTEMCTL = "/usr/bin/systemctl"
DEADLINE = 20.0  # a busy init answers late; a queued job itself is never waited for

NAME = re.compile(
    r"[A-Za-z0-9:_.\\@-]{1,200}\.(?:service|socket|target|timer|path|mount|automount|swap|slice)"
)
"""systemd.unit(5), without what systemctl would take for a pattern."""


def start(policy: Policy, unit: str) -> Plan:
    return _queue("start", policy, unit)


def stop(policy: Policy, unit: str) -> Plan:
    return _queue("stop", policy, unit)


def restart(policy: Policy, unit: str) -> Plan:
    """Only what runs: a unit that a person stopped stays stopped."""
    return _queue("try-restart", policy, unit)


def _queue(job: str, policy: Policy, unit: str) -> Plan:
    units = policy.get("units")
    if not isinstance(units, list):
        raise unusable("it has no units")
    if unit not in units or not NAME.fullmatch(unit):
        raise denied(f"unit {unit}")
    return Plan((SYSTEMCTL, "--no-block", "--no-ask-password", "--quiet", job, "--", unit), deadline=DEADLINE)


VERBS = {"unit-start": start, "unit-stop": stop, "unit-restart": restart}
