"""What a person types, and the exit codes scripts rely on; the running bridge is in tests/integration."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge import __version__, cli

GOOD = "accessories:\n  lamp: {kind: command, on: [true]}\n"


def bellpull(folder: Path, *words: str) -> int:
    return cli.main(["--config", str(folder / "config.yaml"), "--state-dir", str(folder), *words])


@contextmanager
def bridge_that_says(folder: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """A socket that answers one request with these bytes and hangs up; what was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            asked.append(connection.recv(65536))
            for answer in answers:
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "control.sock"))
        listener.listen()
        listener.settimeout(30)
        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


def test_a_right_configuration_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    assert bellpull(tmp_path, "check") == 0
    assert capsys.readouterr().out == f"{tmp_path}/config.yaml: 1 accessory, no errors\n"


def test_a_wrong_one_is_told_whole_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("accessories:\n  a: {kind: x}\n  b: {kind: y}\n")
    assert bellpull(tmp_path, "check") == 2
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tmp_path}/config.yaml:2:13: accessories.a.kind: unknown kind")
    assert second.startswith(f"{tmp_path}/config.yaml:3:13: accessories.b.kind: unknown kind")


def test_no_configuration_exits_with_2_and_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bellpull(tmp_path, "check") == 2
    assert capsys.readouterr().err.startswith(f"bellpull: {tmp_path}/config.yaml: there is no such file; ")


def test_init_writes_what_check_likes_and_never_writes_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bellpull(tmp_path, "init") == 0
    assert bellpull(tmp_path, "check") == 0
    before = (tmp_path / "config.yaml").read_text()
    assert bellpull(tmp_path, "init") == 1
    assert "is there already; it is left as it is" in capsys.readouterr().err
    assert (tmp_path / "config.yaml").read_text() == before


def test_init_where_nothing_can_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert bellpull(tmp_path / "file", "init") == 1
    assert "file/config.yaml: cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"outcome": "met", "reason": ""}, 0, ""),
        ({"outcome": "failed", "reason": "it is broken"}, 1, "bellpull: lamp: failed: it is broken\n"),
        ({"outcome": "refused", "reason": "not now"}, 1, "bellpull: lamp: refused: not now\n"),
        ({"outcome": "denied", "reason": "run apply"}, 1, "bellpull: lamp: denied: run apply\n"),
        ({"outcome": "superseded", "reason": "Anna asked"}, 1, "bellpull: lamp: superseded: Anna asked\n"),
        ({"outcome": "dropped", "reason": "it stopped"}, 1, "bellpull: lamp: dropped: it stopped\n"),
        ({"outcome": "unavailable", "reason": "no bus"}, 3, "bellpull: lamp: unavailable: no bus\n"),
        ({"outcome": "late", "reason": ""}, 4, "bellpull: lamp: late\n"),
        ({"outcome": None, "reason": ""}, 4, "bellpull: lamp: still on its way\n"),
    ],
)
def test_every_end_of_a_wish_has_its_exit_code_and_words(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, str],
    code: int,
    said: str,
) -> None:
    with bridge_that_says(tmp_path, json.dumps({"end": answer}).encode() + b"\n") as asked:
        assert bellpull(tmp_path, "set", "lamp", "on", "--wait", "2.5") == code
    assert json.loads(asked[0]) == {"verb": "set", "secret": None, "key": "lamp", "on": True, "wait": 2.5}
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("answers", [[], [b'{"en'], [b'{"id": 1}\n'], [b"\n"[:0]]])
def test_a_bridge_that_hangs_up_is_unavailable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: list[bytes]
) -> None:
    with bridge_that_says(tmp_path, *answers):
        assert bellpull(tmp_path, "list") == 3
    assert capsys.readouterr().err == "bellpull: the bridge hung up; see its log\n"


def test_who_may_not_connect_hears_how_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", denied)
    assert bellpull(tmp_path, "list") == 1
    assert "control.sock: not allowed; join the group bellpull or use sudo" in capsys.readouterr().err


def test_an_old_secret_is_shown_to_the_socket(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "control.secret").write_text("abc")
    with bridge_that_says(tmp_path, b'{"end": []}\n') as asked:
        assert bellpull(tmp_path, "list") == 0
    assert json.loads(asked[0])["secret"] == "abc"


def test_without_a_verb_or_with_a_wrong_one_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["dance"], ["set", "lamp"], ["set", "lamp", "maybe"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 2
        assert "usage: bellpull" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"bellpull {__version__}\n"


def test_a_terminal_that_knows_only_ascii_shows_what_it_can(tmp_path: Path) -> None:
    row = {
        "key": "lamp",
        "name": "Lämpchen",
        "kind": "x",
        "state": "on",
        "wish": None,
        "reason": "",
        "since": 0,
    }
    with bridge_that_says(tmp_path, json.dumps({"end": [row]}).encode() + b"\n"):
        ended = subprocess.run(
            [sys.executable, "-m", "bridge", "--state-dir", str(tmp_path), "list"],
            env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            timeout=60,
        )
    assert ended.returncode == 0 and b"L\\xe4mpchen" in ended.stdout and not ended.stderr
