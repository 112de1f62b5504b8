"""What may be in an inbox, and what becomes of it: nothing is overwritten, followed, deleted or half."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.inbox import Folder, picture, the_same_end

NAMES = (
    "-rf.png",
    "two  spaces .png",
    "new\nline.png",
    "\x1b[31mred.png",
    "$(touch x);'\".png",
    "Gro\u00df \u6f22\u5b57 \U0001f4f7.PNG",
    os.fsdecode(b"not utf-8 \xff\xfe.png"),
    "n" * 250 + ".png",
    "a.b.c.png",
    "100%.png",
)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "inbox-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def test_any_name_works(folder: Folder) -> None:
    for n, name in enumerate(NAMES):
        folder.put(name, picture(n))
    done = folder.run()
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == len(NAMES) + 1
    the_same_end(folder)


def test_scans_of_one_name_do_not_overwrite_each_others_photos(folder: Folder) -> None:
    folder.put("scan.png", picture(1))
    assert folder.run().returncode == 0
    mine = folder.output / "scan-1.png"
    before = mine.read_bytes()
    folder.put("scan.png", picture(2))
    folder.put("scan.PNG", picture(3))
    assert folder.run().returncode == 0
    assert mine.read_bytes() == before
    the_same_end(folder)
    assert {"scan-1.png", "scan (2)-1.png", "scan (3)-2.png"} <= set(folder.photos())
    assert len(folder.files(folder.inbox / "done")) == 3


def test_what_is_no_file_of_its_own_is_left_where_it_is(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(1))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.png").write_bytes(picture(2))
    (folder.inbox / "link.png").symlink_to(tmp_path / "secret.png")
    (folder.inbox / "album").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder.inbox / "pipe.png")
    for name in (".hidden.png", "._a.png", "Thumbs.db", "@eaDir/a.png", "letter.pdf", "x.png.part"):
        (folder.inbox / name).parent.mkdir(exist_ok=True)
        (folder.inbox / name).write_bytes(picture(3))
    before = sorted(folder.inbox.rglob("*"))
    done = folder.run()
    assert (done.returncode, done.stdout) == (0, "")
    assert [path for path in before if not os.path.lexists(path)] == []
    assert folder.photos() == []


def test_a_link_in_place_of_the_output_s_album_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder.output / "album").symlink_to(tmp_path / "elsewhere")
    folder.put("album/a.png", picture(1))
    done = folder.run()
    assert done.returncode == 1 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (folder.inbox / "album" / "a.png").is_file()


def test_what_is_known_goes_aside_and_what_fails_too_with_the_reason_beside_it(folder: Folder) -> None:
    folder.put("a.png", picture(1))
    assert folder.run().returncode == 0
    folder.put("again.png", picture(1))
    (folder.inbox / "broken.png").write_bytes(picture(2)[:3000])
    (folder.inbox / "text.jpg").write_text("Dear Mother")
    done = folder.run()
    assert done.returncode == 0
    assert "0 photos of 0 scans, 2 failed, 1 known already" in done.stdout
    assert folder.files(folder.inbox) == [
        "done/a.png",
        "duplicates/again.png",
        "failed/broken.png",
        "failed/broken.png.txt",
        "failed/text.jpg",
        "failed/text.jpg.txt",
    ]
    assert "no PNG, TIFF, JPEG or WebP" in (folder.inbox / "failed/text.jpg.txt").read_text()
    (folder.inbox / "failed/text.jpg").rename(folder.inbox / "text.jpg")
    assert "1 failed" in folder.run().stdout  # tried again, and named anew
    assert "failed/text (2).jpg" in folder.files(folder.inbox) or "failed/text.jpg" in folder.files(
        folder.inbox
    )


def test_a_file_that_still_grows_is_not_touched(folder: Folder) -> None:
    whole = picture(1)
    path = folder.inbox / "slow.png"
    path.write_bytes(b"")
    process = folder.start("--quiet=1.5")
    for start in range(0, len(whole), len(whole) // 5 + 1):
        with path.open("ab") as file:
            file.write(whole[start : start + len(whole) // 5 + 1])
        time.sleep(0.7)
    folder.given = {}
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "slow.png: 2 photos" in out


def test_natural_order_decides_who_is_first(folder: Folder) -> None:
    for name in ("scan10.png", "scan2.png", "Scan1.png"):
        folder.put(name, picture(len(name) * 7 + ord(name[4])))
    told = folder.run("--jobs=1").stdout.splitlines()
    assert [line.split(":")[0] for line in told[:3]] == ["Scan1.png", "scan2.png", "scan10.png"]


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg"])
def test_dates_and_albums_are_in_the_photos(folder: Folder, format: str) -> None:
    said = {
        "Summer 1987/b.png": ("1987:07:01 00:00:00", "1987:07", "Summer 1987"),
        "Italy/1952.png": ("1952:01:01 00:00:00", "1952", "Italy"),
        "14. Juni 1987.png": ("1987:06:14 00:00:00", "1987:06:14", None),
        "Italy/IMG_1987.png": (None, None, "Italy"),
    }
    for n, name in enumerate(said):
        folder.put(name, picture(n))
    assert folder.run(f"--format={format}").returncode == 0
    photos = [str(path) for path in folder.output.rglob("*-[12].*")]
    told = subprocess.run(["exiftool", "-json", "-G", *photos], capture_output=True, check=True).stdout
    found = {
        str(Path(fields["SourceFile"]).relative_to(folder.output).with_suffix("")): (
            fields.get("EXIF:DateTimeOriginal"),
            None if (known := fields.get("XMP:DateTimeOriginal")) is None else str(known),
            fields.get("XMP:Album"),
        )
        for fields in json.loads(told)
    }
    assert found == {
        f"{name.removesuffix('.png')}-{n}": fields for name, fields in said.items() for n in (1, 2)
    }


def test_a_scan_is_cut_again_along_corrected_corners_and_the_old_photos_are_kept(folder: Folder) -> None:
    folder.put("album/a.png", picture(1))
    assert folder.run().returncode == 0
    sidecar = folder.output / "album/a.json"
    written = json.loads(sidecar.read_text())
    written["photos"] = [{"page": 1, "quad": [[50, 40], [150, 40], [150, 120], [50, 120]]}]
    sidecar.write_text(json.dumps(written))
    command = folder.command()
    command[3:] = ["redo", "album/a.png", *command[4:6]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "album/a.png: 1 photo" in done.stdout
    assert folder.photos() == ["album/a-1.png"]
    (before,) = (folder.output / ".bellpull/before").iterdir()
    assert sorted(path.name for path in (before / "album").iterdir()) == ["a-1.png", "a-2.png", "a.json"]
    sidecar.write_text("{}")
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "not a sidecar" in wrong.stderr


def test_folders_that_cannot_be_worked_in_are_named_on_one_line(folder: Folder, tmp_path: Path) -> None:
    folder.put("a.png", picture(1))
    file = folder.inbox / "a.png"
    for where, said in {
        f"--inbox={tmp_path}/none": f"{tmp_path}/none: No such file or directory; make it first",
        f"--inbox={file}": f"{file}: Not a directory",
        f"--done={tmp_path}/none/done": f"{tmp_path}/none/done: No such file or directory; make it first",
        f"--done={folder.top}": "inbox lies in done",
        f"--output={folder.inbox}/photos": "output lies in inbox",
    }.items():
        done = folder.run(where)
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1 and said in done.stderr
    assert folder.files(folder.inbox) == ["a.png"]


@pytest.mark.root
def test_a_read_only_inbox_or_output_is_named_before_anything_is_done(folder: Folder) -> None:
    folder.put("a.png", picture(1))
    for where in (folder.inbox, folder.output):
        with mounted(where, "1m"):
            remount(where, "ro")
            done = folder.run()
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert str(where) in done.stderr and "Read-only" in done.stderr
    assert folder.run().returncode == 0
    the_same_end(folder)


def test_two_workers_of_one_output_do_not_meet(folder: Folder) -> None:
    process = folder.start("--auto")
    try:
        while not (folder.output / ".bellpull/lock").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        second = folder.run()
        assert second.returncode == 1 and "somebody else" in second.stderr
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_an_inbox_that_is_polled_needs_no_word_from_the_kernel(folder: Folder) -> None:
    process = folder.start("--auto", "--poll=0.3")
    try:
        for n in range(2):
            folder.put(f"Album {n}/{n}.png", picture(n))
            wait_for(lambda: len(folder.photos()) == 2 * len(folder.given))
        held = [str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir() if fd.is_symlink()]
        assert held and not [name for name in held if "inotify" in name]
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def test_follow_draws_a_bar_on_a_terminal_and_ends_with_the_batch(folder: Folder) -> None:
    for n in range(12):
        folder.put(f"{n}.png", picture(n))
    process = folder.start("--jobs=1")
    wait_for(lambda: len(folder.photos()) > 0)
    command = [*folder.command()[:3], "status", "--follow", f"--output={folder.output}"]
    ours, terminal = pty.openpty()
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=terminal) as follower:
        os.close(terminal)
        shown = everything(ours)
    assert follower.returncode == 0, shown
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    assert "\r[#" in shown and " of 12 scans" in shown and " left" in shown
    assert shown.rstrip().splitlines()[-1].startswith("24 photos of 12 scans")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 3 and "not at work" in ended.stdout


def everything(terminal: int) -> str:
    """What is shown on a terminal until its program ends."""
    shown = b""
    with suppress(OSError):  # EIO, when nobody has it open any more
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    return shown.decode(errors="replace")


def wait_for(true: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.root
def test_a_full_disk_stops_the_batch_and_room_lets_it_go_on(folder: Folder) -> None:
    for n in range(8):
        folder.put(f"{n}.png", picture(n))
    with mounted(folder.output, "400k"):
        full = folder.run("--jobs=1")
        assert full.returncode == 1 and len(full.stderr.splitlines()) == 1, full.stderr
        assert "full" in full.stderr or "No space left" in full.stderr
        assert set(folder.originals()) == set(folder.given)
        assert not (folder.inbox / "failed").exists() or folder.files(folder.inbox / "failed") == []
        assert all(map(folder.whole, folder.photos()))
        remount(folder.output, "size=60m")
        assert folder.run().returncode == 0
        the_same_end(folder)


@pytest.mark.root
def test_an_output_that_turns_read_only_loses_nothing(folder: Folder) -> None:
    for n in range(20):
        folder.put(f"{n}.png", picture(n))
    with mounted(folder.output, "60m"):
        process = folder.start("--jobs=2")
        while len(folder.photos()) < 6:
            time.sleep(0.02)
        subprocess.run(["mount", "-o", "remount,ro", folder.output], check=False)
        _, err = process.communicate(timeout=60)
        if process.returncode:
            assert len(err.splitlines()) == 1 and "Traceback" not in err, err
        assert set(folder.originals()) == set(folder.given)
        remount(folder.output, "rw")
        assert folder.run().returncode == 0
        the_same_end(folder)


@pytest.mark.root
def test_originals_may_go_to_another_file_system_and_survive_a_full_one(folder: Folder) -> None:
    archive = folder.top / "archive"
    archive.mkdir()
    for n in range(4):
        folder.put(f"{n}.png", picture(n))
    size = sum(len(picture(n)) for n in range(4))
    with mounted(archive, f"{size // 2048}k"):
        full = folder.run(f"--done={archive}")
        assert full.returncode == 1 and "No space left" in full.stderr, full.stderr
        assert all(
            name in folder.files(folder.inbox) or (archive / name).exists()
            for name in map("{}.png".format, range(4))
        )
        remount(archive, "size=60m")
        assert folder.run(f"--done={archive}").returncode == 0
        assert folder.files(folder.inbox) == []
        assert sorted(path.name for path in archive.iterdir()) == [f"{n}.png" for n in range(4)]
        assert len(folder.photos()) == 8
