"""Docker's engine on a box, with an image that needs no registry: one busybox."""

from collections.abc import Sequence
from pathlib import Path

from tests.e2e.box import Box

IMAGE = """\
set -e
tree=$(mktemp -d); cd $tree
mkdir -p bin etc tmp proc sys dev; cp /bin/busybox bin/
for name in sh sleep test kill true; do ln -s busybox bin/$name; done
tar -c . | docker import - tiny
"""
NEWER = """\
set -e
mkdir -p /opt/lists/partial /opt/engine; cd /opt
sed -n '/ bookworm main/s/bookworm/forky/p' /etc/apt/sources.list > next.list
next() {
    apt-get -qq -o Dir::Etc::SourceList=/opt/next.list -o Dir::Etc::SourceParts=- \\
        -o Dir::State::Lists=/opt/lists -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= \\
        -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false "$@"  # a mirror may be behind
}
next update
next download docker.io docker-cli docker-compose containerd
for package in *.deb; do dpkg-deb --extract $package engine; done
rm -r *.deb lists engine/etc engine/usr/share
"""
PATIENT = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"  # ends when it is asked to


def start_engine(box: Box) -> None:
    """The engine, and the image `tiny`. A box lies on an overlay, so Docker's own has to be another."""
    box.write("/etc/docker/daemon.json", '{"storage-driver": "vfs"}')
    box.run(["systemctl", "start", "docker"], timeout=60)
    box.run(["sh", "-c", IMAGE])


def newer_engine(box: Box) -> Path:
    """A layer with the engine (28 at least) and the compose of the Debian after next, unpacked in a box.

    Newer packages of its runtime would need a newer libc; the box's own runs containers as well.
    """
    box.write("/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    box.run(["sh", "-c", NEWER], network="machine", timeout=240)
    return box.upper / "opt/engine"


def make(box: Box, name: str, *options: str, script: str = PATIENT, start: bool = True) -> None:
    """A container that runs a script; `options` are those of `docker create`."""
    docker(box, "create", "--name", name, *options, "tiny", "/bin/sh", "-c", script)
    if start:
        docker(box, "start", name)


def service(box: Box, project: str, name: str, after: str = "") -> None:
    """A container as `docker compose` makes them, not started."""
    labels = {"project": project, "service": name, "depends_on": after, "oneoff": "False"}
    words = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    make(box, f"{project}-{name}", *words, start=False)


def docker(box: Box, *words: str) -> str:
    return box.run(["docker", *words], timeout=60).stdout.strip()


def told(box: Box, name: str, what: str = ".State.Status") -> str:
    """What Docker says of a container."""
    return docker(box, "inspect", "--format", f"{{{{{what}}}}}", name)


def kill_program(box: Box, name: str) -> None:
    """As the kernel does it when memory is out."""
    box.run(["kill", "-KILL", told(box, name, ".State.Pid")])


def helpers(box: Box) -> Sequence[int]:
    """The helpers that listen to the engine."""
    found = box.run(["pgrep", "--full", "python3 .*bellpull-helper [c]ontainer-watch"], check=False).stdout
    return [int(pid) for pid in found.split()]
