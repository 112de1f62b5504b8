"""Keys are on disk before they are true, and damage loses none."""

import asyncio
import os
import stat
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.homekit.identity import new_keys
from bridge.homekit.store import COPY, FILE, Keys, Pairing, Place, Store, StoreError


def everything() -> Keys:
    name = str(uuid.uuid4()).upper()
    return replace(
        new_keys(),
        attempts=3,
        next_aid=9,
        config_number=4,
        config_hash="abc",
        pairings={uuid.UUID(name): Pairing(name, bytes(range(32)), True)},
        places={"files": Place(2, "Switch", "File Server", "Ablage")},
    )


def never() -> Keys:
    raise AssertionError("made new keys")


def test_what_is_stored_is_what_is_loaded(tmp_path: Path) -> None:
    keys = everything()
    Store(tmp_path, lambda: keys)
    assert Store(tmp_path, never).keys == keys


def test_nobody_else_can_read_the_keys(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    Store(folder, everything)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {FILE, COPY}


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(500))


def _one_letter(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"File Server", b"File Sewer "))


def _gone(path: Path) -> None:
    path.unlink()


DAMAGE = pytest.mark.parametrize("damage", [_empty, _half, _garbage, _one_letter, _gone])


@DAMAGE
@pytest.mark.parametrize("name", [FILE, COPY])
def test_a_damaged_file_is_made_good_from_the_other_and_said(
    tmp_path: Path, damage: Callable[[Path], None], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Store(tmp_path, everything).keys
    damage(tmp_path / name)
    assert Store(tmp_path, never).keys == keys
    assert "starting from its good copy" in caplog.text
    caplog.clear()
    assert Store(tmp_path, never).keys == keys
    assert not caplog.text


def test_with_both_damaged_it_does_not_start_as_if_never_paired(tmp_path: Path) -> None:
    Store(tmp_path, everything)
    _half(tmp_path / FILE)
    _empty(tmp_path / COPY)
    with pytest.raises(StoreError, match=r"both copies .* damaged; restore homekit\.json from a backup"):
        Store(tmp_path, never)


def test_keys_of_a_newer_bellpull_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bridge.homekit.store.FORMAT", 2)
        Store(tmp_path, everything)
    with pytest.raises(StoreError, match="written by another version of Bellpull"):
        Store(tmp_path, never)


def test_no_secret_is_in_what_is_printed_of_the_keys() -> None:
    keys = everything()
    text = repr(keys)
    for secret in (keys.setup_code, keys.setup_id, repr(keys.private_key), keys.private_key.hex()):
        assert secret not in text
    assert "public_key" not in text


async def test_a_change_that_cannot_be_written_has_not_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, everything)
    before = store.keys

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bridge.homekit.store.os.fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            await store.change(lambda keys: replace(keys, attempts=99))
    assert store.keys == before == Store(tmp_path, never).keys
    assert {path.name for path in tmp_path.iterdir()} == {FILE, COPY}


async def test_files_and_folder_are_synced_before_a_change_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, everything)
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        assert store.keys.attempts == 3
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr("bridge.homekit.store.os.fsync", spy)
    await store.change(lambda keys: replace(keys, attempts=4))
    assert store.keys.attempts == 4
    assert synced == [f"{FILE}.new", f"{COPY}.new", tmp_path.name]


async def test_changes_at_the_same_time_lose_none(tmp_path: Path) -> None:
    store = Store(tmp_path, new_keys)
    step = lambda keys: replace(keys, attempts=keys.attempts + 1)  # noqa: E731
    await asyncio.gather(*(store.change(step) for _ in range(20)))
    assert store.keys.attempts == 20 == Store(tmp_path, never).keys.attempts


async def test_a_change_outlives_who_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, new_keys)
    going, go = threading.Event(), threading.Event()
    write = store._write

    def slow(keys: Keys) -> None:
        going.set()
        go.wait(5)
        write(keys)

    monkeypatch.setattr(store, "_write", slow)
    asking = asyncio.create_task(store.change(lambda keys: replace(keys, attempts=7)))
    await asyncio.to_thread(going.wait, 5)
    asking.cancel()
    await asyncio.wait([asking])
    go.set()
    await asyncio.gather(*store._changes)
    assert store.keys.attempts == 7 == Store(tmp_path, never).keys.attempts
