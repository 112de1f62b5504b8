"""The kernel at the other end of a netlink socket: keeps the rules and routes that it is told to."""

import errno
import struct
from collections import deque

HEAD = struct.Struct("=IHHII")
ERROR, DONE, CUT = 2, 3, 0x10
ACK, DUMP = 0x4, 0x300


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    padding = -len(body) % 4
    return HEAD.pack(HEAD.size + len(body), kind, flags, 0, 0) + body + b"\0" * padding


def failure(number: int) -> bytes:
    """What the kernel answers to a request; 0: done."""
    return message(ERROR, struct.pack("=i", -number) + b"\0" * 16)


class FakeRtnetlink:
    """Stands in for a socket.

    there    kind of a question -> (kind, body) of what is answered to a dump of it
    single   kind of a question -> body of the one answer; none: there is no such thing
    refuses  errno by the number of the change, counted from 1
    sent     what was asked to be changed: (kind, body)
    cuts     how many dumps are told to have changed meanwhile
    """

    def __init__(self) -> None:
        self.there: dict[int, list[tuple[int, bytes]]] = {}
        self.single: dict[int, tuple[int, bytes]] = {}
        self.refuses: dict[int, int] = {}
        self.sent: list[tuple[int, bytes]] = []
        self.pieces = self.dumps = self.cuts = 0
        self.broken: OSError | None = None
        self._answers: deque[bytes] = deque()

    def sendall(self, text: bytes) -> None:
        if self.broken and not isinstance(self.broken, TimeoutError):
            raise self.broken
        self.pieces += 1
        at = 0
        while at < len(text):
            length, kind, flags, _, _ = HEAD.unpack_from(text, at)
            self._take(kind, flags, text[at + HEAD.size : at + length])
            at += (length + 3) & ~3

    def recv(self, most: int) -> bytes:
        if self.broken:
            raise self.broken
        return self._answers.popleft()

    def close(self) -> None:
        pass

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if flags & DUMP == DUMP and not flags & ACK:
            self._dump(kind)
        elif flags & ACK:
            self.sent.append((kind, body))
            self._answers.append(failure(self.refuses.get(len(self.sent), 0)))
        else:
            found = self.single.get(kind)
            self._answers.append(message(*found) if found else failure(errno.ENODEV))

    def _dump(self, kind: int) -> None:
        self.dumps += 1
        if kind not in self.there:
            self._answers.append(failure(errno.EOPNOTSUPP))
            return
        flags, self.cuts = (CUT, self.cuts - 1) if self.cuts else (0, 0)
        done = message(DONE, b"\0" * 4, flags)
        self._answers.append(b"".join([*(message(*one, flags) for one in self.there[kind]), done]))
