"""A HomeKit controller down at the wire, for what no well-behaved one does.

    async with Wire.open(port) as wire:
        pairing = await wire.pair("031-45-154")
    async with Wire.open(port) as wire:
        await wire.verify(pairing)
        answer = await wire.put([{"aid": 2, "iid": 9, "value": True}])

The cryptography is aiohomekit's; framing, order and timing are the test's own.
"""

import asyncio
import struct
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohomekit.protocol import get_session_keys, perform_pair_setup_part1, perform_pair_setup_part2
from aiohomekit.protocol.tlv import TLV
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

JSON, PAIRING = "application/hap+json", "application/pairing+tlv8"
WAIT = 10.0  # seconds for an answer
FRAME = 1024  # bytes, the longest HAP allows

Pairing = dict[str, Any]


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def tlv(self) -> dict[int, bytes]:
        return {int(tag): bytes(value) for tag, value in TLV.decode_bytes(self.body)}

    @property
    def error(self) -> int:
        """kTLVError, 0 when there is none."""
        return self.tlv.get(TLV.kTLVType_Error, b"\0")[0]

    @property
    def statuses(self) -> list[int]:
        """A HAP status for each characteristic of the answer."""
        return [item.get("status", 0) for item in self.json["characteristics"]]


@dataclass
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: list[dict[str, Any]] = field(default_factory=list)
    _answers: deque[Response] = field(default_factory=deque)
    _plain: bytes = b""
    _keys: tuple[ChaCha20Poly1305, ChaCha20Poly1305] | None = None
    _sent: int = 0
    _received: int = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, address: str = "127.0.0.1") -> AsyncIterator[Self]:
        wire = cls(*await asyncio.open_connection(address, port))
        try:
            yield wire
        finally:
            wire.writer.transport.abort()

    # Requests

    def send(self, data: bytes, frame: int = FRAME) -> None:
        """Write bytes, encrypted once verified."""
        if self._keys is None:
            self.writer.write(data)
            return
        for start in range(0, len(data), frame):
            part = data[start : start + frame]
            length = struct.pack("<H", len(part))
            nonce = struct.pack("<LQ", 0, self._sent)
            self.writer.write(length + self._keys[0].encrypt(nonce, part, length))
            self._sent += 1

    def request(self, method: str, path: str, body: bytes = b"", kind: str = JSON) -> None:
        """Send a request and do not wait for its answer."""
        self.send(encode(method, path, body, kind))

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = JSON) -> Response:
        self.request(method, path, body, kind)
        return await self.answer()

    async def tlv(self, path: str, fields: Iterable[tuple[int, bytes]]) -> Response:
        return await self.ask("POST", path, bytes(TLV.encode_list(list(fields))), PAIRING)

    async def put(self, items: list[Any], **more: Any) -> Response:
        return await self.ask("PUT", "/characteristics", orjson.dumps({"characteristics": items, **more}))

    async def get(self, *ids: tuple[int, int], more: str = "") -> Response:
        query = ",".join(f"{aid}.{iid}" for aid, iid in ids)
        return await self.ask("GET", f"/characteristics?id={query}{more}")

    async def listen(self, *ids: tuple[int, int], to: bool = True) -> Response:
        return await self.put([{"aid": aid, "iid": iid, "ev": to} for aid, iid in ids])

    # Answers

    async def answer(self, within: float = WAIT) -> Response:
        """The next answer; events on the way are kept. Raises ConnectionError at the end, TimeoutError."""
        async with asyncio.timeout(within):
            while not self._answers:
                await self._more()
            return self._answers.popleft()

    async def news(self, count: int = 1, within: float = WAIT) -> list[dict[str, Any]]:
        """Wait for as many events (each may say several things); all that came."""
        async with asyncio.timeout(within):
            while len(self.events) < count:
                await self._more()
        return self.events

    async def quiet(self, seconds: float) -> bool:
        """Whether nothing at all comes for a while."""
        try:
            await self._wait_for_anything(seconds)
        except TimeoutError:
            return True
        return False

    async def _wait_for_anything(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await self._more()

    async def closed(self, within: float = WAIT) -> bool:
        """Whether the other end hangs up; answers and events before that are kept."""
        try:
            async with asyncio.timeout(within):
                while True:
                    await self._more()
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    async def _more(self) -> None:
        if self._keys is None:
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionResetError("hung up")
        else:
            data = await self._frame(self._keys[1])
        self._plain += data
        while self._take():
            pass

    async def _frame(self, key: ChaCha20Poly1305) -> bytes:
        try:
            length = await self.reader.readexactly(2)
            sealed = await self.reader.readexactly(struct.unpack("<H", length)[0] + 16)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("hung up") from error
        nonce = struct.pack("<LQ", 0, self._received)
        self._received += 1
        return key.decrypt(nonce, sealed, length)

    def _take(self) -> bool:
        head, found, rest = self._plain.partition(b"\r\n\r\n")
        if not found:
            return False
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        chunked = headers.get("transfer-encoding") == "chunked"
        taken = _chunks(rest) if chunked else _counted(rest, int(headers.get("content-length", 0)))
        if taken is None:
            return False
        body, self._plain = taken
        version, status, *_ = first.split()
        if version.startswith("EVENT"):
            self.events.append(orjson.loads(body))
        else:
            self._answers.append(Response(int(status), body))
        return True

    # Pairing

    async def pair(self, code: str) -> Pairing:
        """The whole of pair-setup; raises aiohomekit's exceptions."""
        salt, public_key = await self.start_pairing()
        steps = perform_pair_setup_part2(code, str(uuid.uuid4()), salt, public_key)
        pairing: Pairing = await self._run("/pair-setup", steps)
        return pairing

    async def start_pairing(self) -> Any:
        """M1 and M2."""
        return await self._run("/pair-setup", perform_pair_setup_part1())

    async def verify(self, pairing: Pairing) -> Self:
        """Pair-verify; from here on everything is encrypted."""
        _, derive = await self._run("/pair-verify", get_session_keys(pairing))
        self._keys = (
            ChaCha20Poly1305(derive(b"Control-Salt", b"Control-Write-Encryption-Key")),
            ChaCha20Poly1305(derive(b"Control-Salt", b"Control-Read-Encryption-Key")),
        )
        return self

    async def _run(self, path: str, steps: Any) -> Any:
        fields, expected = steps.send(None)
        try:
            while True:
                answer = await self.tlv(path, fields)
                fields, expected = steps.send(TLV.decode_bytes(answer.body, expected))
        except StopIteration as end:
            return end.value


def encode(method: str, path: str, body: bytes = b"", kind: str = JSON) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bridge\r\n"
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _counted(data: bytes, length: int) -> tuple[bytes, bytes] | None:
    """A body of so many bytes and what follows it; None when it is not all there."""
    return (data[:length], data[length:]) if len(data) >= length else None


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """As _counted(), for a body in chunks, which other bridges send."""
    body = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        if not found or len(data) < (length := int(size, 16)) + 2:
            return None
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            return body, data
