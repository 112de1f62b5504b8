"""`watchdog:` as a person writes it, and each mistake at its place."""

import pytest

from bridge.config import Config, Entry, parse
from bridge.watchdog.decide import Brake
from bridge.watchdog.settings import Watch

COMMAND = "kind: command, on: x, off: x"
BUTTON = "kind: services, units: [x], action: restart"


def parsed(watchdog: str, kind: str = "kind: services, units: [x]") -> tuple[Config, list[str]]:
    config, problems = parse(f"accessories:\n  a:\n    {{{kind}, watchdog: {watchdog}}}", "c")
    assert config is not None
    return config, problems


def entry(watchdog: str, kind: str = "kind: services, units: [x]") -> Entry:
    config, problems = parsed(watchdog, kind)
    assert problems == []
    return config.accessories[0]


def test_all_that_can_be_said() -> None:
    watch = entry(
        "{rules: [total cpu > 13% for 3 cycles, memory > 2 GiB then alert], cycle: 2 minutes,"
        " process: jelly.*n, percent: docker, brake: 3 restarts within 90 min, switch: true}"
    ).watch
    assert watch is not None and watch.process is not None
    assert [str(rule) for rule in watch.rules] == [
        "total cpu > 13 % for 3 cycles",
        "memory > 2 GiB for 1 cycle",
    ]
    assert (watch.cycle, watch.process.pattern, watch.percent) == (120.0, "jelly.*n", "docker")
    assert (watch.brake, watch.switch) == (Brake(3, 5400.0), True)


def test_rules_are_enough() -> None:
    watch = entry("{rules: [cpu > 13%]}").watch
    assert (
        watch == Watch(watch.rules if watch else ())
        and watch.cycle == 30.0
        and watch.brake == Brake(5, 3600.0)
    )


@pytest.mark.parametrize(
    ("watchdog", "problem"),
    [
        ("{}", "watchdog.rules: missing"),
        ("armed", "accessories.a.watchdog: 'armed' where `key: value` lines are expected"),
        ("{rules: []}", "watchdog.rules: an empty list"),
        ("{rules: cpu > 13%}", "watchdog.rules: 'cpu > 13%' where a list is expected"),
        ("{rules: [cpu > 13%, cpu > 13]}", "c:3:64: accessories.a.watchdog.rules: 13 is no limit for cpu"),
        (
            "{rules: [cpu > 13%], cycles: 3}",
            "watchdog.cycles: unknown key; did you mean 'cycle'?",
        ),
        ("{rules: [cpu > 13%], cycle: 0.5s}", "watchdog.cycle: 0.5 s is too often"),
        ("{rules: [cpu > 13%], cycle: soon}", "watchdog.cycle: 'soon' is not a duration"),
        (
            "{rules: [cpu > 13%], process: '('}",
            "watchdog.process: '(' is no regular expression",
        ),
        ("{rules: [cpu > 13%], percent: both}", "watchdog.percent: 'both' is not known here"),
        ("{rules: [cpu > 13%], brake: never}", "watchdog.brake: 'never' is no brake"),
        (
            "{rules: [cpu > 13%], brake: 0 restarts within 1h}",
            "is no brake; write it like: 5 ",
        ),
        ("{rules: [cpu > 13%], brake: 5 restarts within a week}", "'a week' is not a duration"),
        ("{rules: [cpu > 13%], switch: maybe}", "'maybe' is neither true nor false"),
        (
            "{rules: [cpu > 130%]}",
            "rules: 'cpu > 130%': more than 100 % cannot be",
        ),
        ("{rules: [unhealthy]}", "'unhealthy': this kind has no health check; remove the rule"),
    ],
)
def test_a_mistake_is_told_at_its_place_with_its_cure(watchdog: str, problem: str) -> None:
    _, (found,) = parsed(watchdog)
    assert problem in found


@pytest.mark.parametrize(
    ("kind", "rules", "problem"),
    [
        (
            "kind: command, on: x, off: x",
            "cpu > 1% then alert",
            "this kind does not tell its cpu; write `process:`",
        ),
        (
            "kind: command, on: x, off: x",
            "memory > 1M then alert",
            "this kind does not tell its memory; write",
        ),
        (
            "kind: services, units: [x], action: restart",
            "cpu > 1%",
            "a button is never on; write the watchdog at",
        ),
    ],
)
def test_a_rule_that_could_never_be_kept_is_refused(kind: str, rules: str, problem: str) -> None:
    _, (found,) = parsed(f"{{rules: [{rules}]}}", kind)
    assert problem in found


def test_what_cannot_be_restarted_may_be_alerted_of() -> None:
    _, (found,) = parsed("{rules: [cpu > 1%], process: x}", COMMAND)
    assert "this kind cannot be restarted; end the rule with `then alert`" in found
    assert entry("{rules: [cpu > 1% then alert], process: x}", COMMAND).watch


def test_the_switch_counts_as_an_accessory_and_its_name_is_taken() -> None:
    switch = "watchdog: {rules: [cpu > 1%], switch: true}"
    many = "\n".join(f"  a{number}: {{kind: services, units: [x], {switch}}}" for number in range(75))
    _, (found,) = parse(f"accessories:\n{many}", "c")
    assert "150 accessories with 75 sensors and switches" in found
    _, (found,) = parse(
        "accessories:\n  web watchdog: {kind: services, units: [x]}\n".replace("web watchdog", "web-watchdog")
        + f"  web: {{kind: services, units: [x], {switch}}}",
        "c",
    )
    assert "'Web Watchdog' is the name of 'web-watchdog' already" in found
