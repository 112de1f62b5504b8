import json
from pathlib import Path

import pytest

from accessories.process_scans import ByHand, ProcessScans, Scans
from bridge.config import parse
from bridge.contract import ScansGrant, UnitGrant
from bridge.scans.inbox.settings import made
from bridge.tools import Tools

GOOD = "inbox: /srv/scans/inbox, output: /srv/scans/photos"


def problems(words: str) -> list[str]:
    _, found = parse(f"accessories:\n  scans: {{kind: process_scans, {words}}}\n", "file")
    return found


def test_two_folders_are_enough() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("inbox: /srv/scans", "output: missing"),
        ("inbox: scans, output: /srv/photos", "no absolute path"),
        ("inbox: /srv/../etc, output: /srv/photos", "no absolute path"),
        ("inbox: /, output: /srv/photos", "belongs to many"),
        ("inbox: /home/ann, output: /srv/photos", "belongs to many"),
        ("inbox: /etc/scans, output: /srv/photos", "is the system's"),
        ("inbox: /var/lib/bellpull/in, output: /srv/photos", "is the system's"),
        ('inbox: "/srv/a:b", output: /srv/photos', "colon"),
        ('inbox: "/srv/a\\nb", output: /srv/photos', "nobody can see"),
        ("inbox: /srv/scans, output: /srv/scans", "the same folder"),
        ("inbox: /srv/scans, output: /srv/scans/photos", "output lies in inbox"),
        ("inbox: /srv/photos/inbox, output: /srv/photos", "inbox lies in output"),
        (f"{GOOD}, done: /srv/scans/photos/done", "done lies in output"),
        (f"{GOOD}, failed: /srv/scans/inbox/done", "the same folder"),
        (f"{GOOD}, poll: 10s", "only with `auto: true`"),
        (f"{GOOD}, format: bmp", "bmp"),
    ],
)
def test_folders_that_cannot_be_are_refused_with_the_reason(words: str, said: str) -> None:
    found = problems(words)
    assert len(found) == 1 and said in found[0], found


def test_root_is_asked_for_one_unit_and_its_folders() -> None:
    kind = ProcessScans("/srv/in/", "/srv/out", done="/mnt/done", auto=True)
    unit, folders = kind.grants("scans")
    assert isinstance(unit, UnitGrant) and isinstance(folders, ScansGrant)
    assert unit.unit == "bellpull-scans.service"
    assert folders.folders == ("/srv/in", "/srv/out", "/mnt/done", "/srv/in/failed", "/srv/in/duplicates")
    settings = made(json.loads(folders.settings))
    assert settings.auto and settings.done == Path("/mnt/done") and settings.failed == Path("/srv/in/failed")


def heard(kind: ProcessScans) -> tuple[Scans, list[tuple[str, str, str]]]:
    told: list[tuple[str, str, str]] = []
    tools = Tools(Path("/nowhere"), lambda *words: told.append(words))
    accessory = kind.open("scans", tools)
    assert isinstance(accessory, ByHand)
    return accessory, told


def end(**counts: object) -> dict[str, object]:
    return {"done": 0, "failed": 0, "duplicates": 0, "photos": 0, "said": ""} | counts


async def test_a_batch_is_told_once_and_an_empty_inbox_never() -> None:
    accessory, told = heard(ProcessScans("/srv/in", "/srv/out"))
    accessory._ended(end())
    accessory._ended(end(duplicates=3))
    assert told == []
    accessory._ended(end(done=5, photos=12, failed=1))
    assert told == [("scans", "done", "12 photos of 5 scans, 1 failed")]
    accessory._ended(end(said="/srv/out: No space left on device"))
    assert told[1:] == [("scans", "trouble", "/srv/out: No space left on device")]


async def test_what_works_by_itself_is_on_before_anybody_wished() -> None:
    accessory, _ = heard(ProcessScans("/srv/in", "/srv/out", auto=True))
    assert accessory.holds and accessory.at_first is True
    accessory, _ = heard(ProcessScans("/srv/in", "/srv/out"))
    assert not accessory.holds and accessory.at_first is None
