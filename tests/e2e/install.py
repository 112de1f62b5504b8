"""Putting the product on a box as a person would: from a checkout, by make, and in no other way."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.box import Box

CHECKOUT = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# How this machine reaches its package index is this machine's business, and passed on.
PASSED_ON = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)


def clean_copy(target: Path) -> Path:
    """The checkout as it is now, without what git ignores, as another clone would have it."""
    listed = subprocess.run(
        ["git", "-C", CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    target.chmod(0o755)
    return target


def make(box: Box, target: str, checkout: str, *, user: str | None = None, within: float = 300) -> str:
    """`make TARGET` in the box's folder `checkout`, with this machine's way to the package index.

    Only this command runs in the machine's network. Returns its output.
    """
    if CERTIFICATES.exists():
        box.write(str(CERTIFICATES), CERTIFICATES.read_text())
    box.write("/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    settings = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    done = box.run(
        ["make", "--no-print-directory", "-C", checkout, target],
        user=user,
        env={"PIP_CERT": str(CERTIFICATES), **settings},
        network="machine",
        timeout=within,
    )
    return done.stdout + done.stderr


def install(box: Box, checkout: str) -> str:
    """`make install` in the box; its output."""
    return make(box, "install", checkout)
