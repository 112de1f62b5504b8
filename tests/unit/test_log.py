"""Log lines for a person, or for systemd's journal."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging
from bridge import log
log.start()
logging.getLogger("bridge.x").info("calm")
logging.getLogger("bridge.x").error("two\\nlines")
print(log.for_journal())
"""


def written(stderr: Path, journal_stream: str | None = None) -> tuple[str, str]:
    """What a program logs into a file that is (or is not) said to be the journal, and what it thinks."""
    environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    with stderr.open("wb") as file:
        status = os.fstat(file.fileno())
        if journal_stream is not None:
            environment["JOURNAL_STREAM"] = journal_stream or f"{status.st_dev}:{status.st_ino}"
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, stderr=file, timeout=60
        )
    return stderr.read_text(), ended.stdout.decode().strip()


def test_every_line_for_the_journal_has_its_priority(tmp_path: Path) -> None:
    said, for_journal = written(tmp_path / "err", "")
    assert said == "<6>bridge.x: calm\n<3>bridge.x: two\n<3>lines\n"
    assert for_journal == "True"


def test_a_terminal_in_a_desktop_session_is_not_taken_for_the_journal(tmp_path: Path) -> None:
    said, for_journal = written(tmp_path / "err", "8:12345")
    assert "<6>" not in said and said.splitlines()[0].endswith(" calm")
    assert for_journal == "False"


def test_without_systemd_lines_have_the_time_of_day(tmp_path: Path) -> None:
    said, _ = written(tmp_path / "err")
    assert said[2] == said[5] == ":" and " calm\n" in said
