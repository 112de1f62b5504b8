"""How the bridge behaves as one of systemd's services."""

import json

from tests.e2e.server import CONFIG, PORT, Server, eventually
from tests.phone import Phone


def show(server: Server, field: str) -> str:
    return server.box.run(["systemctl", "show", "--property", field, "--value", "bellpull"]).stdout.strip()


async def test_it_is_ready_when_homekit_answers(server: Server) -> None:
    # `server` came back from `systemctl start`; whoever connects now is served.
    phone = await server.phone()
    assert await phone.accessories()
    assert show(server, "StatusText")


async def test_the_first_answer_after_a_start_is_the_fact(server: Server, phone: Phone) -> None:
    # A phone that reads No Response once shows it until it reads again, which may be long.
    tile = await phone.tile("Web")
    for _ in range(5):
        server.box.run(["systemctl", "restart", "bellpull"])
        assert (await tile.read()).status == 0


async def test_it_stops_cleanly_while_a_phone_is_connected(server: Server, phone: Phone) -> None:
    server.stop("bellpull")
    assert show(server, "Result") == "success"
    assert show(server, "ExecMainStatus") == "0"
    assert not server.box.processes("bellpull")


async def test_a_bridge_that_hangs_is_replaced_by_the_watchdog(server: Server, phone: Phone) -> None:
    server.box.write("/etc/systemd/system/bellpull.service.d/soon.conf", "[Service]\nWatchdogSec=2\n")
    server.box.run(["systemctl", "daemon-reload"])
    server.box.run(["systemctl", "restart", "bellpull"])
    first = show(server, "MainPID")
    server.box.run(["kill", "-STOP", first])
    await eventually(lambda: show(server, "NRestarts") != "0" and server.box.is_active("bellpull"), within=40)
    assert show(server, "MainPID") != first
    await (await phone.tile("Web")).wait_until(False)


async def test_a_bridge_that_lives_is_left_alone_by_the_watchdog(server: Server, phone: Phone) -> None:
    server.box.write("/etc/systemd/system/bellpull.service.d/soon.conf", "[Service]\nWatchdogSec=1\n")
    server.box.run(["systemctl", "daemon-reload"])
    server.box.run(["systemctl", "restart", "bellpull"])
    first = show(server, "MainPID")
    for _ in range(6):
        assert (await (await phone.tile("Web")).read()).status == 0
        server.box.run(["sleep", "0.5"])
    assert show(server, "MainPID") == first and show(server, "NRestarts") == "0"


async def test_a_configuration_with_no_sense_in_it_ends_the_service_once_with_its_place(
    server: Server,
) -> None:
    server.box.write("/etc/bellpull/config.yaml", "accessories: [\n", 0o644)
    server.box.run(["systemctl", "restart", "bellpull"], check=False)
    await eventually(lambda: show(server, "ActiveState") == "failed")
    assert show(server, "ExecMainStatus") == "2"
    journal = server.box.journal("bellpull")
    assert "/etc/bellpull/config.yaml:" in journal and "Traceback" not in journal


async def test_a_port_that_is_taken_is_said_in_one_line(server: Server) -> None:
    server.stop("bellpull")
    web = "[Service]\nExecStart=/usr/bin/python3 -m http.server {}\n"
    server.unit("squatter", web.format(PORT))
    server.box.run(["systemctl", "start", "squatter"])
    await eventually(lambda: f":{PORT}" in server.box.run(["ss", "--listening", "--tcp", "--numeric"]).stdout)
    server.box.run(["systemctl", "start", "--no-block", "bellpull"])
    await eventually(lambda: str(PORT) in server.box.journal("bellpull").rpartition("Starting")[2])
    assert "Traceback" not in server.box.journal("bellpull")


async def test_its_log_lines_carry_their_priority(server: Server, phone: Phone) -> None:
    server.box.run(["mv", "/usr/bin/sudo", "/usr/bin/sudo.gone"])
    await (await phone.tile("Web")).turn(True)
    server.box.run(["journalctl", "--sync"])
    lines = server.box.run(["journalctl", "--unit", "bellpull", "--output=json"]).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    own = [record for record in records if record.get("_SYSTEMD_UNIT") == "bellpull.service"]
    assert own and all(not str(record["MESSAGE"]).startswith("<") for record in own)
    assert {record["PRIORITY"] for record in own} <= {"3", "4", "5", "6"}


async def test_two_bridges_do_not_share_one_state(server: Server) -> None:
    second = server.box.run(["bellpull", "run"], user="bellpull", check=False)
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) == 1 and "another bridge" in second.stderr


async def test_a_full_disk_does_not_stop_a_toggle(server: Server) -> None:
    server.stop("bellpull")
    box = server.box
    box.run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=300k,mode=750,uid=bellpull,gid=bellpull",
            "tiny",
            "/var/lib/bellpull",
        ]
    )
    server.configure(CONFIG)
    server.start()
    phone = await server.phone()
    box.run(["dd", "if=/dev/zero", "of=/var/lib/bellpull/filler", "bs=4k"], check=False)
    tile = await phone.tile("Web")
    for on in (True, False, True):
        assert (await tile.turn(on)).status == 0
        assert box.is_active("apache2") is on
    assert "journal" in box.journal("bellpull")  # it says what it could not write down
