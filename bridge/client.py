"""The command line's end of the control socket; blocking, standard library only."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class ControlError(Exception):
    """The bridge did not do it; one line for a person, and a short code."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


def stream(path: Path, verb: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The answer's lines as they come, the last one {"end": …}; raises ControlError."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except PermissionError:
            raise ControlError(
                f"{path}: not allowed; join the group bellpull or use sudo", "denied"
            ) from None
        except OSError as error:
            raise ControlError(f"the bridge is not running ({path}: {error.strerror})", "down") from None
        sock.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        with sock.makefile("rb") as lines:
            for line in lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise ControlError(answer["reason"], answer["error"])
                yield answer
                if "end" in answer:
                    return
    raise ControlError("the bridge hung up; see its log", "down")


def ask(path: Path, verb: str, **arguments: Any) -> Any:
    """The value of the last line."""
    (*_, last) = stream(path, verb, **arguments)
    return last["end"]
