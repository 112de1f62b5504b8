"""The file of secret headers: read, or refused without telling what stands in it."""

from pathlib import Path

import pytest

from bridge.config import parse
from bridge.headers import HeadersError, problem, read_headers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "headers"
    file.touch(mode=0o640)
    return file


def test_headers_are_lines(file: Path) -> None:
    file.write_text("# ntfy\n\nAuthorization: Bearer tk_0451\nPriority:high\r\n")
    assert read_headers(str(file)) == {"Authorization": "Bearer tk_0451", "Priority": "high"}
    assert problem(str(file)) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tk_0451", ":1: no header; write it like"),
        ("A: b\n: tk_0451", ":2: no header; write it like"),
        ("Au thorization: tk_0451", ":1: no header"),
        ("Authorization:", ":1: no header"),
        ("Authorization: tk_0451\x00", ":1: a character that no header takes; remove it"),
        ("HOST: tk_0451", ":1: HOST is set for each request; remove the line"),
        ("A: tk_0451\n" * 2000, "longer than 16384 bytes"),
    ],
)
def test_what_is_no_header_is_told_by_its_line_and_not_its_text(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(HeadersError) as error:
        read_headers(str(file))
    assert said in str(error.value) and "tk_0451" not in str(error.value)
    assert said in problem(str(file))


def test_a_file_that_everybody_can_read_is_refused(file: Path) -> None:
    for mode in (0o644, 0o602, 0o601):
        file.chmod(mode)
        assert "everybody can get at it; sudo chown root:bellpull and chmod 640 it" in problem(str(file))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "may be anywhere" in problem("headers")
    assert "is no file" in problem(str(tmp_path))
    assert "No such file" in problem(str(tmp_path / "gone"))


@pytest.mark.parametrize("call", ["stat", "open"])
def test_what_this_user_may_not_read_is_the_bridges_to_judge(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, call, refuse)  # root, who may run the tests, is refused nothing
    assert problem(str(file)) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ntfy.sh/topic", "not a URL of the web"),
        ("ftp://ntfy.sh/secret", "not a URL of the web"),
        ("https:///secret", "not a URL of the web"),
        ("https://ntfy.sh:99999/secret", "not a URL;"),
        ("https://[::1/secret", "not a URL;"),
        ("https://ntfy.sh/a secret", "not a URL;"),
        ("https://ntfy.sh/sécret", "not a URL;"),
        ("https://me:secret@ntfy.sh/x", "a password in the URL; write `headers_file:`"),
    ],
)
def test_a_url_that_cannot_be_is_told_at_its_place_without_it(url: str, said: str) -> None:
    _, (found,) = parse(f"notify: {{url: '{url}'}}\naccessories: {{a: {{kind: command, on: x}}}}", "c")
    assert found.startswith("c:1:15: notify.url: ") and said in found and "secret" not in found


def test_notify_is_read_with_its_file(file: Path) -> None:
    text = f"notify: {{url: https://ntfy.sh/x, headers_file: {file}}}\n"
    text += "accessories: {a: {kind: command, on: x}}"
    config, problems = parse(text, "c")
    assert problems == [] and config is not None and config.notify is not None
    assert (config.notify.url, config.notify.headers_file) == ("https://ntfy.sh/x", str(file))
    file.chmod(0o644)
    config, (found,) = parse(text, "c")
    assert config is not None and config.notify is None  # the tiles work all the same
    assert found.startswith("c:1:48: notify.headers_file: ")
