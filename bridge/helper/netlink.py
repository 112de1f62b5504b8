"""Questions to the kernel and changes of its tables, by rtnetlink(7), here or inside another namespace.

What is in the messages is `kernel`'s; this is how they are written, sent and answered.
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .answer import Refusal

REQUEST, ACK, DUMP, CUT = 0x1, 0x4, 0x300, 0x10  # linux/netlink.h, NLM_F_*; CUT: DUMP_INTR
ERROR, DONE = 2, 3  # NLMSG_*
SOL_NETLINK, CAP_ACK = 270, 10
CLONE_NEWNET = 0x40000000  # linux/sched.h
ANSWER = 5.0  # seconds
BATCH = 64  # messages in one piece: as many answers as fit into a socket's buffer
READINGS = 5  # of tables that change while they are read

_HEAD = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=i")

Attributes = dict[int, bytes]


class Message(NamedTuple):
    """kind and flags are rtnetlink's; body begins with the kind's own struct."""

    kind: int
    flags: int
    body: bytes


class Netlink:
    """A socket of its own in this network namespace, or in the one whose file is `sandbox`."""

    def __init__(self, sandbox: str = "") -> None:
        try:
            self._socket = _inside(sandbox) if sandbox else _socket()
        except OSError as error:
            raise _failed(error) from None

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all there are, read at one moment if they hold still for it."""
        for _ in range(READINGS):
            self._send([Message(kind, DUMP, body)])
            found = list(self._listed())
            if not any(message.flags & CUT for message in found):
                break
        return [message.body for message in found if message.kind != DONE]

    def ask(self, message: Message) -> bytes | None:
        """What it answers; None when it says that there is no such thing."""
        self._send([message])
        answer = next(self._answers())
        return None if answer.kind == ERROR else answer.body

    def change(self, messages: Sequence[Message]) -> list[int]:
        """Have all done in their order, also after one that fails; each one's errno, 0 for done."""
        errors = []
        for first in range(0, len(messages), BATCH):
            batch = messages[first : first + BATCH]
            self._send([message._replace(flags=message.flags | ACK) for message in batch])
            answers = self._answers()
            errors += [_error(next(answers))[0] for _ in batch]
        return errors

    def _listed(self) -> Iterator[Message]:
        for message in self._answers():
            if message.kind == ERROR:
                raise _failed(OSError(*_error(message)))
            yield message
            if message.kind == DONE:
                return

    def _send(self, messages: Iterable[Message]) -> None:
        text = b"".join(
            _HEAD.pack(_HEAD.size + len(body), kind, flags | REQUEST, 0, 0) + body
            for kind, flags, body in messages
        )
        try:
            self._socket.sendall(text)
        except OSError as error:
            raise _failed(error) from None

    def _answers(self) -> Iterator[Message]:
        """Each as it comes, for ever."""
        while True:
            try:
                text = self._socket.recv(1 << 16)
            except OSError as error:
                raise _failed(error) from None
            at = 0
            while at < len(text):
                length, kind, flags, _, _ = _HEAD.unpack_from(text, at)
                yield Message(kind, flags, text[at + _HEAD.size : at + length])
                at += _padded(length)


def attributes(body: bytes, after: int) -> Attributes:
    """Those that follow a struct of `after` bytes."""
    found, at = {}, after
    while at < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        found[kind] = body[at + _ATTRIBUTE.size : at + length]
        at += _padded(length)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value.ljust(_padded(length) - _ATTRIBUTE.size, b"\0")


def _error(message: Message) -> tuple[int, str]:
    """(errno, what it means) of what the kernel answers to a request."""
    number = -_NUMBER.unpack_from(message.body)[0]
    return number, os.strerror(number)


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.settimeout(ANSWER)
    made.setsockopt(SOL_NETLINK, CAP_ACK, 1)  # a failure without the message that failed
    return made


def _inside(sandbox: str) -> socket.socket:
    """A socket stays where it was made; this thread goes there and comes back."""
    import ctypes  # for those with a container to pin; os.setns() is Python 3.12's

    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as here, open(sandbox, "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            return _socket()
        finally:
            if libc.setns(here.fileno(), CLONE_NEWNET):
                os._exit(1)  # what it would do next, it would do to a container


def _failed(error: OSError) -> Refusal:
    if isinstance(error, TimeoutError):
        return Refusal("timeout", f"the kernel did not answer about its routes within {ANSWER:g} s")
    return Refusal("failed", f"the kernel cannot be asked about its routes: {error.strerror}")
