"""Headers for notices in a file of their own: they hold secrets, so nobody else may read it."""

import re
import stat
from pathlib import Path

LONGEST = 16 * 1024  # bytes
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OURS = ("host", "content-length", "transfer-encoding", "connection")  # the client's own to say


class HeadersError(Exception):
    """What is wrong with the file; what to do. Never what stands in it."""


def read_headers(path: str) -> dict[str, str]:
    """A header a line, "Authorization: Bearer …"; empty lines and those that begin with # are left out."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise HeadersError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > LONGEST:
        raise HeadersError(f"{path}: longer than {LONGEST} bytes; write headers, one a line")
    found = {}
    for number, line in enumerate(text.decode("latin-1").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, value = _header(line, f"{path}:{number}")
            found[name] = value
    return found


def _header(line: str, place: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not NAME.fullmatch(name) or not value.strip():
        raise HeadersError(f"{place}: no header; write it like Authorization: Bearer …")
    if not value.strip().isprintable():
        raise HeadersError(f"{place}: a character that no header takes; remove it")
    if name.lower() in OURS:
        raise HeadersError(f"{place}: {name} is set for each request; remove the line")
    return name, value.strip()


def problem(path: str) -> str:
    """What is wrong with the file as far as this user can see, or nothing."""
    if not path.startswith("/"):
        return f"{path!r} may be anywhere; write a path that begins with /"
    try:
        status = Path(path).stat()
    except PermissionError:
        return ""  # not ours to read; the bridge says so when it cannot either
    except OSError as error:
        return f"{path}: {error.strerror}; write the file, one header a line"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no file; write the file, one header a line"
    if status.st_mode & stat.S_IRWXO:
        return f"{path}: everybody can get at it; sudo chown root:bellpull and chmod 640 it"
    try:
        read_headers(path)
    except HeadersError as error:
        return "" if "Permission denied" in str(error) else str(error)
    return ""
