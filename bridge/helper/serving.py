"""The router: the program around `routing`, a service that stays.

systemd starts it before Docker. It is asked by the helper (`router`), told by the kernel of every
change of links, addresses, rules and routes, and by Docker of containers and networks; nothing
is polled.
"""

import os
import socket
import threading
import time
from collections.abc import Callable

from . import docker, process, trust
from .answer import Refusal, answer
from .router import ADDRESS
from .routing import Router

GROUPS = (1, 5, 7, 8, 9, 11, 19)  # linux/rtnetlink.h: links; addresses, routes and rules of both families
NAMES = 0x188  # linux/inotify.h: IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE
AGAIN = 0.2  # seconds until what may be over in a moment is looked at again
PAUSE = 0.2  # seconds between two attempts to reach an engine that has begun


def main() -> int:
    """For ever; the folders for state and answers are systemd's to make."""
    notify = os.environ.get("NOTIFY_SOCKET", "")
    process.reset()
    process.hear_signals()
    trust.inspect_loaded()
    router, news = Router(), threading.Event()
    router.begin()
    works: list[Callable[[], None]] = [
        lambda: watch_kernel(router),
        lambda: watch_docker(router, news),
        lambda: survey(router, news),
    ]
    for work in works:
        threading.Thread(target=or_end, args=(work,), daemon=True).start()
    listen(router, news, lambda: ready(notify))
    return 0


def watch_kernel(router: Router) -> None:
    """After every change, what is wanted is enforced. What comes meanwhile is one change."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as heard:
        heard.bind((0, sum(1 << (group - 1) for group in GROUPS)))
        while True:
            wait(heard)
            if router.on:
                survive(router.enforce)


def watch_docker(router: Router, news: threading.Event) -> None:
    """While there is no engine, walls stand where routed containers were."""
    while True:
        try:
            for event in docker.events(f"{time.time():.9f}"):
                survive(lambda event=event: router.heard(event))  # type: ignore[misc]
                news.set()
        except (OSError, Refusal):
            pass
        survive(router.lost)
        wait_for_engine()


def survey(router: Router, news: threading.Event) -> None:
    """By a thread of its own, as Docker lets one wait until a container has started."""
    while True:
        news.wait(AGAIN if router.in_doubt else None)
        news.clear()
        survive(router.survey)


def listen(router: Router, news: threading.Event, ready: Callable[[], None]) -> None:
    """One question at a time, by root."""
    with socket.socket(socket.AF_UNIX) as door:
        if os.path.exists(ADDRESS):
            os.unlink(ADDRESS)
        door.bind(ADDRESS)
        os.chmod(ADDRESS, 0o600)
        door.listen()
        ready()
        while True:
            caller, _ = door.accept()
            with caller:
                caller.settimeout(1.0)
                serve(router, caller)
            news.set()


def serve(router: Router, caller: socket.socket) -> None:
    said: Refusal | None = None
    try:
        word, key = caller.recv(256).decode().split()
        {"on": router.turn_on, "off": router.turn_off}[word](key)
    except Refusal as refusal:
        said = refusal
    except Exception as error:
        said = Refusal("failed", f"the router has a bug: {type(error).__name__}: {error}")
    survive(lambda: caller.sendall(answer(said)))


def wait(heard: socket.socket) -> None:
    """Until something comes; all that has come by then is taken."""
    flags = 0
    while True:
        try:
            heard.recv(65536, flags)
        except BlockingIOError:
            return
        except OSError:  # too much came at once: that is a change, too
            pass
        flags = socket.MSG_DONTWAIT


def wait_for_engine() -> None:
    """Its file begins to exist; for what lies between that and its answers, a pause."""
    import ctypes

    libc = ctypes.CDLL(None)
    heard = libc.inotify_init1(os.O_CLOEXEC)
    try:
        libc.inotify_add_watch(heard, os.path.dirname(docker.RUNS).encode(), NAMES)
        while not docker.runs():
            os.read(heard, 65536)
    finally:
        os.close(heard)
    time.sleep(PAUSE)


def ready(notify: str) -> None:
    if notify:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(b"READY=1", notify.replace("@", "\0", 1))


def or_end(work: Callable[[], None]) -> None:
    """A thread that ends takes the program along, and systemd starts another."""
    try:
        work()
    finally:
        os._exit(1)


def survive(work: Callable[[], None]) -> None:
    """One that fails is told of, and the next may succeed."""
    try:
        work()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201 - systemd's journal
