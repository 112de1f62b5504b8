"""The key store: who the bridge is to HomeKit, whom it trusts, and which accessory is which.

Two files with the same content, so that one may be damaged. A change is on disk, synced,
before it is true in memory, and nobody is told of one that could not be stored.
"""

import asyncio
import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

log = logging.getLogger("bridge.homekit")

FILE, COPY = "homekit.json", "homekit.json.copy"
FORMAT = 1


class StoreError(Exception):
    """The key store cannot be read or written; one line that says what to do."""


class Damaged(Exception):
    """One of the two files is missing or not what was written."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A controller the bridge trusts. `id` is the text of its UUID, spelt as it spells it."""

    id: str
    public_key: bytes = field(repr=False)
    admin: bool


@dataclass(frozen=True, slots=True)
class Place:
    """An accessory's place in the home: given once, kept for ever.

    aid     HomeKit's accessory id; a room, a scene and an automation hang on it
    face    which service it shows (see faces.py)
    name    what the configuration calls it
    called  what a phone calls it, "" for its name
    """

    aid: int
    face: str
    name: str
    called: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything that must outlive the process.

    attempts       failed pair-setups since the last good one
    next_aid       the accessory id that is given next; none is given twice
    config_number  c# of the advertisement; config_hash is what it was counted for
    """

    device_id: str
    private_key: bytes = field(repr=False)
    setup_code: str = field(repr=False)
    setup_id: str = field(repr=False)
    attempts: int = 0
    next_aid: int = 2
    config_number: int = 1
    config_hash: str = ""
    pairings: Mapping[UUID, Pairing] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)


class Store:
    """The keys, in a private folder of their own."""

    def __init__(self, folder: Path, make: Callable[[], Keys]) -> None:
        """Open, or make what is not there yet. Raises StoreError; blocks for a few fsyncs."""
        self._folder = folder
        self._turn = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        _prepare(folder)
        self._load(make)

    def _load(self, make: Callable[[], Keys]) -> None:
        found: list[Keys] = []
        damage: list[str] = []
        for name in (FILE, COPY):
            try:
                found.append(_decode(_read(self._folder / name)))
            except Damaged as error:
                damage.append(f"{name} {error}")
        if not found and any((self._folder / name).exists() for name in (FILE, COPY)):
            raise StoreError(
                f"{self._folder}: both copies of the key store are damaged; restore {FILE} from a"
                f" backup, or remove {FILE} and {COPY}, start again and pair every phone anew"
            )
        self.keys = found[0] if found else make()
        if found and damage:
            log.warning("the key store is damaged (%s); starting from its good copy", damage[0])
        if damage:
            self._write(self.keys)

    async def change(self, step: Callable[[Keys], Keys]) -> None:
        """Store step(keys), then make it true. Raises StoreError, and nothing has changed then.

        Goes on to its end when the caller is cancelled.
        """
        change = asyncio.ensure_future(self._change(step))
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        await asyncio.shield(change)

    async def _change(self, step: Callable[[Keys], Keys]) -> None:
        async with self._turn:
            keys = step(self.keys)
            if keys != self.keys:
                await asyncio.to_thread(self._write, keys)
                self.keys = keys

    def save(self, keys: Keys) -> None:
        """As change(), for a start that has no loop yet; blocks."""
        if keys != self.keys:
            self._write(keys)
            self.keys = keys

    def _write(self, keys: Keys) -> None:
        data = _encode(keys)
        names = [(self._folder / f"{name}.new", self._folder / name) for name in (FILE, COPY)]
        try:
            for new, _ in names:
                _write_synced(new, data)
            for new, final in names:
                new.replace(final)
            _sync_folder(self._folder)
        except OSError as error:
            for new, _ in names:
                with suppress(OSError):
                    new.unlink(missing_ok=True)
            raise StoreError(f"{self._folder}: the key store cannot be written: {error.strerror}") from error


def _prepare(folder: Path) -> None:
    """Make the folder, and make it private."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"{folder}: the key store cannot be opened: {error.strerror}; it must belong to the bridge's user"
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Damaged("is missing") from None
    except OSError as error:
        raise StoreError(f"{path}: the key store cannot be read: {error.strerror}") from error


def _encode(keys: Keys) -> bytes:
    plain = asdict(keys) | {
        "format": FORMAT,
        "private_key": keys.private_key.hex(),
        "pairings": [
            {"id": pairing.id, "public_key": pairing.public_key.hex(), "admin": pairing.admin}
            for pairing in keys.pairings.values()
        ],
    }
    return json.dumps({"sha256": _checksum(plain), "keys": plain}, indent=1).encode()


def _decode(data: bytes) -> Keys:
    try:
        whole = json.loads(data)
        plain = whole["keys"]
        if whole["sha256"] != _checksum(plain):
            raise Damaged("is not what was written")
        if plain.pop("format") != FORMAT:
            raise StoreError("the key store was written by another version of Bellpull; use that one")
        pairings = [
            Pairing(item["id"], bytes.fromhex(item["public_key"]), item["admin"])
            for item in plain.pop("pairings")
        ]
        places = {key: Place(**place) for key, place in plain.pop("places").items()}
        secret = bytes.fromhex(plain.pop("private_key"))
        return Keys(
            **plain, private_key=secret, places=places, pairings={UUID(item.id): item for item in pairings}
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged("is not readable") from error


def _checksum(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
