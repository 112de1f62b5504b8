"""The lines in which sudo is told who may call the helper, and with which words.

Each line is exact: sudo reads *, ?, [ ] and a leading ^ in arguments as patterns, in which a *
matches spaces and slashes too (sudoers(5), "Wildcards").
"""

import re
import shutil
import subprocess
from pathlib import Path

from bridge.paths import HELPER
from bridge.policy import Policy, calls

SUDOERS = Path("/etc/sudoers.d/bellpull")
USER = "bellpull"

HEADER = """\
# Written by `bellpull apply` from the configuration; what is changed here is lost.
"""
SPECIAL = re.compile(r"[,:=]")
EXACT = re.compile(r"[A-Za-z0-9:_.\\@-]+")


class SudoersError(Exception):
    """sudo would not take the lines; the text is one line for a person."""


def render(policy: Policy) -> str:
    """The whole file.

    NOSETENV in case an administrator lets everybody set variables: LD_PRELOAD would be one.
    """
    rule = f"{USER} ALL=(root) NOPASSWD: NOSETENV: {HELPER}"
    return HEADER + "".join(f"{rule} {verb} {_exact(name)}\n" for verb, name in calls(policy))


def check(path: Path) -> None:
    """Let visudo read `path`; SudoersError with what it says."""
    result = _run("visudo", "--check", "--strict", "--quiet", f"--file={path}")
    if result.returncode != 0:
        raise SudoersError(f"visudo refuses {path}: {' '.join(result.stdout.split()) or 'no reason given'}")


def doubts(policy: Policy) -> list[str]:
    """A line if sudo, asked by root, does not allow what the lines say."""
    for verb, name in calls(policy):
        if _run("sudo", "-n", "-l", "-U", USER, str(HELPER), verb, name).returncode != 0:
            return [f"sudo does not obey {SUDOERS}; does /etc/sudoers end with @includedir {SUDOERS.parent}?"]
    return []


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise SudoersError(f"{program} is not on this machine; install sudo")
    return subprocess.run(  # noqa: S603 - no words of a caller's choice but names judged exact
        [found, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )


def _exact(name: str) -> str:
    """`name` so that sudo matches it and nothing else.

    A backslash is written four times: the file's grammar takes one of two, the pattern too.
    """
    if not EXACT.fullmatch(name):
        raise SudoersError(f"{name!r} cannot be written exactly in sudoers")
    return SPECIAL.sub(r"\\\g<0>", name.replace("\\", "\\\\\\\\"))
