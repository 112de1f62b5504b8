from __future__ import annotations

from pathlib import Path

import pytest

from tests.inbox import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    one = Folder(tmp_path / "top", {})
    one.inbox.mkdir(parents=True)
    one.output.mkdir()
    return one
