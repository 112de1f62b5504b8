"""The root program where it works: called by the service's user, through sudo, under the real unit."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.box import Box, Image

HELPER = "/opt/bellpull/libexec/bellpull-helper"
POLICY = "/etc/bellpull/policy.json"
ODD = r"odd\x2done@a:b.service"
SLEEPER = "[Service]\nExecStart=/usr/bin/sleep infinity\n"

CONFIG = rf"""
accessories:
  sleeper: {{kind: services, units: [sleeper.service, '{ODD}']}}
  show: {{kind: command, privileged: true, on: [/opt/show, 'a b', $HOME, '${{X}}', '$$', '%n', 'é', '']}}
  leave: {{kind: command, privileged: true, on: [/opt/leave], off: [/opt/fail]}}
  stubborn: {{kind: command, privileged: true, on: [/opt/stubborn], timeout: 1s}}
  slow: {{kind: command, privileged: true, on: [/opt/slow], timeout: 30s}}
"""
PROGRAMS = {
    "/opt/show": """#!/bin/sh
exec >/run/show 2>&1
for word; do echo "[$word]"; done
id -u; pwd; umask; readlink /proc/self/fd/0; sed -n 's/^0:://p' /proc/self/cgroup
grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status
""",
    "/opt/leave": "#!/bin/sh\nsleep 1000 &\necho $! >/run/left\n",
    "/opt/fail": "#!/bin/sh\necho the lamp is broken >&2\nexit 7\n",
    "/opt/stubborn": "#!/bin/sh\ntrap '' TERM\nsleep 1001 &\necho $$ $! >/run/stubborn\nsleep 20\nsleep 20\n",
    "/opt/slow": "#!/bin/sh\necho $$ >>/run/slow.begun\nsleep 2\necho $$ >>/run/slow.done\n",
}


@pytest.fixture(scope="module")
def image(with_bellpull: Image) -> Iterator[Image]:
    """A server whose configuration has a tile of units and tiles of privileged commands, applied."""
    with Box(with_bellpull) as box:
        for name in ("sleeper.service", r"odd\x2done@.service"):
            box.write(f"/etc/systemd/system/{name}", SLEEPER)
        for path, text in PROGRAMS.items():
            box.write(path, text, 0o755)
        config = box.root / "etc/bellpull/config.yaml"
        config.write_text(CONFIG)
        box.run(["bellpull", "apply"])
        box.power_off()
        yield Image((box.upper, *with_bellpull.layers))


@pytest.fixture
def server(image: Image) -> Iterator[Box]:
    with Box(image) as box:
        yield box


@pytest.fixture
def running(server: Box) -> Box:
    """The same, with the bridge running."""
    server.run(["systemctl", "start", "bellpull"])
    return server


def ask(box: Box, *words: str, by: tuple[str, ...] = ()) -> dict[str, Any]:
    """The helper's answer to the service's user; `by` is put before sudo."""
    done = box.run([*by, "sudo", "-n", HELPER, *words], user="bellpull", check=False, timeout=60)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) is answer["ok"]
    return answer


def turn(box: Box, key: str, state: str = "on") -> subprocess.CompletedProcess[str]:
    return box.run(["bellpull", "set", key, state], check=False)


def eventually(what: Callable[[], object], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def exists(box: Box, path: str) -> bool:
    return (box.root / path.lstrip("/")).exists()


@pytest.mark.parametrize("unit", ["sleeper.service", ODD])
def test_a_unit_is_started_restarted_and_stopped(server: Box, unit: str) -> None:
    assert ask(server, "unit-start", unit) == {"ok": True}
    eventually(lambda: server.is_active(unit))
    pid = server.run(["systemctl", "show", "--property=MainPID", unit]).stdout
    assert ask(server, "unit-restart", unit) == {"ok": True}
    eventually(lambda: server.run(["systemctl", "show", "--property=MainPID", unit]).stdout != pid)
    assert ask(server, "unit-stop", unit) == {"ok": True}
    eventually(lambda: not server.is_active(unit))


def test_a_restart_never_starts_what_is_stopped(server: Box) -> None:
    assert ask(server, "unit-restart", "sleeper.service") == {"ok": True}
    assert not server.is_active("sleeper.service")


def test_units_need_no_bus(server: Box) -> None:
    server.run(["systemctl", "stop", "dbus.socket", "dbus.service"])
    assert ask(server, "unit-start", "sleeper.service") == {"ok": True}


def test_a_unit_that_is_gone_fails_with_systemds_words(server: Box) -> None:
    server.run(["rm", "/etc/systemd/system/sleeper.service"])
    server.run(["systemctl", "daemon-reload"])
    answer = ask(server, "unit-start", "sleeper.service")
    assert answer["error"] == "failed" and "sleeper.service not found" in answer["reason"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["unit-start"],
        ["unit-start", "dbus.service"],
        ["unit-start", "sleeper.service", "dbus.service"],
        ["unit-start", "*.service"],
        ["unit-start", "oddx2done@a:b.service"],
        ["unit-kill", "sleeper.service"],
        ["command-off", "show"],
    ],
    ids=" ".join,
)
def test_words_that_were_not_granted_are_refused_by_sudo_and_by_the_helper(
    server: Box, words: list[str]
) -> None:
    done = server.run(["sudo", "-n", HELPER, *words], user="bellpull", check=False)
    assert done.returncode and "password is required" in done.stderr and not done.stdout
    answer = json.loads(server.run([HELPER, *words], check=False).stdout)
    assert answer["error"] in ("usage", "denied")


def test_the_helper_is_nothing_without_sudo(server: Box) -> None:
    done = server.run([HELPER, "unit-start", "sleeper.service"], user="bellpull", check=False)
    assert json.loads(done.stdout)["error"] == "usage"


MODULE = "/opt/bellpull/venv/lib/python3.11/site-packages/bridge/helper/trust.py"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (["chmod", "o+w", POLICY], POLICY),
        (["chmod", "g+w", POLICY], POLICY),
        (["chown", "bellpull", POLICY], POLICY),
        (["chown", "bellpull", "/etc/bellpull"], "/etc/bellpull"),
        (["chmod", "g+w", "/opt/bellpull/libexec"], "/opt/bellpull/libexec"),
        (["chmod", "o+w", "/opt"], "/opt"),
        (["chmod", "g+w", MODULE], MODULE),
        (["chown", "bellpull", "/opt/bellpull/venv/bin"], "/opt/bellpull/venv/bin"),
        (["chown", "-h", "bellpull", "/opt/bellpull/venv/bin/python3"], "/opt/bellpull/venv/bin/python3"),
        (["chmod", "o+w", "/usr/bin/systemctl"], "/usr/bin/systemctl"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_helper_does_nothing_when_others_could_change_what_it_trusts(
    server: Box, change: list[str], path: str
) -> None:
    server.run(change)
    answer = ask(server, "unit-start", "sleeper.service")
    assert answer["error"] == "unsafe" and answer["reason"].startswith(f"{path}: ")
    assert not server.is_active("sleeper.service")


def test_a_policy_behind_a_link_is_not_followed(server: Box) -> None:
    server.run(["mv", POLICY, "/root/policy.json"])
    server.run(["ln", "-s", "/root/policy.json", POLICY])
    assert ask(server, "unit-start", "sleeper.service")["error"] == "unsafe"


def test_without_a_policy_a_person_is_told_what_to_do_and_then_it_works(running: Box) -> None:
    running.run(["rm", POLICY])
    failed = turn(running, "sleeper")
    assert failed.returncode == 1 and "sudo bellpull apply" in failed.stderr
    running.run(["bellpull", "apply"])
    assert turn(running, "sleeper").returncode == 0


def test_if_sudo_passes_over_the_lines_apply_says_so(server: Box) -> None:
    assert server.run(["bellpull", "apply"]).stderr == ""
    server.write("/etc/sudoers", "root ALL=(ALL) ALL\n", 0o440)
    assert "sudo does not obey" in server.run(["bellpull", "apply"]).stderr


def test_without_sudo_a_person_is_told_what_is_missing(running: Box) -> None:
    running.run(["mv", "/usr/bin/sudo", "/usr/bin/no-sudo"])
    failed = turn(running, "sleeper")
    assert failed.returncode == 1 and "sudo is not installed" in failed.stderr


def test_what_the_caller_left_in_the_process_does_not_matter(server: Box) -> None:
    spoiled = ("nice", "-n", "10", "prlimit", "--fsize=0", "--nofile=64", "--cpu=60", "--")
    assert ask(server, "unit-start", "sleeper.service", by=spoiled) == {"ok": True}
    assert ask(server, "command-on", "show", by=spoiled) == {"ok": True}


def test_nobody_brings_variables_where_sudo_would_let_everybody(server: Box) -> None:
    server.write("/etc/sudoers.d/all", "Defaults setenv\n", 0o440)
    words = ["sudo", "-n", "LD_PRELOAD=/tmp/evil.so", HELPER, "unit-start", "sleeper.service"]
    done = server.run(words, user="bellpull", check=False)
    assert done.returncode and not done.stdout
    assert ask(server, "unit-start", "sleeper.service") == {"ok": True}


def test_privileged_commands_need_no_polkit(running: Box) -> None:
    running.run(["systemctl", "mask", "--now", "polkit"])
    assert turn(running, "show").returncode == 0
    assert exists(running, "/run/show")


def test_a_command_runs_as_systemd_starts_it_with_its_words_as_they_were_written(running: Box) -> None:
    assert turn(running, "show").returncode == 0
    seen = running.read("/run/show").splitlines()
    assert seen[:7] == ["[a b]", "[$HOME]", "[${X}]", "[$$]", "[%n]", "[é]", "[]"]
    assert seen[7:11] == ["0", "/", "0022", "/dev/null"]
    assert seen[11].startswith("/system.slice/bellpull-show-on-")
    masks = [int(line.split()[1], 16) for line in seen[12:]]
    assert masks and not any(mask & 0x7FFFFFFF for mask in masks)  # GNU make leaves 32, glibc's own, ignored


def test_a_command_that_ended_in_time_keeps_what_it_left_in_the_background(server: Box) -> None:
    for _ in range(2):
        assert ask(server, "command-on", "leave") == {"ok": True}
        assert exists(server, f"/proc/{server.read('/run/left').strip()}")


def test_the_exit_code_is_the_verdict_and_the_journal_has_the_words(server: Box) -> None:
    answer = ask(server, "command-off", "leave")
    assert (answer["error"], answer["reason"]) == ("failed", "it ended with exit code 7")
    server.run(["journalctl", "--sync"])
    log = server.run(["journalctl", "--identifier=bellpull-leave", "--output=cat"]).stdout
    assert log == "the lamp is broken\n"


def test_a_command_past_its_time_is_really_ended_with_its_group(server: Box) -> None:
    answer = ask(server, "command-on", "stubborn")
    assert answer["error"] == "timeout" and "longer than 1 s" in answer["reason"]
    for pid in server.read("/run/stubborn").split():
        eventually(lambda pid=pid: not exists(server, f"/proc/{pid}"))  # type: ignore[misc]


def begin_slow(box: Box) -> None:
    done = box.run(["bellpull", "set", "slow", "on", "--wait", "0.2"], check=False)
    assert done.returncode == 4, done.stderr
    eventually(lambda: exists(box, "/run/slow.begun"))
    assert not exists(box, "/run/slow.done")


@pytest.mark.parametrize(
    "end",
    [
        ["systemctl", "stop", "bellpull"],
        ["systemctl", "restart", "bellpull"],
        ["systemctl", "kill", "--signal=KILL", "bellpull"],
    ],
    ids=lambda words: " ".join(words[1:3]),
)
def test_a_command_survives_the_end_of_the_bridge(running: Box, end: list[str]) -> None:
    begin_slow(running)
    running.run(end)
    eventually(lambda: exists(running, "/run/slow.done"))


def test_a_command_ends_the_one_before_of_the_same_tile(running: Box) -> None:
    begin_slow(running)
    assert ask(running, "command-on", "slow") == {"ok": True}
    older, newer = running.read("/run/slow.begun").split()
    assert older != newer and not exists(running, f"/proc/{older}")
    assert running.read("/run/slow.done") == f"{newer}\n"


def test_when_nobody_waits_any_longer_the_helper_says_so_and_the_command_goes_on(server: Box) -> None:
    command = server.command(["sudo", "-n", HELPER, "command-on", "slow"], user="bellpull")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sudo:
        eventually(lambda: exists(server, "/run/slow.begun"))
        server.run(["pkill", "--exact", "sudo"], user="bellpull")
        assert json.loads(sudo.communicate(timeout=20)[0])["error"] == "interrupted"
    assert not exists(server, "/run/slow.done")
    eventually(lambda: exists(server, "/run/slow.done"))


def test_the_service_sees_the_machine_and_can_write_next_to_nothing(running: Box) -> None:
    pid = running.run(["systemctl", "show", "--property=MainPID", "--value", "bellpull"]).stdout.strip()
    inside = ["nsenter", "--target", pid, "--mount", "--"]
    for folder in ("/etc", "/usr", "/opt", "/home", "/root", "/srv", "/var/lib", "/sys/fs/cgroup"):
        done = running.run([*inside, "mkdir", f"{folder}/new"], check=False)
        assert "Read-only file system" in done.stderr, folder
    running.run([*inside, "touch", "/tmp/new", "/var/lib/bellpull/new"])
    assert exists(running, "/tmp/new")


OURS = (
    *("ProtectSystem", "ProtectHome", "ReadWritePaths", "ProtectControlGroups", "DevicePolicy", "PrivateIPC"),
    *("KeyringMode", "RemoveIPC", "TasksMax", "CapabilityBoundingSet", "UMask"),
)

# docs/security.md names them: they imply NoNewPrivileges=, and sudo needs those.
CANNOT_BE_HAD = [
    *("DynamicUser=yes", "LockPersonality=yes", "MemoryDenyWriteExecute=yes", "NoNewPrivileges=yes"),
    *("PrivateDevices=yes", "PrivateUsers=yes", "ProtectClock=yes", "ProtectHostname=yes"),
    *("ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectKernelTunables=yes"),
    *("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictNamespaces=yes", "RestrictRealtime=yes"),
    *("RestrictSUIDSGID=yes", "SystemCallArchitectures=native", "SystemCallFilter=@system-service"),
]


def test_what_keeps_sudo_from_working_is_missing_from_the_unit_for_a_reason(server: Box) -> None:
    toggle = ["/usr/bin/sudo", "-n", HELPER, "unit-start", "sleeper.service"]
    unit = server.read("/usr/local/lib/systemd/system/bellpull.service")
    ours = [line for line in unit.split("[Service]")[1].splitlines() if line.startswith(OURS)]

    def works(*settings: str) -> bool:
        words = [f"--property={setting}" for setting in (*ours, *settings)]
        run = ["systemd-run", "--wait", "--quiet", "--collect", "--uid=bellpull", *words, *toggle]
        return server.run(run, check=False).returncode == 0

    assert works()
    assert [setting for setting in CANNOT_BE_HAD if works(setting)] == []
