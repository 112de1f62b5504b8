"""Several scans at a time: each core has a work folder and a cutter of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.scans.cutter import Cutter
from bridge.scans.inbox.run import Inbox
from bridge.scans.inbox.settings import made
from bridge.scans.inbox.task import Task
from bridge.scans.job import Answer
from tests.inbox import picture

SCANS = 12


async def test_no_two_scans_in_hand_share_a_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for n in range(SCANS):
        (tmp_path / "in" / f"{n}.png").write_bytes(picture(n))
    in_hand: list[str] = []
    shared: list[str] = []
    split = Task.split

    def watched(task: Task, cutter: Cutter) -> Answer:
        shared.extend(work for work in in_hand if work == task.work)
        in_hand.append(task.work)
        try:
            return split(task, cutter)
        finally:
            in_hand.remove(task.work)

    monkeypatch.setattr(Task, "split", watched)
    folders = {"inbox": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    await Inbox(made({**folders, "quiet": 0.05, "jobs": 2})).run()
    assert shared == []
    assert len(list((tmp_path / "in" / "done").iterdir())) == SCANS
