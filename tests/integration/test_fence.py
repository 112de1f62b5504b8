"""Commands of a bridge that is not root: no way to root, none to the bridge's keys or memory.

The bridge here is a process of its own under a user of its own, as under the real unit: the
folders above its state are root's. Each command is a real child of it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]
BRIDGE = """
import asyncio, ctypes, json, logging, os, sys
from pathlib import Path
from bridge.tools import landlock
from bridge.tools.processes import Processes, hide_from_children

logging.basicConfig(level=logging.WARNING)
kernel, keys, *commands = json.loads(sys.argv[1])
if kernel == "without Landlock":
    landlock.version = lambda: 0
hide_from_children()
held = os.open(f"{keys}/secret", os.O_RDONLY)

async def main():
    processes = Processes(Path(keys))
    for number, command in enumerate(commands):
        new = Path(keys).with_name(f"new-{number}")
        new.write_text("x")
        command = [word.format(pid=os.getpid(), fd=held, new=new) for word in command]
        ended = await processes.run(command, seconds=30, log=logging.getLogger("command"))
        print(json.dumps([ended.code, ended.said]), flush=True)
    print(json.dumps(Path(keys, "secret").read_text()), flush=True)
    await processes.close()

asyncio.run(main())
"""


@dataclass
class Bridge:
    """One that runs some commands and is then gone; `log` is what it said."""

    state: Path
    log: str = ""
    kernel: str = "with Landlock"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    def run(self, *commands: list[str]) -> list[tuple[int, str]]:
        """Exit code and last line on stderr of each."""
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
        done = subprocess.run(
            [python, "-c", BRIDGE, json.dumps([self.kernel, str(self.keys), *commands])],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.log = done.stderr
        *results, still_there = map(json.loads, done.stdout.splitlines())
        assert still_there == "0451\n", "the bridge itself can no longer read its key"
        return [(code, said) for code, said in results]


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    top = Path(tempfile.mkdtemp(prefix="bellpull-test-", dir="/var/lib"))
    top.chmod(0o755)
    bridge = Bridge(top / "state")
    bridge.keys.mkdir(parents=True)
    (bridge.keys / "secret").write_text("0451\n")
    (bridge.state / "journal").touch()
    os.mkfifo(bridge.state / "fifo")
    (bridge.state / "way-in").symlink_to(bridge.keys)
    (bridge.state / "folder").mkdir()
    for path in (bridge.state, *bridge.state.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield bridge
    shutil.rmtree(top)


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


READS: dict[str, Callable[[Path], list[str]]] = {
    "by its name": lambda keys: ["cat", f"{keys}/secret"],
    "by a symlink": lambda keys: ["cat", f"{keys}/../way-in/secret"],
    "by a relative path": lambda keys: sh(f"cd {keys} && cat secret"),
    "by a new hard link": lambda keys: sh(f"ln {keys}/secret {keys}/../folder/x && cat {keys}/../folder/x"),
    "by renaming the file": lambda keys: sh(f"mv {keys}/secret {keys}/../folder/x"),
    "by renaming the folder": lambda keys: sh(f"mv {keys} {keys}/../folder/x"),
    "by the bridge's root": lambda keys: ["cat", f"/proc/{{pid}}/root{keys}/secret"],
    "by the bridge's descriptor": lambda keys: ["cat", "/proc/{pid}/fd/{fd}"],
    "by a thread's descriptor": lambda keys: sh("cat /proc/{pid}/task/*/fd/{fd}"),
    "by an inherited descriptor": lambda keys: sh("cat /proc/self/fd/{fd} || cat <&{fd}"),
    "by writing over it": lambda keys: sh(f"echo 1234 >{keys}/secret"),
    "by truncating it": lambda keys: ["truncate", "-s", "0", f"{keys}/secret"],
    "by removing it": lambda keys: ["rm", "-f", f"{keys}/secret"],
    "by planting another": lambda keys: ["ln", "-s", "/tmp/x", f"{keys}/planted"],
}


@pytest.mark.parametrize("how", READS)
def test_a_command_cannot_get_at_the_keys(bridge: Bridge, how: str) -> None:
    ((code, said),) = bridge.run(READS[how](bridge.keys))
    assert code not in (0, 126, 127), "it could"
    assert said
    assert "commands can read" not in bridge.log


@pytest.mark.parametrize("kernel", ["with Landlock", "without Landlock"])
def test_a_command_cannot_trace_the_bridge(bridge: Bridge, kernel: str) -> None:
    bridge.kernel = kernel
    attach = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) != -1)"
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    results = bridge.run(
        [python, "-Ic", attach, "{pid}"],
        ["dd", "if=/proc/{pid}/mem", "count=0"],
        sh("cat /proc/{pid}/task/*/environ"),
        sh("cat /proc/{pid}/task/*/maps"),
    )
    assert [code == 0 for code, _ in results] == [True, False, False, False]


@pytest.mark.parametrize("kernel", ["with Landlock", "without Landlock"])
def test_a_command_can_gain_no_privileges(bridge: Bridge, kernel: str) -> None:
    bridge.kernel = kernel
    copy = bridge.state.parent / "root-id"  # what sudo is: a program of root's with the set-user-ID bit
    shutil.copy("/usr/bin/id", copy)
    copy.chmod(0o4755)
    assert subprocess.run([copy, "-u"], user=NOBODY, capture_output=True, text=True).stdout == "0\n"
    (result,) = bridge.run(sh(f"test $({copy} -u) = {NOBODY} && grep -q 'NoNewPrivs:.1' /proc/self/status"))
    assert result == (0, "")


def test_a_command_can_do_everything_else(bridge: Bridge) -> None:
    results = bridge.run(
        sh("f=$(mktemp) && echo x >$f && cat $f && mv $f $f.new && rm $f.new"),
        ["cat", "/etc/passwd", "/proc/self/status", "/proc/meminfo"],
        ["ls", "/", "/var/lib", "/usr/bin", str(bridge.state)],
        sh(f"echo x >{bridge.state}/folder/a && ln {bridge.state}/folder/a {bridge.state}/folder/b"),
        sh(f"mkdir {bridge.state}/folder/c && mv {bridge.state}/folder/a {bridge.state}/folder/c/"),
        sh("echo x >/dev/null"),
    )
    assert results == [(0, "")] * 6


def test_a_command_sees_what_came_beside_the_way_to_the_keys_since_the_last_one(bridge: Bridge) -> None:
    assert bridge.run(["true"], *[sh("cat {new} && echo y >{new}")] * 3) == [(0, "")] * 4


def test_a_kernel_without_landlock_is_told_once(bridge: Bridge) -> None:
    bridge.kernel = "without Landlock"
    assert bridge.run(["cat", str(bridge.keys / "secret")], ["true"]) == [(0, "")] * 2
    assert bridge.log.count("commands can read") == 1
    assert "this kernel has no Landlock" in bridge.log


def test_keys_in_a_home_folder_are_not_hidden_as_that_would_close_the_home(bridge: Bridge) -> None:
    home = bridge.state.parent
    os.chown(home, NOBODY, NOBODY)
    assert bridge.run(["touch", str(home / "new")]) == [(0, "")]
    assert f"{home} is the bridge's own to write" in bridge.log
