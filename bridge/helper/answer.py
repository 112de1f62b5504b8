"""What the helper says: one line of JSON, {"ok": true} or {"ok": false, "error": …, "reason": …}."""

import json

LONGEST_REASON = 300


class Refusal(Exception):
    """The verb was not carried out, or failed; the text is one line for a person.

    code is one short word for the bridge: usage (not how this program is called), denied (the
    policy does not allow it), policy (the policy cannot be used), unsafe (somebody but root
    could change what would run), refused (not in the state that the machine is in), failed,
    timeout, interrupted (nobody waits for it any longer, it goes on by itself).
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def answer(refusal: Refusal | None) -> bytes:
    """The line to write; ASCII, printable, shorter than a pipe writes in one piece."""
    if refusal is None:
        return b'{"ok": true}\n'
    said = {"ok": False, "error": refusal.code, "reason": _printable(str(refusal))}
    return json.dumps(said).encode("ascii") + b"\n"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text.strip()[:LONGEST_REASON])
