"""What the documents show is what the program does."""

import asyncio
import re
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge import cli, config, kind, schema
from bridge.tools import Tools
from bridge.watchdog.settings import Watch

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))


def block(document: str, language: str) -> str:
    """The first fenced block of a language in a document."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no ```{language} block"
    return found.group(1)


def test_the_readme_shows_the_help_that_the_program_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.parser().format_help() in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", *(f"docs/{file.name}" for file in DOCS)])
def test_every_link_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / document).read_text()):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_every_make_target_in_the_readme_exists() -> None:
    shown = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= shown - {"python"}
    assert shown - {"python"} <= targets


@pytest.mark.parametrize("file", ["config.example.yaml", "bridge/demo.yaml"])
def test_the_configurations_that_come_with_it_are_right(file: str) -> None:
    found, problems = config.load(ROOT / file)
    assert problems == []
    assert found is not None


def test_the_example_shows_every_kind_and_every_key() -> None:
    written = (ROOT / "config.example.yaml").read_text()
    found, _ = config.load(ROOT / "config.example.yaml")
    assert found is not None
    shown = {entry.kind_name for entry in found.accessories}
    assert shown == set(kind.names(builtin_only=True))
    keys: set[str] = set()
    for section in (config.Bridge, config.Notify, config.Common, Watch):
        keys |= set(schema.hints(section))
    for place in kind.names(builtin_only=True).values():
        keys |= set(schema.hints(kind.find(place)))
    missing = {key for key in keys if not re.search(rf"^[ #]*{key}:", written, re.MULTILINE)}
    assert missing == set()


async def test_the_kind_that_the_guide_shows_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flag_of_the_guide.py").write_text(block("docs/adding-a-kind.md", "python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(kind, "names", lambda **_: {"flag": "flag_of_the_guide"})
    there = tmp_path / "holiday"
    written = block("docs/adding-a-kind.md", "yaml").replace("/srv/flags/holiday", str(there))
    found, problems = config.parse(written, "guide.yaml")
    assert problems == []
    assert found is not None
    (entry,) = found.accessories
    assert entry.kind is not None
    tools = Tools(secrets=tmp_path)
    try:
        accessory = entry.kind.open(entry.key, tools)
        async with asyncio.timeout(10), aclosing(accessory.watch()) as states:
            assert (await anext(states)).on is False
            assert (await accessory.set(True)).on is True
            assert there.exists()
            assert (await anext(states)).on is True
            there.unlink()
            assert (await anext(states)).on is False
    finally:
        await tools.close()
        sys.modules.pop("flag_of_the_guide", None)
