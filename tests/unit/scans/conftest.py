from __future__ import annotations

import pytest

from benchmarks.scans import photographs


@pytest.fixture(autouse=True)
def _invented_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed scans without a package of photographs; the accuracy figures come from real ones."""
    monkeypatch.setattr(photographs, "pick", photographs.invented)
