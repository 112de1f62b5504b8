"""The shape of the tree: what a newcomer may rely on when looking for something."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("bridge", "accessories")
MODULES = sorted(path.relative_to(CHECKOUT) for name in PACKAGES for path in (CHECKOUT / name).rglob("*.py"))
HELPER = [module for module in MODULES if module.is_relative_to("bridge/helper")]

TOP = {
    *("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", "config.example.yaml"),
    *(".ci", ".gitignore", "accessories", "benchmarks", "bridge", "docs", "systemd", "tests"),
}


def tree(module: Path) -> ast.Module:
    return ast.parse((CHECKOUT / module).read_text(), str(module))


def imported(module: Path) -> set[str]:
    """Top-level packages a module imports, anywhere in it; its own package left out."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_the_top_level_holds_what_it_was_made_to_hold() -> None:
    listed = subprocess.run(["git", "-C", CHECKOUT, "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this machine has no git checkout here")
    assert {name.partition("/")[0] for name in listed.stdout.splitlines()} <= TOP


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_says_what_it_is_for_and_stays_readable(module: Path) -> None:
    text = (CHECKOUT / module).read_text()
    assert not text or ast.get_docstring(tree(module)), "no docstring"
    assert len(text.splitlines()) <= 350


@pytest.mark.parametrize("module", HELPER, ids=str)
def test_the_root_program_imports_the_standard_library_and_itself_only(module: Path) -> None:
    assert imported(module) <= {*sys.stdlib_module_names, "helper"}


@pytest.mark.parametrize("kind", [path.stem for path in (CHECKOUT / "accessories").glob("[!_]*.py")])
def test_every_kind_has_tests_of_its_own(kind: str) -> None:
    assert list((CHECKOUT / "tests").rglob(f"test_{kind}*.py"))
