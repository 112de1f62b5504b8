"""The README and `--help` tell of the commands there are."""

import re
import shlex
from pathlib import Path

import pytest

from bridge import cli

CHECKOUT = Path(__file__).parents[2]
VERBS = ("init", "check", "apply", "run", "pair", "list", "set", "journal", "watchdog", "forget")


def shown_in(document: str) -> list[str]:
    """The `bellpull …` lines of a document's code, without their comments."""
    text = (CHECKOUT / document).read_text()
    blocks = re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [line for line in text.splitlines() if line.startswith("    ")]
    lines += re.findall(r"`([^`\n]+)`", text)
    found = (re.match(r"\s*(?:sudo )?bellpull (?!-helper)(.*)", line.partition("#")[0]) for line in lines)
    return [match[1].strip() for match in found if match and match[1].strip()]


def words_of(line: str) -> list[str]:
    """A line of a document as arguments; what stands for something else is filled in."""
    words = shlex.split(line.replace("[", "").replace("]", "").replace("…", ""))
    return [{"on|off": "on"}.get(word, word) for word in words]


@pytest.mark.parametrize("document", ["README.md"])
def test_every_command_that_is_shown_exists(document: str) -> None:
    lines = shown_in(document)
    assert len(lines) >= 5
    for line in lines:
        words = words_of(line)
        if words in ([verb] for verb in VERBS) and words[0] in ("set", "forget"):
            continue  # only named
        try:
            cli.parser().parse_args(words)
        except SystemExit as ended:
            assert not ended.code, f"{document} shows `bellpull {line}`"


def test_help_names_every_command_and_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert not ended.value.code
    for verb in VERBS:
        assert re.search(rf"^ +{verb} +\S", said, re.MULTILINE), verb


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_a_help_of_its_own(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert not ended.value.code
    assert f"bellpull {verb}" in capsys.readouterr().out


def test_the_readme_shows_every_command_a_person_needs() -> None:
    shown = {line.split()[0] for line in shown_in("README.md")}
    assert {"check", "apply", "pair", "list", "set", "journal"} <= shown
