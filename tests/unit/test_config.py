"""The configuration: everything that is wrong at once, each with its line and its cure; the rest works."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accessories.command import Command
from accessories.services import Services
from bridge.config import Bridge, Config, ConfigError, Entry, load, parse
from bridge.rules import MOST_ACCESSORIES

TILE = "kind: services\n    units: [smbd]\n"


def tiles(*lines: str) -> tuple[list[Entry], list[str]]:
    """The entries and problems of a file with these lines below `accessories:`."""
    config, problems = parse("accessories:\n" + "\n".join(lines), "c")
    assert config is not None
    return list(config.accessories), problems


def problems_of(written: str) -> list[str]:
    return parse(written, "c")[1]


def test_a_configuration_is_read_with_all_it_says() -> None:
    config, problems = parse(
        """
bridge: {name: Cellar, address: 192.168.1.10, port: 21105, setup_code: 031-45-154}
accessories:
  file-server:
    kind: services
    name: File Server
    units: [smbd, nmbd.service, backup.timer]
    deadline: 2m
    bulk: ignore
    trouble: true
  web: {kind: services, units: [apache2], action: restart}
  lamp:
    kind: command
    on: [lamp, on]
    off: lamp off
""",
        "c",
    )
    assert not problems and config is not None
    bridge = config.bridge
    assert (bridge.name, bridge.address, bridge.port) == ("Cellar", "192.168.1.10", 21105)
    assert bridge.setup_code == "031-45-154"
    files, web, lamp = config.accessories
    assert files.kind == Services(("smbd.service", "nmbd.service", "backup.timer"))
    assert (files.name, files.deadline, files.ignores_bulk, files.sensors) == (
        "File Server",
        120,
        True,
        ("trouble",),
    )
    assert (web.name, web.action, web.deadline, web.ignores_bulk) == ("Web", "restart", 100, False)
    assert lamp.kind == Command(on=("lamp", "on"), off=("lamp", "off"))
    assert [entry.place for entry in config.accessories] == ["4:3", "11:3", "12:3"]


def test_the_sensors_of_a_kind_have_names_of_their_own_and_count_as_accessories(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Command, "sensors", lambda self: ("done",))
    lamps = "".join(f"  l{number}: {{kind: command, on: [lamp], off: [lamp]}}\n" for number in range(75))
    config, (problem,) = parse(f"accessories:\n{lamps}", "c")
    assert config is not None and config.accessories[0].sensors == ("done",)
    assert "150 accessories with 75 sensors and switches" in problem
    _, (problem,) = parse(
        "accessories:\n  a: {kind: command, on: [lamp], off: [lamp], name: A}\n"
        "  b: {kind: services, units: [b], name: A Done}\n",
        "c",
    )
    assert "'A Done' is the name of 'a.done' already" in problem


def test_without_a_bridge_section_the_defaults_hold() -> None:
    config, _ = parse("accessories: {}", "c")
    assert config == Config(Bridge(name="Bellpull", address=None, port=21100), ())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "c:1:1: the file is empty; write `accessories:` at least"),
        ("# nothing\n", "c:1:1: the file is empty; write `accessories:` at least"),
        ("- a", "c:1:1: a list where `key: value` lines are expected"),
        ("hello", "c:1:1: 'hello' where `key: value` lines are expected"),
        ("bridge: {}", "c:1:1: accessories: missing; write at least one accessory below `accessories:`"),
        ("acessories: {}", "c:1:1: acessories: unknown key; did you mean 'accessories'?"),
        ("accessories: [a]", "c:1:14: accessories: a list where `key: value` lines are expected"),
        ("accessories:", "c:1:13: accessories: nothing where `key: value` lines are expected"),
        ("accessories: {}\naccessories: {}", "c:2:1: accessories: given twice; it stands in line 1 already"),
        ("accessories: {a: b}", "c:1:18: accessories.a: 'b' where `key: value` lines are expected"),
        ("accessories: {a: {}}", "c:1:18: accessories.a.kind: missing; write `kind:` and one of command, "),
        (
            "accessories: {a: {kind: service}}",
            "c:1:25: accessories.a.kind: unknown kind; did you mean 'services'?",
        ),
        ("accessories: {a: {kind: [x]}}", "c:1:25: accessories.a.kind: a list where text is expected"),
        (
            "accessories: {a: {kind: services, unit: [x]}}",
            "c:1:18: accessories.a.units: missing; write `units: …`",
        ),
        (
            "accessories: {a: {kind: services, units: smbd}}",
            "c:1:42: accessories.a.units: 'smbd' where a list is expected; write [smbd]",
        ),
        (
            "accessories: {a: {kind: services, units: [sm bd]}}",
            "c:1:42: accessories.a.units: 'sm bd' is not the name of a unit; write one that",
        ),
        (
            "accessories: {a: {kind: services, units: [smbd, smbd.service]}}",
            "c:1:42: accessories.a.units: smbd.service is listed twice; remove one",
        ),
        (
            "accessories: {a: {kind: services, units: [x], deadline: soon}}",
            "c:1:57: accessories.a.deadline: 'soon' is not a duration; write it like 30s, 5m",
        ),
        (
            "accessories: {a: {kind: services, units: [x], bulk: no}}",
            "c:1:53: accessories.a.bulk: 'no' is not known here; write obey or ignore",
        ),
        (
            "accessories: {a: {kind: command, on: x, action: restart}}",
            "c:1:49: accessories.a.action: this kind cannot be restarted; remove the line",
        ),
        (
            "accessories: {a+b: {kind: services, units: [x]}}",
            "c:1:15: accessories.a+b: not a usable key; write letters, digits, - and _, 48 at most",
        ),
        (
            "accessories: {a: {kind: services, units: [x], name: 'Ada!'}}",
            "c:1:53: accessories.a.name: 'Ada!' does not begin and end with a letter or digit",
        ),
        (
            "accessories: {a: {kind: services, units: [x], name: A/B}}",
            "c:1:53: accessories.a.name: 'A/B' has '/'; Apple allows letters, digits, spaces and apostrophes",
        ),
        (
            "accessories: {a: {kind: services, units: [x], name: " + 65 * "x" + "}}",
            "c:1:53: accessories.a.name: longer than 64 characters; shorten it",
        ),
        (
            'accessories: {a: {kind: services, units: [x], name: "A\\e[31mB"}}',
            "c:1:53: accessories.a.name: 'A\\x1b[31mB' has",
        ),
        (
            "accessories: {}\nbridge: {port: 80}",
            "c:2:16: bridge.port: 80 cannot be used as a port; write one",
        ),
        (
            "accessories: {a: {kind: command, on: x}}\nbridge: {address: eth0}",
            "c:2:19: bridge.address: 'eth0' is no IPv4",
        ),
        (
            "accessories: {a: {kind: command, on: x}}\nbridge: {address: '::1'}",
            "c:2:19: bridge.address: '::1' is no IPv4",
        ),
        (
            "accessories: {a: {kind: command, on: x}}\nbridge: {address: 0.0.0.0}",
            "c:2:19: bridge.address: '0.0.0.0' is no",
        ),
        ("accessories: {}", "c:1:14: accessories: empty; write at least one"),
        ("accessories: {}\nbridge: {setup_code: 1}", "c:2:22: bridge.setup_code: '1' is not a setup code"),
        (
            "accessories: {}\nbridge: {setup_code: 111-11-111}",
            "c:2:22: bridge.setup_code: '111-11-111' is not a setup code, or too easy",
        ),
        ("accessories: {}\nbridge: {nmae: x}", "c:2:10: bridge.nmae: unknown key; did you mean 'name'?"),
    ],
)
def test_a_mistake_is_said_with_file_line_column_path_and_cure(written: str, said: str) -> None:
    problems = problems_of(written)
    assert any(problem.startswith(said) for problem in problems), problems
    assert all("; " in problem or "expected" in problem for problem in problems)


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() -> None:
    problems = problems_of(
        "bridge: {port: x}\naccessories:\n  b: {kind: services}\n  a: {kind: vmm}\nmore: 1\n"
    )
    assert [problem.split(": ")[0] for problem in problems] == ["c:1:16", "c:3:6", "c:4:13", "c:5:1"]


def test_a_broken_entry_keeps_its_place_and_says_why_and_the_others_work() -> None:
    (good, bad, last), problems = tiles(
        f"  good:\n    {TILE}",
        f"  bad:\n    {TILE}    name: Cellar\n    deadline: soon\n    trouble: true\n",
        f"  last:\n    {TILE}",
    )
    assert len(problems) == 1
    assert good.kind and last.kind and not good.broken
    assert bad.kind is None and bad.broken.startswith("'soon' is not a duration")
    assert (bad.name, bad.sensors) == ("Cellar", ("trouble",))  # what is right stays as a phone knows it


def test_a_key_that_cannot_be_an_identity_makes_no_accessory() -> None:
    entries, problems = tiles(f"  good:\n    {TILE}", f'  "\\e[2J":\n    {TILE}')
    assert [entry.key for entry in entries] == ["good"]
    assert len(problems) == 1 and "\x1b" not in problems[0]


def test_the_same_name_twice_is_refused_whatever_its_case() -> None:
    _, problems = tiles(f"  a:\n    {TILE}    name: Web", f"  b:\n    {TILE}    name: WEB")
    assert problems == ["c:9:11: accessories.b.name: 'WEB' is the name of 'a' already; write another `name:`"]


def test_a_name_made_from_a_key_can_clash_too() -> None:
    _, problems = tiles(f"  file-server:\n    {TILE}", f"  file_server:\n    {TILE}")
    assert problems[0].startswith("c:6:3: accessories.file_server.name: 'File Server' is the name of")


def test_the_name_of_a_trouble_sensor_is_a_name_like_any_other() -> None:
    _, problems = tiles(f"  a:\n    {TILE}    name: Web\n    trouble: true", f"  web-trouble:\n    {TILE}")
    assert "'Web Trouble' is the name of 'a.trouble' already" in problems[0]
    _, problems = tiles(f"  a:\n    {TILE}    name: {60 * 'x'}\n    trouble: true")
    assert "longer than 64 characters" in problems[0]


@pytest.mark.parametrize("name", ["Büro", "Bu\u0308ro", "地下室", "घर की बत्ती", "ห้องครัว", "Anna's 2nd", "1"])
def test_names_may_be_written_in_any_language(name: str) -> None:
    (entry,), problems = tiles(f"  a:\n    {TILE}    name: {name}")
    assert not problems
    assert entry.name == name.replace("u\u0308", "ü")


@pytest.mark.parametrize("name", ["' x", "x'", "-x", "x y!", "💡", "a\\tb", "\\u202Ex", "x\\u200b"])
def test_names_that_a_phone_would_refuse_are_refused(name: str) -> None:
    entries, problems = tiles(f'  a:\n    {TILE}    name: "{name}"')
    assert len(problems) == 1 and entries[0].broken


def numbered(count: int, sensors: int = 0) -> list[str]:
    lines = []
    for number in range(count):
        trouble = "true" if number < sensors else "false"
        lines.append(f"  t{number}: {{kind: services, units: [u], trouble: {trouble}}}")
    return lines


def test_a_hundred_and_forty_nine_accessories_are_taken() -> None:
    assert not tiles(*numbered(MOST_ACCESSORIES))[1]
    assert not tiles(*numbered(100, sensors=49))[1]


def test_one_more_is_refused_and_sensors_count() -> None:
    assert tiles(*numbered(150))[1] == [
        "c:2:3: accessories: 150 accessories, but HomeKit takes 149 behind one bridge;"
        " move some to a second bridge"
    ]
    (problem,) = tiles(*numbered(100, sensors=50))[1]
    assert "150 accessories with 50 sensors and switches" in problem


def test_a_wrong_bridge_section_stops_everything_as_nobody_can_guess_a_port() -> None:
    config, problems = parse("bridge: {port: x}\naccessories: {a: {kind: command, on: x}}", "c")
    assert config is None and len(problems) == 1


def test_a_file_is_read_as_utf_8_with_or_without_a_mark_at_its_start(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes("\ufeffaccessories:\r\n  a:\r\n    kind: x\r\n".encode())
    _, (problem,) = load(file)
    assert problem.startswith(f"{file}:3:11: accessories.a.kind: unknown kind")


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match=r"config.yaml: there is no such file; write one with `bellpull"):
        load(file)
    file.write_bytes(b"accessories:\n  a: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text at byte 18; save it as UTF-8"):
        load(file)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


WORDS = st.sampled_from(
    ["accessories", "bridge", "kind", "services", "command", "units", "on", "name", "a", "x y", "true", "5s"]
)
TREES = st.recursive(
    WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.text() | TREES.map(lambda tree: str(tree)) | TREES.map(lambda tree: f"accessories: {{a: {tree}}}"))
@example("accessories: &a {b: *a}")
@example("accessories: {a: &a {kind: services, units: *a}}")
def test_no_text_raises_anything_but_says_what_is_wrong(written: str) -> None:
    config, problems = parse(written, "c")
    assert config is not None or problems
    for problem in problems:
        assert problem.startswith("c:") and problem.isprintable()
    if config is not None:
        assert all((entry.kind is None) == bool(entry.broken) for entry in config.accessories)
