"""`make install` and `make uninstall`, as a person runs them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.install import clean_copy, install

HELPER = "/opt/bellpull/libexec/bellpull-helper"
SOURCE = "/src/bellpull"
SCANS = "accessories:\n  scans: {kind: process_scans, inbox: /srv/in, output: /srv/out}\n"
SCANS_OWN = [
    "/etc/bellpull/scans.json",
    "/etc/systemd/system/bellpull-scans.service.d",
    "/usr/local/lib/systemd/system/bellpull-scans.service",
]


def owner_and_mode(box: Box, path: str) -> str:
    return box.run(["stat", "--format=%U:%G %a", path]).stdout.strip()


def in_others_hands(box: Box) -> str:
    """What of the installation somebody but root owns or can write, a path a line."""
    others = ["(", "!", "-uid", "0", "-o", "!", "-type", "l", "-perm", "/022", ")"]
    return box.run(["find", "/opt/bellpull", *others]).stdout


def present(box: Box, *paths: str) -> list[str]:
    return [path for path in paths if box.run(["test", "-e", path], check=False).returncode == 0]


def test_what_root_runs_is_roots_alone_and_the_configuration_is_no_secret_to_the_bridge(
    installed: Box,
) -> None:
    assert not in_others_hands(installed)
    assert owner_and_mode(installed, HELPER) == "root:root 755"
    assert owner_and_mode(installed, "/etc/bellpull") == "root:root 755"
    assert owner_and_mode(installed, "/etc/bellpull/config.yaml") == "root:bellpull 640"
    assert owner_and_mode(installed, "/etc/bellpull/policy.json") == "root:bellpull 640"
    assert owner_and_mode(installed, "/etc/sudoers.d/bellpull") == "root:root 440"


def test_the_command_is_on_everybodys_path_and_the_services_user_can_run_it(installed: Box) -> None:
    assert installed.run(["bellpull", "--version"], user="bellpull").stdout.startswith("bellpull ")


def test_the_first_configuration_suits_the_machine_and_root_allows_what_it_asks_for(installed: Box) -> None:
    installed.run(["bellpull", "check"], user="bellpull")
    assert "smbd.service" in installed.read("/etc/sudoers.d/bellpull")
    assert installed.run(["bellpull", "apply"]).stdout == "nothing to change\n"
    installed.run(["visudo", "--check"])


@pytest.fixture
def at_the_checkout(with_bellpull: Image, tmp_path: Path) -> Iterator[Box]:
    """A box with Bellpull on it, and the checkout that it came from."""
    with Box(with_bellpull, binds={clean_copy(tmp_path): SOURCE}) as box:
        yield box


def test_a_second_installation_changes_nothing_but_the_code(at_the_checkout: Box, tmp_path: Path) -> None:
    box = at_the_checkout
    files = ["/etc/bellpull/config.yaml", "/etc/bellpull/policy.json", "/etc/sudoers.d/bellpull"]
    before = [box.read(path) for path in files], box.run(["stat", "--format=%i", *files]).stdout
    (tmp_path / "bridge" / "novelty.py").write_text('"""Something new."""\n')
    said = install(box, SOURCE)
    assert "nothing to change" in said
    box.run(["/opt/bellpull/venv/bin/python3", "-I", "-c", "import bridge.novelty"], user="bellpull")
    assert ([box.read(path) for path in files], box.run(["stat", "--format=%i", *files]).stdout) == before
    box.run(["bellpull", "--version"], user="bellpull")


def test_a_second_installation_repairs_what_others_could_write(at_the_checkout: Box) -> None:
    box = at_the_checkout
    box.run(["chmod", "-R", "go+w", "/opt/bellpull"])
    box.run(["chown", "-R", "bellpull:", "/opt/bellpull/venv"])
    install(box, SOURCE)
    assert not in_others_hands(box)


def test_a_checkout_of_somebodys_in_a_locked_home_is_installed_as_roots(fresh: Image, tmp_path: Path) -> None:
    with Box(fresh, binds={clean_copy(tmp_path): SOURCE}) as box:
        box.run(["useradd", "--create-home", "owner"])
        box.run(["cp", "-R", SOURCE, "/home/owner/bellpull"])
        box.run(["chown", "-R", "owner:", "/home/owner"])
        box.run(["chmod", "-R", "g+w,o=", "/home/owner"])
        install(box, "/home/owner/bellpull")
        box.run(["bellpull", "--version"], user="bellpull")
        assert not in_others_hands(box)


def test_uninstalling_leaves_configuration_and_state_unless_purged(at_the_checkout: Box) -> None:
    box = at_the_checkout
    box.write("/var/lib/bellpull/kept", "kept")
    box.write("/etc/bellpull/config.yaml", SCANS, 0o640)
    box.run(["install", "-d", "/srv/in", "/srv/out"])
    box.run(["bellpull", "apply"])
    assert present(box, *SCANS_OWN) == SCANS_OWN
    said = box.run(["make", "-C", SOURCE, "uninstall"]).stdout
    assert not present(box, *SCANS_OWN)
    assert not present(box, "/etc/sudoers.d/bellpull", "/opt/bellpull", "/usr/local/bin/bellpull")
    assert box.read("/var/lib/bellpull/kept") == "kept"
    assert box.read("/etc/bellpull/config.yaml")
    assert "PURGE=1" in said
    box.run(["make", "-C", SOURCE, "uninstall", "PURGE=1"])
    assert not present(box, "/etc/bellpull", "/var/lib/bellpull", "/usr/local/lib/sysusers.d/bellpull.conf")
    for user in ("bellpull", "bellpull-scans"):
        assert box.run(["getent", "passwd", user], check=False).returncode == 2
        assert box.run(["getent", "group", user], check=False).returncode == 2


def test_somebody_elses_command_of_the_same_name_is_not_overwritten(fresh: Image, tmp_path: Path) -> None:
    with Box(fresh, binds={clean_copy(tmp_path): SOURCE}) as box:
        box.write("/usr/local/bin/bellpull", "mine", 0o755)
        done = box.run(["make", "-C", SOURCE, "install"], check=False)
        assert done.returncode and "somebody else's" in done.stderr
        assert box.read("/usr/local/bin/bellpull") == "mine"
