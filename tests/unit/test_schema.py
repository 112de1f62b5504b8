"""YAML is read by the type that is expected, and whatever is wrong is said with its place."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge import schema
from bridge.schema import Argv, Duration, From, Problems, Wrong


@dataclass(frozen=True)
class Lamp:
    name: str
    bright: bool = False
    level: int = 1
    mode: Literal["warm", "cold"] = "warm"
    rooms: tuple[str, ...] = ()
    fade: Duration | None = None
    on: Argv | None = None
    shout: Annotated[str, From(lambda node: schema.text(node).upper())] = ""


def lamp(written: str) -> tuple[Lamp | None, list[str]]:
    problems = Problems()
    root = schema.compose(written, problems)
    assert root is not None
    given = schema.pairs(root, "lamp", problems)
    schema.only(schema.hints(Lamp), given, "lamp", problems)
    found = schema.read(Lamp, given, root, "lamp", problems)
    return found, [str(problem) for problem in sorted(problems.found)]


def node(written: str) -> schema.Node:
    found = yaml.compose(written, Loader=yaml.SafeLoader)
    assert found is not None
    return found


def test_every_type_is_read_by_its_annotation() -> None:
    found, problems = lamp(
        "name: 12:30\nbright: true\nlevel: -3\nmode: cold\nrooms: [yes, 1]\nfade: 1m\non: a 'b c'\nshout: x"
    )
    assert not problems
    assert found == Lamp("12:30", True, -3, "cold", ("yes", "1"), 60.0, ("a", "b c"), "X")


def test_on_and_off_and_times_are_text_and_keys_as_they_stand() -> None:
    problems = Problems()
    root = schema.compose("on: a\noff: b\nyes: c\n12:30: d\n~: e", problems)
    assert root is not None
    assert list(schema.pairs(root, "", problems)) == ["on", "off", "yes", "12:30", "~"]
    assert not problems.found


@pytest.mark.parametrize("word", ["yes", "on", "True", "TRUE", "1", "no", "y", "''", "[]", "{}"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    _, (problem,) = lamp(f"name: x\nbright: {word}")
    assert problem.startswith("2:9: lamp.bright: ")
    assert problem.endswith("is neither true nor false; write true or false")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("bright: true", "1:1: lamp.name: missing; write `name: …`"),
        ("name:", "1:6: lamp.name: empty; write a value"),
        ("name: [x]", "1:7: lamp.name: a list where text is expected"),
        ("name: {x: y}", "1:7: lamp.name: a mapping where text is expected"),
        ("name: x\nlevel: 1.5", "2:8: lamp.level: '1.5' is not a whole number; write one, such as 80"),
        ("name: x\nlevel: 0x10", "2:8: lamp.level: '0x10' is not a whole number; write one, such as 80"),
        ("name: x\nmode: hot", "2:7: lamp.mode: 'hot' is not known here; write warm or cold"),
        ("name: x\nrooms: hall", "2:8: lamp.rooms: 'hall' where a list is expected; write [hall]"),
        ("name: x\nrooms: []", "2:8: lamp.rooms: an empty list; write at least one item"),
        ("name: x\nrooms: [a, [b]]", "2:8: lamp.rooms: a list where text is expected"),
        ("name: x\nrooms:", "2:7: lamp.rooms: nothing where a list is expected; write […]"),
        ("name: x\nbrigth: true", "2:1: lamp.brigth: unknown key; did you mean 'bright'?"),
        (
            "name: x\nq: 1",
            "2:1: lamp.q: unknown key; known here: bright, fade, level, mode, name, on, rooms, shout",
        ),
        (
            "name: x\nname: y",
            "2:1: lamp.name: given twice; it stands in line 1 already, remove one",
        ),
        ("name: x\n? [a]\n: b", "2:3: lamp: a key must be plain text"),
        ("- name: x", "1:1: lamp: a list where `key: value` lines are expected"),
        ("name: x\non: [a, [b]]", "2:9: lamp.on: a list where one argument is expected; quote it"),
        ("name: x\non: []", "2:5: lamp.on: no program; write a list: [program, argument]"),
        ("name: x\non: ['']", "2:5: lamp.on: no program; write a list: [program, argument]"),
        ("name: x\non: a 'b", "2:5: lamp.on: cannot be split into arguments (No closing quotation);"),
        ('name: x\non: ["a\\0b"]', "2:5: lamp.on: a NUL character in an argument; remove it"),
        ("name: x\n<<: {bright: true}", "2:1: lamp.<<: unknown key; known here"),
    ],
)
def test_a_mistake_is_said_with_its_place_and_its_cure(written: str, said: str) -> None:
    problem, *_ = lamp(written)[1]
    assert problem.startswith(said)


def test_several_mistakes_are_said_at_once_in_the_order_of_the_lines() -> None:
    found, problems = lamp("level: x\nname: y\nmode: z\nbright: no\nrooms: q\ncolour: red")
    assert found is None
    assert [problem.split(": ")[:2] for problem in problems] == [
        ["1:8", "lamp.level"],
        ["3:7", "lamp.mode"],
        ["4:9", "lamp.bright"],
        ["5:8", "lamp.rooms"],
        ["6:1", "lamp.colour"],
    ]


def test_what_is_right_can_be_had_although_something_else_is_wrong() -> None:
    problems = Problems()
    root = node("name: x\nlevel: y")
    given = schema.pairs(root, "", problems)
    assert schema.values(Lamp, given, root, "", problems) == {"name": "x"}


def test_a_value_may_be_written_once_and_used_twice() -> None:
    found, problems = lamp("rooms: &r [hall]\nname: &n x\nshout: *n")
    assert not problems
    assert found == Lamp("x", rooms=("hall",), shout="X")


def test_a_list_that_holds_itself_is_a_mistake_and_no_endless_loop() -> None:
    _, (problem,) = lamp("name: x\nrooms: &r [*r]")
    assert problem == "2:8: lamp.rooms: a list where text is expected"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a: b: c", "1:5: not valid YAML: mapping values are not allowed here"),
        ("a:\n\tb: c", "2:1: not valid YAML: while scanning for the next token found character '\\t'"),
        (
            "a: [1,\nb: 2",
            "2:5: not valid YAML: while parsing a flow sequence expected ',' or ']', but got"
            " '<stream end>' (it began in line 1)",
        ),
        ("a: *b", "1:4: not valid YAML: found undefined alias 'b'"),
        ("a: 'b", "1:6: not valid YAML: while scanning a quoted scalar"),
        ("---\na: 1\n---\nb: 2", "3:1: not valid YAML: expected a single document"),
        ("a: 1\nb: \x07", "2:4: a character that cannot be written in YAML, U+0007; remove it"),
        ("a: 1\r\nb: c\ud800", "2:5: a character that cannot be written in YAML, U+D800; remove it"),
        ("[" * 5000, "1:1: nested too deeply to be read; remove some brackets"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_place(written: str, said: str) -> None:
    problems = Problems()
    assert schema.compose(written, problems) is None
    (problem,) = problems.found
    assert str(problem).startswith(said)


def test_what_is_told_of_foreign_text_is_bounded_and_fit_for_a_terminal() -> None:
    _, (problem,) = lamp('name: x\n"\\e[31m": ' + "y" * 9000 + "\n")
    assert "\x1b" not in problem
    _, (problem,) = lamp("name: x\nlevel: " + "y" * 9000)
    assert len(problem) < 600


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("1h 30m", 5400), ("1d", 86400), (" 3 s ", 3)],
)
def test_durations_are_read_as_people_write_them(written: str, seconds: float) -> None:
    assert schema.duration(node(f"'{written}'")) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["0", "0s", "-1", "32d", "soon", "1 2", "1x", "s", "1e3", "\u0661s", 400 * "9"]
)
def test_what_is_no_duration_says_how_one_looks(written: str) -> None:
    with pytest.raises(Wrong, match=r"write (it like 30s|more than 0)"):
        schema.duration(node(f"'{written}'"))


@given(
    days=st.integers(0, 29),
    hours=st.integers(0, 23),
    minutes=st.integers(0, 59),
    milliseconds=st.integers(1, 59_999),
)
def test_a_duration_that_is_written_down_is_read_back(
    days: int, hours: int, minutes: int, milliseconds: int
) -> None:
    written = f"{days}d {hours}h{minutes}m {milliseconds}ms"
    seconds = days * 86400 + hours * 3600 + minutes * 60 + milliseconds / 1000
    assert schema.duration(node(written)) == pytest.approx(seconds)


@given(st.text() | st.text(alphabet="ab:-[]{}&*'\"\\#|>\n\t ?!%@,0"))
def test_no_text_makes_the_reader_fail(written: str) -> None:
    problems = Problems()
    root = schema.compose(written, problems)
    for problem in problems.found:
        assert problem.line >= 1 and problem.column >= 1 and "; " in problem.text
    if root is not None:
        given = schema.pairs(root, "x", problems)
        schema.only(schema.hints(Lamp), given, "x", problems)
        found: Any = schema.read(Lamp, given, root, "x", problems)
        assert found is None or isinstance(found, Lamp)


Flat = tuple[int, int, Any]


def flat(tree: schema.Node) -> Flat:
    """Place and value of a node and of all below it; tags are of no use to us."""
    value = tree.value
    if not isinstance(value, str):
        value = [tuple(map(flat, item)) if isinstance(item, tuple) else flat(item) for item in value]
    return tree.start_mark.line, tree.start_mark.column, value


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml")
@given(st.text(alphabet="ab:-[]{}'\"\\#|>\n %@,0ä"))
@settings(max_examples=500)
@example("accessories:\n  lamp: {kind: command, 'on': [a, \"b\\n\"], off: x}\n  web:\n  - >-\n    c\n")
def test_both_parsers_see_the_same_at_the_same_place(written: str) -> None:
    found = []
    for loader in (schema.quick(), yaml.SafeLoader):
        try:
            root = yaml.compose(written, Loader=loader)
        except yaml.YAMLError:
            return
        found.append(root and flat(root))
    assert found[0] == found[1]
