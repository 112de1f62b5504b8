"""What is read, from where, and what is said when nothing can be."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.contract import Vitals
from bridge.tools import cgroups
from bridge.watchdog import meter as module
from bridge.watchdog import processes
from bridge.watchdog.meter import Meter, Rate, Value

BURN = "import time\nwhile True: pass"
SLEEP = "import time; time.sleep(60)"


@contextmanager
def child(script: str, *words: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-S", "-c", script, *words])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def end_children(pid: int) -> None:
    for process in processes.with_children(processes.existing([pid])):
        if process.pid != pid:
            process.kill()


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control group /web."""
    monkeypatch.setattr(cgroups, "root", lambda: tmp_path)
    group = tmp_path / "web"
    group.mkdir()
    (group / "cgroup.procs").write_text("")
    use(group, 1.0)
    return group


def use(group: Path, seconds: float) -> None:
    (group / "cpu.stat").write_text(f"usage_usec {int(seconds * 1e6)}\nuser_usec 5\nsystem_usec 6\n")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the monotonic clock, in its only element."""
    now = [100.0]
    fake = SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1e9 + now[0])
    monkeypatch.setattr(module, "time", fake)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return now


async def test_total_cpu_is_the_groups_and_every_core_busy_is_100_percent(
    web: Path, clock: list[float]
) -> None:
    meter, docker = Meter(["total cpu"], None, "monit"), Meter(["total cpu"], None, "docker")
    group = Vitals(("/web",))
    first = (await meter.read(group))["total cpu"]
    await docker.read(group)
    assert (first.value, first.why) == (None, "")
    clock[0] += 10.0
    use(web, 21.0)
    found = (await meter.read(group))["total cpu"]
    assert found == Value(50.0, "cgroup /web, 100 % is all 4 cores")
    assert (await docker.read(group))["total cpu"] == Value(200.0, "cgroup /web, 100 % is one core")


async def test_a_group_made_anew_begins_with_a_first_look(web: Path, clock: list[float]) -> None:
    meter = Meter(["total cpu"], None, "monit")
    await meter.read(Vitals(("/web",)))
    (web / "cpu.stat").rename(web / "old")  # so that the number is not given again
    use(web, 50.0)
    clock[0] += 10.0
    assert (await meter.read(Vitals(("/web",))))["total cpu"].value is None


async def test_groups_are_summed_up(web: Path, clock: list[float]) -> None:
    other = web.parent / "files"
    other.mkdir()
    use(other, 1.0)
    meter = Meter(["total cpu"], None, "docker")
    await meter.read(Vitals(("/web", "/files")))
    clock[0] += 10.0
    use(web, 2.0)
    use(other, 3.0)
    found = (await meter.read(Vitals(("/web", "/files"))))["total cpu"]
    assert found == Value(30.0, "cgroup /web and /files, 100 % is one core")


async def test_memory_is_the_groups_without_what_the_kernel_could_drop(web: Path) -> None:
    (web / "memory.current").write_text("5000\n")
    (web / "memory.stat").write_text("anon 1\ninactive_file 2000\nactive_file 7\n")
    assert (await Meter(["memory"], None, "monit").read(Vitals(("/web",))))["memory"] == Value(
        3000.0, "cgroup /web"
    )


async def test_memory_without_its_controller_is_the_sum_of_the_processes_and_says_so(web: Path) -> None:
    (web / "cgroup.procs").write_text(f"{os.getpid()}\n")
    below = web / "below"
    below.mkdir()
    with child(SLEEP) as pid:
        (below / "cgroup.procs").write_text(f"{pid}\n")
        meter = Meter(["memory"], None, "monit")
        for _ in range(2):
            found = (await meter.read(Vitals(("/web",))))["memory"]
            assert found.source == "resident memory of the 2 processes of cgroup /web"
            assert found.value is not None and found.value > 10 * 1024**2


async def test_cpu_is_the_main_process_alone_and_total_cpu_has_its_children() -> None:
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {BURN!r}])"
    with child(parent) as pid:
        meter = Meter(["cpu", "total cpu"], None, "docker")
        burning = processes.Used()
        while len(burning) < 2:
            burning = processes.cpu(processes.with_children(processes.existing([pid])))
            await asyncio.sleep(0.01)
        await meter.read(Vitals(pids=(pid,)))
        await asyncio.sleep(0.5)
        found = await meter.read(Vitals(pids=(pid,)))
        end_children(pid)
    assert found["cpu"].value is not None and found["cpu"].value < 5
    assert found["total cpu"].value is not None and found["total cpu"].value > 10
    assert found["cpu"].source == f"process {pid} alone, 100 % is one core"
    assert found["total cpu"].source == f"process {pid} and its children, 100 % is one core"


async def test_a_group_without_a_main_process_is_measured_as_a_whole(web: Path, clock: list[float]) -> None:
    meter = Meter(["cpu"], None, "docker")
    await meter.read(Vitals(("/web",)))
    clock[0] += 10.0
    use(web, 2.0)
    assert (await meter.read(Vitals(("/web",))))["cpu"] == Value(10.0, "cgroup /web, 100 % is one core")


async def test_a_process_is_found_by_its_command_line_and_found_again_when_it_is_another() -> None:
    word = f"watched-{os.getpid()}"
    meter = Meter(["cpu", "memory"], re.compile(f"{word}$"), "monit")
    with child(SLEEP, word) as pid:
        while f" {word}" not in processes.command_line(processes.existing([pid])[0]):
            await asyncio.sleep(0.01)
        found = await meter.read(Vitals())
        assert found["memory"].source == f"resident memory of process {pid} and its children"
        assert found["cpu"] == Value(None, f"process {pid} alone, 100 % is all {os.cpu_count()} cores")
    gone = await meter.read(Vitals())
    assert gone["cpu"].why == f"no process matches '{word}$'"
    with child(SLEEP, word) as pid:
        while f" {word}" not in processes.command_line(processes.existing([pid])[0]):
            await asyncio.sleep(0.01)
        assert f"process {pid} " in (await meter.read(Vitals()))["memory"].source


async def test_a_process_is_looked_for_in_the_accessorys_own_groups_only(web: Path) -> None:
    with child(SLEEP, "word") as pid:
        meter = Meter(["memory"], re.compile("word$"), "monit")
        found = (await meter.read(Vitals(("/web",))))["memory"]
        assert found.why == "no process matches 'word$' in cgroup /web"
        (web / "cgroup.procs").write_text(f"{pid}\n")
        assert (await meter.read(Vitals(("/web",))))["memory"].value


async def test_nothing_to_measure_is_a_reason_and_no_value() -> None:
    found = await Meter(["cpu", "total cpu", "memory"], None, "monit").read(Vitals())
    assert {value.why for value in found.values()} == {"nothing of it runs that could be measured"}


async def test_what_may_not_be_read_says_which_file(web: Path) -> None:
    (web / "cpu.stat").unlink()
    (web / "cpu.stat").mkdir()
    found = (await Meter(["total cpu"], None, "monit").read(Vitals(("/web",))))["total cpu"]
    assert found.why == f"{web}/cpu.stat: Is a directory"


@pytest.mark.parametrize(("healthy", "value"), [(True, 0.0), (False, 1.0), (None, None)])
async def test_health_is_what_its_check_says(healthy: bool | None, value: float | None) -> None:
    found = await Meter(["unhealthy"], None, "monit").read(Vitals(healthy=healthy))
    assert found == {"unhealthy": Value(value, "its health check")}


def test_what_has_begun_since_the_last_look_counts_in_full(clock: list[float]) -> None:
    rate = Rate()
    assert rate.percent({(1, 5.0): 10.0}) is None
    clock[0] += 10.0
    now = 1e9 + clock[0]
    assert rate.percent({(1, 5.0): 11.0, (2, now - 1): 2.0, (3, now - 1000): 500.0}) == 30.0
    clock[0] += 10.0
    assert rate.percent({(2, now - 1): 3.0}) == 10.0


def test_the_oldest_match_whose_parent_does_not_match_is_the_one() -> None:
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-S', '-c', {SLEEP!r}, sys.argv[1]]).wait()"
    )
    word = f"family-{os.getpid()}"
    with child(script, word) as pid:
        family: list[object] = []
        while len(family) < 2:
            family = list(processes.with_children(processes.existing([pid])))
            time.sleep(0.01)
        found = processes.oldest(re.compile(word), None)
        assert found is not None and found.pid == pid
        end_children(pid)
