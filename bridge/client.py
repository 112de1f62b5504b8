"""The command line's end of the control socket; blocking, standard library only."""

import json
import socket
from collections.abc import Iterator
from typing import Any

from bridge.paths import Paths

PATIENT = ("set", "journal")  # verbs that take as long as they take
ANSWER = 10.0  # seconds for the others
LONGEST_WAIT = 86400.0  # seconds that `set` may be asked to wait
MOST_ROWS = 1000  # of the journal in one answer


class ControlError(Exception):
    """The bridge did not do it; one line for a person, and a short code."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


def stream(paths: Paths, verb: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The answer's lines as they come, the last one {"end": …}; raises ControlError."""
    path = paths.socket
    request = {"verb": verb, "secret": _secret(paths), **arguments}
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
            sock.sendall(json.dumps(request).encode() + b"\n")
        except PermissionError:
            raise ControlError(
                f"{path}: not allowed; join the group bellpull or use sudo", "denied"
            ) from None
        except OSError as error:
            said = error.strerror or error
            raise ControlError(f"the bridge is not running ({path}: {said})", "down") from None
        sock.settimeout(None if verb in PATIENT else ANSWER)
        for answer in _answers(sock):
            if "error" in answer:
                raise ControlError(answer["reason"], answer["error"])
            yield answer
            if "end" in answer:
                return
    raise ControlError("the bridge hung up; see its log", "down")


def _answers(sock: socket.socket) -> Iterator[dict[str, Any]]:
    """Until the other end hangs up, be it in the middle of a line."""
    with sock.makefile("rb") as lines:
        try:
            for line in lines:
                if line.endswith(b"\n"):
                    yield json.loads(line)
        except ConnectionError:
            return
        except TimeoutError:
            raise ControlError(f"the bridge does not answer within {ANSWER:g} s", "down") from None


def ask(paths: Paths, verb: str, **arguments: Any) -> Any:
    """The value of the last line."""
    (*_, last) = stream(paths, verb, **arguments)
    return last["end"]


def _secret(paths: Paths) -> str | None:
    try:
        return paths.secret.read_text()
    except OSError:
        return None  # not the bridge's own user: the socket decides
