"""What a person sees in a terminal."""

import sys
import time
from typing import Any

import pytest

from bridge import show

ROW = {
    "key": "files",
    "name": "File Server",
    "kind": "services",
    "state": "off",
    "wish": "on",
    "reason": "nmbd.service is failed",
    "since": 0.0,
}


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.localtime", time.gmtime)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def row(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


def test_the_list_is_a_table_whose_columns_stand_below_each_other() -> None:
    assert show.tiles([row(), row(key="a-long-key", name="A", wish=None, state="unknown", reason="")]) == [
        "KEY         NAME         KIND      STATE    WISH  SINCE                REASON",
        "files       File Server  services  off      on    1970-01-01 00:00:00  nmbd.service is failed",
        "a-long-key  A            services  unknown        1970-01-01 00:00:00",
    ]


def test_names_of_any_script_keep_the_columns_straight() -> None:
    head, wide, narrow = show.tiles([row(name="地下室"), row(name="Büro")])
    assert wide.index("services") + 3 == narrow.index("services") == head.index("KIND")


def test_without_accessories_the_list_says_so() -> None:
    assert show.tiles([]) == ["no accessories; the configuration has none"]


def test_states_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("\x1b" in line for line in show.tiles([row()]))
    on_a_terminal(monkeypatch)
    head, line = show.tiles([row(state="on", wish=None)])
    assert head.startswith("\x1b[1mKEY")
    assert "\x1b[32mon   \x1b[0m" in line


@pytest.mark.parametrize("environment", [{"NO_COLOR": ""}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    on_a_terminal(monkeypatch, **environment)
    assert not any("\x1b" in line for line in show.tiles([row()]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "1970-01-01 00:00:10  files             off -> on                     observed"),
        (
            {"new": "off", "reason": "smbd.service is failed"},
            "1970-01-01 00:00:10  files             still off                     observed:"
            " smbd.service is failed",
        ),
        (
            {"wanted": "on", "who": "Anna"},
            "1970-01-01 00:00:10  files             asked to turn on              Anna",
        ),
        (
            {"wanted": "on", "outcome": "met", "took": 90.04, "who": "Anna"},
            "1970-01-01 00:01:40  files             turn on: met in 90.0 s        Anna",
        ),
        (
            {"wanted": "off", "outcome": "dropped", "who": "Anna", "reason": "the bridge was restarted"},
            "1970-01-01 00:00:10  files             turn off: dropped             Anna:"
            " the bridge was restarted",
        ),
        (
            {"wanted": "restart", "outcome": "met", "took": 1.2, "who": "watchdog", "reason": "it burns"},
            "1970-01-01 00:00:11  files             restart: met in 1.2 s         watchdog: it burns",
        ),
    ],
)
def test_a_row_of_the_journal_is_a_sentence_of_its_own(change: dict[str, Any], said: str) -> None:
    plain = {
        "at": 10.0,
        "key": "files",
        "old": "off",
        "new": "on",
        "who": "observed",
        "reason": "",
        "wanted": None,
        "outcome": None,
        "took": None,
    }
    assert show.change({**plain, **change}) == said


def test_what_the_watchdog_sees_is_a_table_under_a_sentence() -> None:
    rule = {"rule": "cpu > 13 % for 3 cycles", "then": "restart", "value": 5.0, "shown": "5 %", "limit": 13.0}
    rule |= {"bad": 1, "count": 3, "within": 3, "failed": False, "source": "cgroup /web", "why": ""}
    report = {"key": "web", "watching": True, "why": "", "next": 12.2, "cycle": 30.0}
    report |= {"restarts": 2, "brake": 5, "within": 3600.0, "gave_up": False, "rules": [rule]}
    blank = {**rule, "shown": "", "bad": 0, "why": "no process matches 'x'"}
    off = {
        **report,
        "watching": False,
        "why": "off",
        "gave_up": True,
        "rules": [blank, {**rule, "failed": True}],
    }
    blind = {**report, "why": "systemd does not answer", "rules": []}
    assert show.watchdogs([report, off, blind]) == [
        "web: looks every 30 s, again in 12 s; 2 of 5 restarts within 3600 s",
        "  RULE                     VALUE  CYCLES  THEN     MEASURED",
        "  cpu > 13 % for 3 cycles  5 %    1 of 3  restart  cgroup /web",
        "web: not watched now: off; 2 of 5 restarts within 3600 s, given up",
        "  RULE                     VALUE     CYCLES          THEN     MEASURED",
        "  cpu > 13 % for 3 cycles  no value  0 of 3          restart  no process matches 'x'",
        "  cpu > 13 % for 3 cycles  5 %       1 of 3, failed  restart  cgroup /web",
        "web: cannot look: systemd does not answer; 2 of 5 restarts within 3600 s",
        "  RULE  VALUE  CYCLES  THEN  MEASURED",
    ]
    assert show.watchdogs([])[0].startswith("nothing is watched; write")
