"""Reads what root allows: the file that `bellpull apply` compiles from the configuration."""

import json

from . import trust
from .answer import Refusal

PATH = "/etc/bellpull/policy.json"
VERSION = 1
LARGEST = 1 << 20

Policy = dict[str, object]
"""{"version": 1, SECTION: …}; each section is read, and judged, by the verbs it is for."""


def read(path: str) -> Policy:
    """The policy at `path`; Refusal with code unsafe or policy."""
    try:
        descriptor = trust.open_file(path)
    except trust.Missing:
        raise unusable(f"{path} is missing") from None
    with open(descriptor, "rb") as file:
        text = file.read(LARGEST + 1)
    return parse(text)


def parse(text: bytes) -> Policy:
    """The policy in `text`; Refusal with code policy."""
    if len(text) > LARGEST:
        raise unusable("it is too large")
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        raise unusable("it is not JSON") from None
    if not isinstance(policy, dict) or policy.get("version") != VERSION:
        raise unusable("it was written for another version of Bellpull")
    return policy


def unusable(reason: str) -> Refusal:
    """A refusal for a policy that is not as `apply` writes it."""
    return Refusal("policy", f"the policy cannot be used: {reason}; run: sudo bellpull apply")


def denied(what: str) -> Refusal:
    """A refusal for something that the policy does not hold."""
    return Refusal("denied", f"root was not told to allow {what}; run: sudo bellpull apply")
