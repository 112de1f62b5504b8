"""What was asked at the control socket, and by whom."""

import asyncio
import json
import pwd
import socket
import struct
from typing import Any

from bridge.client import LONGEST_WAIT
from bridge.printable import printable

Answer = dict[str, Any]


class Wrong(Exception):
    """A request that cannot be done: a short code and one line for a person."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Request(dict[str, Any]):
    """What a client has sent; asking for an argument of another type raises Wrong."""

    def text(self, name: str, default: str | None = None) -> str:
        found = str(self._of(name, str, default))
        try:
            found.encode()
        except UnicodeEncodeError:
            raise not_understood(f"{name} is no text") from None
        return found

    def boolean(self, name: str, default: bool | None = None) -> bool:
        return bool(self._of(name, bool, default))

    def number(self, name: str, default: int) -> int:
        return int(self._of(name, int, default))

    def seconds(self, name: str) -> float | None:
        """A time to wait, None for as long as it takes."""
        if self.get(name) is None:
            return None
        found = self._of(name, (int, float), None)
        if not 0 <= found <= LONGEST_WAIT:
            raise not_understood(f"{name} is no time to wait")
        return float(found)

    def _of(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        found = self.get(name)
        if found is None and default is not None:
            return default
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise not_understood(f"{name} is missing or wrong")
        return found


async def next_request(reader: asyncio.StreamReader, patience: float) -> Request:
    """The line a client sends within `patience` seconds; raises Wrong."""
    try:
        async with asyncio.timeout(patience):
            found = json.loads(await reader.readline())
    except TimeoutError:
        raise not_understood("nothing was asked") from None
    except (ValueError, RecursionError):
        raise not_understood("it is no line of JSON") from None
    if not isinstance(found, dict):
        raise not_understood("it is no JSON object")
    return Request(found)


def not_understood(why: str) -> Wrong:
    return Wrong("request", f"not a request this bridge understands: {why}")


def line(answer: Answer) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def error_line(code: str, reason: str) -> bytes:
    return line({"error": code, "reason": printable(reason)})


class Peer:
    """Who is at the other end, as the kernel says."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        try:
            self.name = f"{pwd.getpwuid(uid).pw_name} (command line)"
        except KeyError:
            self.name = f"user {uid} (command line)"

    @classmethod
    def of(cls, writer: asyncio.StreamWriter) -> "Peer":
        sock = writer.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return cls(uid)
