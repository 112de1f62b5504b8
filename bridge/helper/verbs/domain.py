"""Guests of libvirt: `domain-start NAME`, and `domains-start all` for whatever guests there are.

Policy: "domains": {NAME: [WORD, …]}, "all_domains": [WORD, …]; the words are those of WORDS.

virsh finds a guest by id, UUID or name, in this order, so a name of digits only is refused.
Of `all`, libvirt itself says which are in the state that the word is for. virsh goes on after a
command that failed and exits with the last one's code, so what it complains of counts.
"""

import re
from functools import partial

from ..plan import Plan
from ..policy import Policy, denied, unusable

VIRSH = ("/usr/bin/virsh", "--quiet", "--connect", "qemu:///system")
DEADLINE = 120.0  # a guest that was saved reads all its memory from disk
NAME = re.compile(r"(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,99}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WORDS = {
    "start": ("start", "--inactive"),
    "resume": ("resume", "--state-paused"),
    "wakeup": ("dompmwakeup", "--state-other"),
    "shutdown": ("shutdown", "--state-running"),
    "reboot": ("reboot", "--state-running"),
    "destroy": ("destroy", "--state-running"),
}
"""Word -> (virsh's command, its filter for the guests that it makes sense for)."""


def _one(word: str, policy: Policy, name: str) -> Plan:
    domains = policy.get("domains")
    if not isinstance(domains, dict):
        raise unusable("it has no domains")
    if not NAME.fullmatch(name) or word not in _words(domains.get(name, [])):
        raise denied(f"guest {name}: {word}")
    return Plan((*VIRSH, WORDS[word][0], f"--domain={name}"), deadline=DEADLINE)


def _every(word: str, policy: Policy, name: str) -> Plan:
    if name != "all" or word not in _words(policy.get("all_domains", [])):
        raise denied(f"all guests: {word}")
    command, those = WORDS[word]

    def then(said: str) -> Plan | None:
        found = [line for line in said.split() if UUID.fullmatch(line)]
        work = "; ".join(f"{command} --domain={uuid}" for uuid in found)
        return Plan((*VIRSH, work), strict=True, deadline=DEADLINE) if found else None

    return Plan((*VIRSH, "list", "--uuid", those), deadline=DEADLINE, then=then)


def _words(found: object) -> list[object]:
    if not isinstance(found, list):
        raise unusable("what it allows of guests is no list")
    return found


VERBS = {
    f"{prefix}-{word}": partial(verb, word)
    for prefix, verb in (("domain", _one), ("domains", _every))
    for word in WORDS
}
