"""What is told about the tests that did not run, and when that is a failure."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A library's thread would take the signals that the root program's tests send to this process.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# A shell that starts the tests in the background has SIGINT ignored, and so would have what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

CAMPAIGN = os.environ.get("BELLPULL_CAMPAIGN") == "1"
settings.register_profile("sample", max_examples=150, deadline=None)
settings.register_profile("campaign", max_examples=20_000, deadline=None)
settings.load_profile("campaign" if CAMPAIGN else "sample")

BELIEVED = "this machine has no "  # a skip whose reason begins so is not the tests' fault

not_run = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help=f"a skipped test is a failure, unless its reason begins with '{BELIEVED}' (default in CI)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker("root")
        if CAMPAIGN:
            item.add_marker(pytest.mark.timeout(4 * 3600))


def pytest_deselected(items: list[pytest.Item]) -> None:
    if not items:
        return
    config = items[0].config
    if "not root" in config.option.markexpr:
        config.stash[not_run] = sum(item.get_closest_marker("root") is not None for item in items)


def _disbelieved(terminal: pytest.TerminalReporter) -> Iterator[str]:
    for report in terminal.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(BELIEVED):
            yield f"{report.nodeid}: {reason}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("no_skips") and terminal and any(_disbelieved(terminal)):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(not_run, 0):
        terminalreporter.section("not run")
        terminalreporter.line(f"{count} tests that need root (a server in a box): sudo make test-all")
    skipped = list(_disbelieved(terminalreporter))
    if config.getoption("no_skips") and skipped:
        terminalreporter.section("skipped, though this machine could run them: a failure", red=True)
        for line in skipped:
            terminalreporter.line(line)
