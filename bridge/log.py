"""Log lines for whoever reads them: a person at a terminal, or the journal of systemd."""

import logging
import os
import sys

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Journal(logging.Formatter):
    """Lines with the priority that sd-daemon(3) describes, "<4>…"; each line of a traceback has it."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def for_journal() -> bool:
    """Whether standard error is read by systemd's journal (systemd.exec(5), $JOURNAL_STREAM).

    The variable alone says little: a terminal in a desktop session has inherited it.
    """
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"


def start() -> None:
    handler = logging.StreamHandler(sys.stderr)
    if for_journal():
        handler.setFormatter(_Journal("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
