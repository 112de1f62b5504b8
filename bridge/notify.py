"""Tells systemd how the bridge is (sd_notify(3)); silent where there is no systemd."""

import os
import re
import socket

LONGEST_WAIT = 0.1  # seconds, for a systemd that is too busy to read


def tell(*lines: str) -> None:
    """Send lines such as "READY=1"."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(LONGEST_WAIT)
        try:
            sock.connect("\0" + place[1:] if place.startswith("@") else place)
            sock.sendall("\n".join(lines).encode())
        except OSError:
            pass  # systemd is on its way down or up; it asks for nothing more


def watchdog_interval() -> float | None:
    """Seconds between signs of life, half of what systemd allows; None when it wants none."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    if not re.fullmatch("[1-9][0-9]*", allowed) or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(allowed) / 2_000_000
