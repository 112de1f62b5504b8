"""README's first command: a bridge to try, for an ordinary user on a fresh machine."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.box import Box, Image
from tests.e2e.install import clean_copy, make
from tests.e2e.server import eventually
from tests.phone import Phone

CHECKOUT = "/home/ann/bellpull"
CODE = re.compile(r"\b\d{3}-\d{2}-\d{3}\b")


@pytest.fixture
def box(fresh: Image, tmp_path: Path) -> Iterator[Box]:
    """A fresh machine where ann has cloned the sources and `make` has made the virtual environment."""
    with Box(fresh, binds={clean_copy(tmp_path): "/src/bellpull"}) as box:
        box.run(["mount", "-t", "tmpfs", "-o", "mode=755", "home", "/home"])  # quicker to be rid of
        box.run(["useradd", "--create-home", "ann"])
        box.run(["cp", "-r", "/src/bellpull", CHECKOUT])
        box.run(["chown", "-R", "ann:ann", CHECKOUT])
        make(box, "venv", CHECKOUT, user="ann")
        yield box


def interrupt(box: Box) -> None:
    """Ctrl-C at the terminal of `make run`."""
    box.run(["pkill", "--signal", "INT", "bellpull"], check=False)


def ask_for_a_page(box: Box) -> str:
    script = "exec 3<>/dev/tcp/127.0.0.1/8642 && printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    return box.run(["bash", "-c", script], check=False).stdout


@pytest.fixture
def code(box: Box) -> Iterator[str]:
    """The setup code that `make run` shows; it runs until the test is over."""
    command = box.command(["make", "-C", CHECKOUT, "run"], user="ann")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        yield next(found[0] for line in program.stdout if (found := CODE.findall(line)))
        interrupt(box)
        program.communicate(timeout=20)


async def test_make_run_shows_a_code_that_pairs_and_tiles_that_do_something_real(box: Box, code: str) -> None:
    phone = await box.lan.run(Phone.find("Bellpull Demo"))
    await phone.pair(code)
    web, note = await phone.tile("Web Server"), await phone.tile("Note")
    assert (await web.turn(True)).status == 0
    await eventually(lambda: "200 OK" in ask_for_a_page(box))
    async with phone.watching(note.id) as events:
        box.run(["touch", "/tmp/bellpull-demo-note"], user="ann")
        await events.wait_for(note.id, True)
    scans = await phone.tile("Process Scans")
    assert (await scans.turn(True)).status == 0
    await scans.wait_until(False, within=60)
    photos = box.run(["find", "/tmp/bellpull-demo-scans/photos", "-name", "*-[12].png"]).stdout.splitlines()
    assert len(photos) == 6
    await phone.close()
    interrupt(box)
    await eventually(lambda: not box.processes("bellpull"))
    assert ask_for_a_page(box) == ""  # the web server was the bridge's child and went with it
