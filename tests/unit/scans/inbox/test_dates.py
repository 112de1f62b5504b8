from __future__ import annotations

from datetime import date

import pytest

from bridge.scans.inbox.dates import taken

TODAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("name", "day", "known"),
    [
        ("1987", "1987-01-01", "1987"),
        ("1987-06", "1987-06-01", "1987-06"),
        ("1987-06-14", "1987-06-14", "1987-06-14"),
        ("1987_06_14", "1987-06-14", "1987-06-14"),
        ("1987.6.14", "1987-06-14", "1987-06-14"),
        ("19870614", "1987-06-14", "1987-06-14"),
        ("Summer 1987", "1987-07-01", "1987-07"),
        ("1987 summer", "1987-07-01", "1987-07"),
        ("summer_1987", "1987-07-01", "1987-07"),
        ("Sommer '87", "1987-07-01", "1987-07"),
        ("Herbst 1987", "1987-10-01", "1987-10"),
        ("spring 1987", "1987-04-01", "1987-04"),
        ("Winter 1987", "1987-01-01", "1987-01"),
        ("Christmas 1987", "1987-12-25", "1987-12"),
        ("Weihnachten_1987", "1987-12-25", "1987-12"),
        ("June 1987", "1987-06-01", "1987-06"),
        ("Jun 1987", "1987-06-01", "1987-06"),
        ("1987 June", "1987-06-01", "1987-06"),
        ("14 June 1987", "1987-06-14", "1987-06-14"),
        ("June 14, 1987", "1987-06-14", "1987-06-14"),
        ("June 14th 1987", "1987-06-14", "1987-06-14"),
        ("Ma\u0308rz 1987", "1987-03-01", "1987-03"),
        ("14. Juni 1987", "1987-06-14", "1987-06-14"),
        ("14.06.1987", "1987-06-14", "1987-06-14"),
        ("14.6.1987 Oma", "1987-06-14", "1987-06-14"),
        ("14-06-1987", "1987-06-14", "1987-06-14"),
        ("06-14-1987", "1987-06-14", "1987-06-14"),
        ("06-06-1987", "1987-06-06", "1987-06-06"),
        ("06-1987", "1987-06-01", "1987-06"),
        ("LosAngeles-1952", "1952-01-01", "1952"),
        ("Italy 1987", "1987-01-01", "1987"),
        ("1987 Italy", "1987-01-01", "1987"),
        ("ca. 1890", "1890-01-01", "1890"),
        ("Grandma (1943)", "1943-01-01", "1943"),
        ("1987-06-14 scan0001", "1987-06-14", "1987-06-14"),
        ("1987 - 012", "1987-01-01", "1987"),
    ],
)
def test_a_date_that_people_write_is_read_with_its_precision(name: str, day: str, known: str) -> None:
    found = taken(name, today=TODAY)
    assert found is not None
    assert (found.day.isoformat(), found.known) == (day, known)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "holiday",
        "1987-1989",
        "1987-89",
        "1987 and 1989",
        "1980s",
        "80er",
        "Summer",
        "03-04-1987",  # March or April
        "1987-13-14",
        "1987-02-30",
        "31.02.1987",
        "2031",
        "2026-07",  # not yet
        "1700",
        "IMG_1987",
        "DSC1987",
        "scan1987",
        "Scan_20240102",
        "Scan 2024-01-02 10.15.00",
        "12345",
        "119870614",
        "Room 19870",
    ],
)
def test_what_is_unclear_or_cannot_be_is_no_date(name: str) -> None:
    assert taken(name, today=TODAY) is None


def test_the_file_says_more_than_its_folder_and_the_nearest_folder_more_than_the_next() -> None:
    assert str(taken("1987-06", ("1985",), TODAY).known) == "1987-06"  # type: ignore[union-attr]
    assert str(taken("scan1", ("1985", "Summer 1986"), TODAY).known) == "1986-07"  # type: ignore[union-attr]
    assert str(taken("scan1", ("1985", "Italy"), TODAY).known) == "1985"  # type: ignore[union-attr]


def test_exif_has_a_whole_date() -> None:
    found = taken("1987", today=TODAY)
    assert found is not None and found.exif == "1987:01:01 00:00:00"
