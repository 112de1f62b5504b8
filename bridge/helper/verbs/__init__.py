"""The words that the helper knows, and where each is done.

One file a subject, with a table VERBS of word -> pure function that looks the name up and makes a Plan, or
returns what is to be called (Work). A file is imported only when its word is said, so that a subject with a
heavy library slows no other.
"""

from collections.abc import Callable
from importlib import import_module

from ..answer import Refusal
from ..plan import Plan
from ..policy import Policy

Work = Callable[[], None]
"""Does it in this process; Refusal with code failed or refused."""

Verb = Callable[[Policy, str], Plan | Work | None]
"""(policy, name) -> what to do about it, None when it is done; Refusal with code denied or policy."""

FILES = {
    "unit-start": "unit",
    "unit-stop": "unit",
    "unit-restart": "unit",
    "command-on": "command",
    "command-off": "command",
    "container-start": "container",
    "container-stop": "container",
    "container-restart": "container",
    "container-watch": "container",
    "route-on": "route",
    "route-off": "route",
} | {
    f"{prefix}-{word}": "domain"
    for prefix in ("domain", "domains")
    for word in ("start", "resume", "wakeup", "shutdown", "reboot", "destroy")
}


def find(word: str) -> Verb:
    """The verb of this name; Refusal with code usage."""
    if word not in FILES:
        raise Refusal("usage", f"the helper knows no verb {word}; it knows {', '.join(FILES)}")
    module = import_module(f"{__name__}.{FILES[word]}")
    verb: Verb = module.VERBS[word]
    return verb
