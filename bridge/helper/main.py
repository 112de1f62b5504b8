"""The program: `bellpull-helper VERB NAME`, run by sudo."""

import os
from collections.abc import Sequence

from . import policy, process, trust, verbs
from .answer import Refusal, answer
from .running import run


def main(arguments: Sequence[str]) -> int:
    """Do what the two words ask and say how it went; the exit code, 0 if it was done."""
    refusal = attempt(arguments)
    try:
        os.write(1, answer(refusal))
    except OSError:  # nobody listens; the exit code still tells
        pass
    return int(refusal is not None)


def attempt(arguments: Sequence[str]) -> Refusal | None:
    """None when it was done, else why not; never an exception."""
    try:
        process.reset()
        _serve(arguments)
    except Refusal as refusal:
        return refusal
    except Exception as error:
        return Refusal("failed", f"the helper has a bug: {type(error).__name__}: {error}")
    return None


def _serve(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise Refusal("usage", "the helper is called with two words: VERB NAME")
    if os.getuid() != 0 or os.geteuid() != 0:
        raise Refusal("usage", "the helper does its work as root; it is called through sudo")
    word, name = arguments
    verb = verbs.find(word)
    trust.inspect_loaded()
    wanted = verb(policy.read(policy.PATH), name)
    if callable(wanted):
        wanted()
    elif wanted is not None:
        run(wanted)
