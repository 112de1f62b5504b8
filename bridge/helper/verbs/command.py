"""Commands of the owner that run as root, as services of systemd's.

Policy: "commands": {KEY: {"on": [PROGRAM, ARG, …], "off": […], "timeout": SECONDS}}.

Why a service: a child of ours would live in the control group and see the file systems of the
bridge's own service, and die with it. systemd starts this one, in the state in which it
starts any, and `timeout` in it keeps the deadline when nobody waits any longer. So that commands of one
tile neither pile up nor overtake each other, each ends what is left of the one before.
"""

import os

from ..plan import Plan
from ..policy import Policy, denied, unusable

SYSTEMCTL = "/usr/bin/systemctl"
SYSTEMD_RUN = "/usr/bin/systemd-run"
TIMEOUT = "/usr/bin/timeout"
LONGEST = 86400.0
GRACE = 5  # seconds from TERM to KILL
SLACK = 20.0  # seconds for systemd to start it and to report


def on(policy: Policy, key: str) -> Plan:
    return _service("on", policy, key)


def off(policy: Policy, key: str) -> Plan:
    return _service("off", policy, key)


def services(key: str) -> list[str]:
    """Patterns that match the services of this key's commands, and of no other key's."""
    return [f"bellpull-{key}-{which}-{'[0-9a-f]' * 8}.service" for which in ("on", "off")]


def _service(which: str, policy: Policy, key: str) -> Plan:
    argv, seconds = _entry(which, policy, key)
    number = os.urandom(4).hex()  # of one that ended, children may still be there, and keep its name
    return Plan(
        (
            SYSTEMD_RUN,
            "--wait",
            "--collect",
            "--quiet",
            "--no-ask-password",
            f"--unit=bellpull-{key}-{which}-{number}",
            f"--description=Bellpull: {key} {which}",
            f"--property=SyslogIdentifier=bellpull-{key}",
            "--property=IgnoreSIGPIPE=no",
            "--property=KillMode=process",  # what it leaves in the background stays
            "--",
            TIMEOUT,
            f"--kill-after={GRACE}",
            f"{seconds:f}",
            *(argument.replace("$", "$$") for argument in argv),  # systemd puts variables in
        ),
        first=(SYSTEMCTL, "--no-ask-password", "--quiet", "stop", "--", *services(key)),
        deadline=seconds + GRACE + SLACK,
        timeout=seconds,
        detached=True,
    )


def _entry(which: str, policy: Policy, key: str) -> tuple[list[str], float]:
    commands = policy.get("commands")
    if not isinstance(commands, dict):
        raise unusable("it has no commands")
    entry = commands.get(key)
    if not isinstance(entry, dict) or which not in entry:
        raise denied(f"command {key} {which}")
    argv, seconds = entry[which], entry.get("timeout")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise unusable(f"commands.{key}.{which} is no list of words")
    if not isinstance(seconds, (int, float)) or not 0 < seconds <= LONGEST:
        raise unusable(f"commands.{key}.timeout is no number of seconds")
    return argv, float(seconds)


VERBS = {"command-on": on, "command-off": off}
