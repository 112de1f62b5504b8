"""The helper's word with the router, the program that keeps what is routed routed (`routing`).

Where there is none, the helper lays and takes the rules by itself, once.
"""

import json
import socket

from .answer import Refusal

FOLDER = "/run/bellpull-vpn"
ADDRESS = f"{FOLDER}/router.sock"  # root's alone
ANSWER = 10.0  # seconds


def ask(word: str, key: str) -> bool:
    """Whether there is a router, and it has done it; Refusal when it says why not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as router:
        router.settimeout(ANSWER)
        try:
            router.connect(ADDRESS)
        except OSError:
            return False
        try:
            router.sendall(f"{word} {key}\n".encode())
            with router.makefile("rb") as stream:
                answer = json.loads(stream.readline())
        except (OSError, ValueError):
            reason = "the router does not answer; see: journalctl -u bellpull-router"
            raise Refusal("failed", reason) from None
    if not answer["ok"]:
        raise Refusal(answer["error"], answer["reason"])
    return True
