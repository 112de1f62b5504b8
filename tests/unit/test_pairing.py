"""What a person scans: a code that a camera reads back."""

import pytest

from bridge.pairing import HALVES, describe, invitation, qr

URI = "X-HM://0023MZE6HAKUF"


def modules(text: str) -> list[list[int]]:
    """The drawing as rows of 1 (dark) and 0."""
    halves = {drawn: pair for pair, drawn in HALVES.items()}
    rows: list[list[int]] = []
    for line in text.splitlines():
        rows.extend([[halves[drawn][half] for drawn in line] for half in (0, 1)])
    return rows


def test_the_drawing_is_the_code_with_light_around_it() -> None:
    import pyqrcode

    drawn = modules(qr(URI))
    code = pyqrcode.create(URI, error="M").code
    size = len(code)
    assert [row[2 : 2 + size] for row in drawn[2 : 2 + size]] == code
    assert not any(map(any, drawn[:2])) and not any(map(any, drawn[2 + size :]))
    assert not any(row[0] or row[1] or row[-1] or row[-2] for row in drawn)


def test_the_drawing_fits_a_small_terminal() -> None:
    lines = qr(URI).splitlines()
    assert len(lines) <= 20
    assert len({len(line) for line in lines}) == 1


def test_the_code_is_said_as_well() -> None:
    assert "031-45-154" in invitation("031-45-154", URI)


@pytest.mark.parametrize("paired", [False, True])
def test_a_bridge_that_is_paired_says_with_whom(paired: bool) -> None:
    phone = {"who": "HomeKit 3F2A", "id": "3f2a", "admin": True}
    text = describe(
        {"code": "031-45-154", "uri": URI, "paired": paired, "locked": False, "pairings": [phone] * paired}
    )
    assert ("HomeKit 3F2A" in text) is paired
    assert "031-45-154" in text


def test_a_bridge_that_is_locked_says_how_to_unlock_it() -> None:
    text = describe({"code": "031-45-154", "uri": URI, "paired": False, "locked": True, "pairings": []})
    assert "--unlock" in text
    assert "031-45-154" not in text
