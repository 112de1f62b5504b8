"""Somebody at the server's keyboard: runs programs in the box and knows to the microsecond when."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.box import Box

AGENT = Path(__file__).with_name("agent.py")


@dataclass(frozen=True)
class Done:
    """start, end: seconds of time.monotonic(). said: stdout and stderr, or what was read."""

    start: float
    end: float
    code: int
    said: str

    @property
    def took(self) -> float:
        return self.end - self.start


class Hands:
    """An agent in the box that stays, so that its own start is in no measurement."""

    def __init__(self, box: Box, user: str | None = None) -> None:
        box.write("/usr/local/lib/bench-agent.py", AGENT.read_text())
        command = box.command(["/usr/bin/python3", "-I", "/usr/local/lib/bench-agent.py"], user=user)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _do(self, **what: Any) -> Done:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        done = Done(**json.loads(self._process.stdout.readline()))
        if done.code:
            raise RuntimeError(f"{what}: {done.said or done.code}")
        return done

    def run(self, *argv: str) -> Done:
        """Run a program to its end; RuntimeError with its words when it fails."""
        return self._do(run=argv)

    def kill(self, pid: int, number: int) -> Done:
        """Signal a process and wait until it is gone."""
        return self._do(kill=pid, signal=number)

    def read(self, path: str) -> str:
        return self._do(read=path).said

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).said.strip()

    def stamp(self, unit: str, name: str) -> float:
        """When systemd saw the unit change, by its own clock reading: seconds of time.monotonic()."""
        return int(self.property(unit, f"{name}TimestampMonotonic")) / 1e6

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
