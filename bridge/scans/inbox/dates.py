"""When a photo was taken, from what people write on files and folders; nothing where that is unclear."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

FIRST_PHOTO = 1826  # Niépce's view from the window at Le Gras


@dataclass(frozen=True)
class Taken:
    """A day to sort by, and in `known` as much of it as was said: 1987, 1987-06 or 1987-06-14."""

    day: date
    known: str

    @property
    def exif(self) -> str:
        """As DateTimeOriginal has it, which knows no less than seconds (Exif 2.32, 4.6.5)."""
        return f"{self.day:%Y:%m:%d} 00:00:00".rjust(19, "0")


MONTHS = (
    "january januar jänner januari janvier enero gennaio jan",
    "february februar februari février febrero febbraio feb",
    "march märz maerz maart mars marzo mar mär mrz",
    "april avril abril aprile apr",
    "may mai mei mayo maggio",
    "june juni juin junio giugno jun",
    "july juli juillet julio luglio jul",
    "august augustus août agosto aug",
    "september septembre septiembre settembre sept sep",
    "october oktober octobre octubre ottobre oct okt",
    "november novembre noviembre nov",
    "december dezember décembre diciembre dicembre dec dez",
)
# Not the Italian summer, which is an English house.
SEASONS = {
    **dict.fromkeys(("spring", "frühling", "frühjahr", "printemps", "primavera", "lente"), 4),
    **dict.fromkeys(("summer", "sommer", "été", "verano", "zomer"), 7),
    **dict.fromkeys(("autumn", "fall", "herbst", "automne", "otoño", "autunno", "herfst"), 10),
    **dict.fromkeys(("winter", "hiver", "invierno", "inverno"), 1),
}
CHRISTMAS = ("christmas", "xmas", "weihnachten", "noël", "navidad", "natale", "kerst")
WORDS = {word: number for number, words in enumerate(MONTHS, 1) for word in words.split()}
MONTH = "|".join(sorted(WORDS, key=len, reverse=True))
SEASON = "|".join(SEASONS)

YEAR = r"(?<!\d)(?P<year>1[89]\d\d|20\d\d)(?!\d)"
SHORT = r"(?<!\w)['\u2019](?P<short>[3-9]\d)(?!\d)"
GAP = r"[\s._,-]*(?:(?:of|de|di)\s+)?"
DAY = r"(?<!\d)(?P<day>\d{1,2})(?!\d)(?:st|nd|rd|th)?"
NUMBER = r"(?P<month>0[1-9]|1[0-2])"

# The numbers that scanners, cameras and shops give by themselves say nothing of the photo.
COUNTER = re.compile(
    r"\b(?:scan(?:ned)?|scanner|img|image|dscn?|dscf?|p|pict?|photo|foto|bild|page|seite|epson|canon|brother|hp|doc)"
    r"[\s_.#-]*\d[\d\s_.:-]*",
)
# But none of them knew the date when that was before 1995: then a person wrote it.
PERSONS = re.compile(
    r"(?<!\d)(?:18\d\d|19[0-8]\d|199[0-4])([-_. ]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
)

FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?<!\d)(?P<year>1[89]\d\d|20\d\d)(?P<gap>[-_. ])(?P<month>\d{1,2})(?P=gap)(?P<day>\d{1,2})(?!\d)",
        r"(?<!\d)(?P<year>1[89]\d\d|20\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?!\d)",
        r"(?<!\d)(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>1[89]\d\d|20\d\d)(?!\d)",
        r"(?<!\d)(?P<one>\d{1,2})(?P<gap>[-_ ])(?P<other>\d{1,2})(?P=gap)(?P<year>1[89]\d\d|20\d\d)(?!\d)",
        # The year in two digits; below 60 they might be the seconds of a time.
        r"(?<![\w.])(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<short>[6-9]\d)(?![\w.])",
        rf"{DAY}{GAP}\b(?P<word>{MONTH})\b{GAP}{YEAR}",
        rf"\b(?P<word>{MONTH})\b{GAP}{DAY}{GAP}{YEAR}",
        rf"{YEAR}{GAP}\b(?P<word>{MONTH})\b{GAP}{DAY}",
        rf"\b(?P<word>{MONTH})\b{GAP}(?:{YEAR}|{SHORT})",
        rf"{YEAR}{GAP}\b(?P<word>{MONTH})\b",
        rf"(?<!\d)(?P<year>1[89]\d\d|20\d\d)[-_.]{NUMBER}(?!\d)(?![-_.]\d)",
        rf"(?<![\d.])(?<!\d[-_]){NUMBER}[-_.](?P<year>1[89]\d\d|20\d\d)(?!\d)",
        rf"\b(?P<feast>{'|'.join(CHRISTMAS)})\b{GAP}(?:{YEAR}|{SHORT})",
        rf"{YEAR}{GAP}\b(?P<feast>{'|'.join(CHRISTMAS)})\b",
        rf"\b(?P<season>{SEASON})\b{GAP}(?:{YEAR}|{SHORT})",
        rf"{YEAR}{GAP}\b(?P<season>{SEASON})\b",
        rf"(?:{YEAR}|{SHORT})(?!s\b|er\b|')",
    )
)
BARE = FORMS[-1]
SPAN = re.compile(
    r"(?<!\d)(?:1[89]|20)\d\d\s*(?:-|\u2013|to|bis|/|\+|&|und|and)\s*(?:(?:1[89]|20)?\d\d)(?!\d)"
)
AROUND = re.compile(
    rf"\b(?:before|after|since|until|vor|nach|seit|bis|avant|après|depuis)[\s_.]+(?:(?:{MONTH}|{SEASON})\s)?{YEAR}"
)
MONTH_OF = re.compile(rf"(?<!\d)(?:1[89]|20)\d\d-{NUMBER}(?!\d)")


def taken(stem: str, folders: tuple[str, ...] = (), today: date | None = None) -> Taken | None:
    """What the file's name says, else its folder's, else that folder's folder's."""
    for name in (stem, *reversed(folders)):
        if found := read(name, today or date.today()):
            return found
    return None


def read(name: str, today: date) -> Taken | None:
    """The one date in a name; None where there is none, more than one, or one that cannot be."""
    text = unicodedata.normalize("NFC", name).casefold().replace("_", " _ ").strip()
    text = COUNTER.sub(_numbered, re.sub(r" _ ", "_", text))
    text = re.sub(r"(?<=[^\W\d])_|_(?=[^\W\d])", " ", text)
    years = set(re.findall(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)", text))
    if len(years) > 1 or AROUND.search(text) or (SPAN.search(text) and not MONTH_OF.search(text)):
        return None
    for form in FORMS:
        if found := form.search(text):
            return next((taken for taken in _readings(found) if _possible(taken, today)), None)
    return None


def _numbered(found: re.Match[str]) -> str:
    date = PERSONS.search(found[0])
    return f" {date[0]} " if date else " "


def _readings(found: re.Match[str]) -> Iterator[Taken]:
    part = found.groupdict()
    year = int(part.get("year") or f"19{part['short']}")
    try:
        if part.get("one"):
            yield from _either(year, int(part["one"]), int(part["other"]))
        elif part.get("feast"):
            yield Taken(date(year, 12, 25), f"{year}-12")
        elif part.get("season"):
            month = SEASONS[part["season"]]
            yield Taken(date(year, month, 1), f"{year}-{month:02}")
        elif part.get("month") or part.get("word"):
            month = int(part["month"]) if part.get("month") else WORDS[part["word"]]
            yield _exact(year, month, part.get("day"))
        else:
            yield Taken(date(year, 1, 1), f"{year}")
    except ValueError:
        return


def _exact(year: int, month: int, day: str | None) -> Taken:
    if day is None:
        return Taken(date(year, month, 1), f"{year}-{month:02}")
    exact = date(year, month, int(day))
    return Taken(exact, exact.isoformat())


def _either(year: int, one: int, other: int) -> Iterator[Taken]:
    """Day and month in the order of some country; nothing where both orders make sense."""
    if one == other or one > 12:
        yield _exact(year, other, str(one))
    elif other > 12:
        yield _exact(year, one, str(other))


def _possible(taken: Taken, today: date) -> bool:
    return taken.day.year >= FIRST_PHOTO and taken.day <= today
