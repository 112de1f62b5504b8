"""`assassin.py N run …`: the scans' command line, killed right before its Nth change of a file or name."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bridge.scans import cli
from bridge.scans.inbox import ledger, tree, work

left = int(sys.argv[1])


def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return wrapped


for module in (tree, work, ledger):
    own = type(os)("os")
    own.__dict__.update(vars(os))
    for name in ("write", "unlink", "rename", "link", "mkdir", "fsync", "ftruncate"):
        setattr(own, name, deadly(getattr(os, name)))
    module.os = own  # type: ignore[attr-defined]
tree._renameat2 = deadly(tree._renameat2)

sys.exit(cli.main(sys.argv[2:]))
