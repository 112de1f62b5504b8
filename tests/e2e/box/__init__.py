"""A home server in a box: a real systemd as process 1, in namespaces of its own.

    with Box(Image((debian(),))) as box:
        box.run(["systemctl", "start", "smbd"])
        assert box.journal("smbd")

Whatever happens to the tests, nothing of a box remains: the kernel ends its processes with
the tests' process, its mounts and its network go with them, and what is left on disk is
removed by the next box.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.e2e.box.lan import SERVER, Lan
from tests.e2e.box.leftovers import PREFIX, STATES, cgroups, remove_cgroup, sweep

INIT = Path(__file__).with_name("init.sh")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


@dataclass(frozen=True)
class Image:
    """What a box boots from: folders, the topmost first, never written to."""

    layers: tuple[Path, ...]


class Box:
    """One server. `address` is where phones on `lan` find it."""

    address = SERVER

    def __init__(
        self, image: Image, binds: Mapping[Path, str] | None = None, name: str = "homeserver"
    ) -> None:
        """`binds`: files and folders of this machine to show in the box, read-only."""
        sweep()
        self._image = image
        self._binds = [f"{source}:{target}" for source, target in (binds or {}).items()]
        self._name = name
        self._state = Path(tempfile.mkdtemp(prefix=PREFIX, dir=STATES))
        self._state.chmod(0o755)
        for folder in ("upper", "work", "root"):
            (self._state / folder).mkdir()
        self._cgroup = cgroups() / self._state.name
        self._unshare: subprocess.Popen[bytes] | None = None
        self.lan = Lan()

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def upper(self) -> Path:
        """Everything that differs from the image: a layer for another box, once this one is off."""
        return self._state / "upper"

    @property
    def root(self) -> Path:
        """The box's / as seen from here."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def namespace(self) -> str:
        """The box's network namespace, for `nsenter --net=`."""
        return f"/proc/{self.pid}/ns/net"

    def boot(self) -> None:
        """Switch on and wait until systemd says that all is well; raises RuntimeError with its words."""
        (self._cgroup / "box-exec").mkdir(parents=True)
        (self._state / "console").touch()
        layers = ":".join(str(layer) for layer in self._image.layers)
        with (self._state / "console").open("ab") as console:
            # --pdeathsig: when the tests are killed, so is the box.
            self._unshare = subprocess.Popen(
                [
                    *self._in_cgroup(""),
                    *(
                        "setpriv",
                        "--pdeathsig",
                        "KILL",
                        "unshare",
                        "--mount",
                        "--pid",
                        "--fork",
                        "--kill-child",
                    ),
                    *("--uts", "--ipc", "--cgroup", "--net", "--"),
                    *(str(INIT), str(self._state), layers, self._name, *self._binds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.pid = self._first_process()
        self.lan.attach(self.pid)
        self._wait_for_systemd()

    def _first_process(self, within: float = 20) -> int:
        assert self._unshare is not None
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self._unshare.poll() is None:
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.005)
        raise RuntimeError(f"the box did not start: {self._console()}")

    def _wait_for_systemd(self, within: float = 60) -> None:
        deadline = time.monotonic() + within
        name, socket = Path(f"/proc/{self.pid}/comm"), self.root / "run/systemd/private"
        state = said = ""
        while state in ("", "initializing", "starting"):
            if time.monotonic() > deadline or not name.exists():
                raise RuntimeError(f"systemd did not come up: {said}{self._console()}")
            time.sleep(0.02)
            # Before init.sh has become systemd, the socket would be that of this machine's systemd.
            if name.read_text() == "systemd\n" and socket.exists():
                # Not --wait: that asks over D-Bus, which comes up later than systemd answers.
                asked = self.run(["systemctl", "is-system-running"], check=False)
                state, said = asked.stdout.strip(), asked.stderr
        if state != "running":
            failed = self.run(["systemctl", "--failed", "--no-legend", "--plain"], check=False).stdout
            raise RuntimeError(f"the box is {state}: {failed}{self._console()}")

    def _console(self) -> str:
        return (self._state / "console").read_text(errors="replace")[-4000:]

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        network: Literal["box", "machine"] = "box",
        timeout: float = 30,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the box, as root or as `user`, in a session of nobody.

        network   "machine" leaves the program in this machine's network, to reach a package index
        Raises CalledProcessError (output included in its notes) when it fails and `check`,
        TimeoutExpired after `timeout` seconds, when it and its group have been killed.
        """
        start = time.monotonic()
        done = subprocess.run(
            self.command(argv, user=user, env=env, network=network, timeout=timeout),
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout + 15,
        )
        if done.returncode in (124, 137) and time.monotonic() - start >= timeout:
            raise subprocess.TimeoutExpired(list(argv), timeout, done.stdout, done.stderr)
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, list(argv), done.stdout, done.stderr)
            error.add_note(done.stdout[-4000:] + done.stderr[-4000:])
            raise error
        return done

    def command(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        network: Literal["box", "machine"] = "box",
        timeout: float = 0,
    ) -> list[str]:
        """The argv that runs `argv` in the box, for a Popen of your own; `timeout` 0 means none."""
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", *(["--net"] if network == "box" else [])]
        become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        home = {"HOME": f"/home/{user}"} if user else {}
        variables = {**ENVIRONMENT, **home, **(env or {})}
        return [
            *self._in_cgroup("box-exec"),
            *("nsenter", "--target", str(self.pid), *spaces, f"--wd=/proc/{self.pid}/root", "--"),
            *("env", "-i", *(f"{key}={value}" for key, value in variables.items())),
            *(["timeout", "--kill-after=5", str(timeout)] if timeout else []),
            *become,
            *argv,
        ]

    def _in_cgroup(self, name: str) -> list[str]:
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._cgroup / name)]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, with the folders above it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def journal(self, unit: str) -> str:
        """What the unit logged since boot, one message a line."""
        self.run(["journalctl", "--sync"])
        return self.run(["journalctl", "--unit", unit, "--output=cat", "--no-pager", "--quiet"]).stdout

    def is_active(self, unit: str) -> bool:
        return self.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0

    def processes(self, name: str) -> list[int]:
        """Ids, as the box counts them, of the processes with exactly this name."""
        found = self.run(["pgrep", "--exact", name], check=False).stdout
        return [int(pid) for pid in found.split()]

    def power_off(self, within: float = 30) -> None:
        """An orderly shutdown; the disk is kept, `boot` starts it again."""
        self.run(["systemctl", "poweroff", "--no-block"])
        self._wait_for_the_end(within)

    def pull_the_plug(self) -> None:
        """Everything ends at once, in no order; the disk is kept."""
        assert self._unshare is not None
        self._unshare.send_signal(signal.SIGKILL)
        self._wait_for_the_end(10)

    def _wait_for_the_end(self, within: float) -> None:
        assert self._unshare is not None
        self._unshare.wait(within)
        self.lan.detach()
        remove_cgroup(self._cgroup)

    def remove(self) -> None:
        """Pull the plug if it is on, and leave nothing behind."""
        if self._unshare is not None and self._unshare.poll() is None:
            self.pull_the_plug()
        remove_cgroup(self._cgroup)
        self.lan.close()
        shutil.rmtree(self._state)
