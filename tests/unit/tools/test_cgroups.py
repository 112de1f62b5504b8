"""Whether what was to be measured is still the same."""

import os
from pathlib import Path

import pytest

from bridge.contract import Vitals
from bridge.tools import cgroups


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "root", lambda: tmp_path)
    return tmp_path


def own_group() -> str:
    return Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]


def test_a_process_is_held_by_its_group_and_the_groups_above() -> None:
    assert cgroups.holds(own_group(), os.getpid())
    assert cgroups.holds("/", os.getpid())
    assert not cgroups.holds("/no/such/group", os.getpid())
    assert not cgroups.holds("/", 2**22 + 1)  # above the kernel's highest process id


def test_what_is_gone_is_not_still_there(tree: Path) -> None:
    group = own_group()
    assert not cgroups.still_there(Vitals((group, "/web.service"), (os.getpid(),)))
    for path in (group, "/web.service"):
        cgroups.folder(path).mkdir(parents=True, exist_ok=True)
    assert cgroups.still_there(Vitals((group, "/web.service"), (os.getpid(),)))
    assert not cgroups.still_there(Vitals(("/web.service",), (os.getpid(),)))
    assert not cgroups.still_there(Vitals((group,), (2**22 + 1,)))


def test_the_groups_lie_where_this_machine_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOTS", (tmp_path / "v2", tmp_path / "unified"))
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.procs").touch()
    cgroups.root.cache_clear()
    assert cgroups.folder("/system.slice/web.service") == tmp_path / "unified/system.slice/web.service"
    cgroups.root.cache_clear()


def test_a_containers_group_is_found_wherever_docker_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "root", lambda: tmp_path)
    places = ("/system.slice/docker-1.scope", "/docker/2", "/own.slice/docker-3.scope", "/own/4")
    for place in places:
        (tmp_path / place[1:]).mkdir(parents=True)
    assert tuple(cgroups.of_container(id) for id in "1234") == places
    assert cgroups.of_container("5") == ""


def test_the_first_process_of_a_group_is_number_one_in_its_namespace_or_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = os.getpid()
    monkeypatch.setattr(cgroups, "processes", lambda group: [99999999, ours])
    assert cgroups.first_process("/docker/1") == ours
    monkeypatch.setattr(cgroups, "processes", lambda group: [])
    assert cgroups.first_process("/docker/1") == 0
