"""`ip`, run by the program that stays: both families at once, and inside a container's namespace."""

import os
import subprocess

from .answer import Refusal
from .process import ENVIRONMENT

IP = "/usr/sbin/ip" if os.path.exists("/usr/sbin/ip") else "/sbin/ip"
NSENTER = "/usr/bin/nsenter"
IPV6 = "/proc/sys/net/ipv6"
DEADLINE = 5.0  # seconds


def families() -> tuple[str, ...]:
    return ("6", "4") if os.path.isdir(IPV6) else ("4",)


def ask(family: str, words: str, sandbox: str = "") -> str:
    """What `ip` answers to lines of questions, as JSON; Refusal with code failed."""
    return _finish(_start(family, words, sandbox, "-j", "-N"), words)


def ask_all(words: str) -> dict[str, str]:
    """The same of every family, at once."""
    asked = {family: _start(family, words, "", "-j", "-N") for family in families()}
    return {family: _finish(process, words) for family, process in asked.items()}


def change(family: str, lines: list[str], sandbox: str = "") -> None:
    """Have each line done, in their order, and go on after one that fails; Refusal with the first reason."""
    change_all({family: lines}, sandbox)


def change_all(lines: dict[str, list[str]], sandbox: str = "") -> None:
    """The same for several families, at once."""
    texts = {family: "".join(f"{line}\n" for line in there) for family, there in lines.items() if there}
    begun = [(_start(family, text, sandbox, "-force"), text) for family, text in texts.items()]
    failures = []
    for process, text in begun:
        try:
            _finish(process, text)
        except Refusal as refusal:
            failures.append(refusal)
    if failures:
        raise failures[0]


def _start(family: str, text: str, sandbox: str, *options: str) -> "subprocess.Popen[str]":
    within = [NSENTER, f"--net={sandbox}"] if sandbox else []
    given = os.memfd_create("given", os.MFD_CLOEXEC)
    try:
        os.pwrite(given, text.encode(), 0)
        return subprocess.Popen(  # noqa: S603 - names only that were judged, and no shell
            [*within, IP, *options, f"-{family}", "-batch", "-"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
    finally:
        os.close(given)


def _finish(process: "subprocess.Popen[str]", text: str) -> str:
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Refusal("timeout", f"ip did not answer within {DEADLINE:g} s") from None
    if process.returncode:
        first = text.partition("\n")[0]
        raise Refusal("failed", err.strip().partition("\n")[0] or f"ip fails at: {first}")
    return out
