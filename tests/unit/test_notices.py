"""Notices over real HTTP: one each, tried again, never too many, and no secret said."""

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge import notices as module
from bridge.contract import Change, Outcome
from bridge.notices import Notices, words
from tests.children import until


class Server(ThreadingHTTPServer):
    """`answers` are the next statuses, 200 afterwards; `posts` are (path, headers, body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.posts: list[tuple[str, dict[str, str], str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/topic?up=1"

    @property
    def bodies(self) -> list[str]:
        return [body for _, _, body in self.posts]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posts.append((self.path, dict(self.headers.items()), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def trouble(text: str, key: str = "web") -> Change:
    return Change(key, time.time(), True, True, "watchdog", text, sensor="trouble")


async def test_what_a_sensor_detects_is_one_post_with_a_title(server: Server) -> None:
    notices = Notices(server.url, None, {"web": "Web", "attic": "Dachböden"})
    notices.changed(trouble("it burns: 99 %"))
    notices.changed(
        Change("web", time.time(), True, False, "observed", "smbd.service is inactive")
    )  # no trouble
    notices.changed(trouble("café", key="attic"))
    await until(lambda: len(server.posts) == 2)
    (path, headers, body), (_, other, text) = server.posts
    assert (path, headers["Title"], body) == ("/topic?up=1", "Web", "it burns: 99 %")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (other["Title"], text) == ("=?utf-8?q?Dachb=C3=B6den?=", "café")
    await notices.close()


async def test_the_secret_headers_are_sent_and_said_nowhere(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer tk_0451\ntitle: Server\n")
    server.answers = [401]
    with caplog.at_level(logging.DEBUG):
        notices = Notices(server.url, str(file), {})
        notices.changed(trouble("it burns"))
        await until(lambda: notices.failing)
        file.write_text("Authorization: Bearer tk_0452\n")
        notices.changed(trouble("it burns on"))
        await until(lambda: len(server.posts) == 2 and not notices.failing)
    await notices.close()
    assert [headers["Authorization"][-4:] for _, headers, _ in server.posts] == ["0451", "0452"]
    assert [value for name, value in server.posts[0][1].items() if name.lower() == "title"] == ["Server"]
    assert "it answers 401" in caplog.text
    assert "tk_" not in caplog.text and "topic" not in caplog.text


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_what_may_work_later_is_tried_again(server: Server, status: int) -> None:
    server.answers = [status, status]
    notices = Notices(server.url, None, {})
    notices.changed(trouble("it burns"))
    await until(lambda: server.bodies == ["it burns"] * 3 and not notices.failing)
    await notices.close()


@pytest.mark.parametrize("status", [302, 400, 403, 404])
async def test_what_will_never_work_is_not_tried_again_and_nothing_is_followed(
    server: Server, status: int
) -> None:
    server.answers = [status]
    notices = Notices(server.url, None, {})
    notices.changed(trouble("first"))
    notices.changed(trouble("second"))
    await until(lambda: len(server.posts) == 2)
    assert server.bodies == ["first", "second"]
    assert {path for path, _, _ in server.posts} == {"/topic?up=1"}
    await notices.close()


async def test_a_server_that_is_away_gets_its_notices_when_it_is_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    port = server.server_port
    away = Notices(f"http://127.0.0.1:{port}/", None, {})
    server.shutdown()
    server.server_close()
    away.changed(trouble("it burns"))
    await until(lambda: "refused" in away.failing)
    back = Server.__new__(Server)
    back.answers, back.posts = [], []
    ThreadingHTTPServer.__init__(back, ("127.0.0.1", port), Handler)
    threading.Thread(target=back.serve_forever, args=(0.01,)).start()
    await until(lambda: back.bodies == ["it burns"])
    await away.close()
    back.shutdown()
    back.server_close()
    assert caplog.text.count("cannot be delivered") == 1


async def test_there_are_never_too_many(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BURST", 3)
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    notices = Notices(server.url, None, {})
    for number in range(3):
        notices.changed(trouble(str(number)))
    await until(lambda: len(server.posts) == 3)
    for number in range(3, 20):
        notices.changed(trouble(str(number)))
    await asyncio.sleep(0.3)
    assert server.bodies == ["0", "1", "2"]
    await asyncio.wait_for(notices.close(), 1.0)  # however many wait


async def test_an_old_notice_says_when_it_was(server: Server) -> None:
    notices = Notices(server.url, None, {})
    notices.changed(Change("web", 1_700_000_000.0, True, True, "watchdog", "it burned", sensor="trouble"))
    await until(lambda: server.posts)
    assert server.bodies[0].startswith("it burned (2023-11-14 ") or "2023-11-15" in server.bodies[0]
    await notices.close()


def a_certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = serialization.PrivateFormat.PKCS8
    encryption = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, encryption)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_a_certificate_is_believed_when_the_machine_believes_it_and_else_not(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = a_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    notices = Notices(f"https://localhost:{server.server_port}/", None, {})
    notices.changed(trouble("secret"))
    await until(lambda: "self-signed certificate" in notices.failing)
    assert server.posts == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await until(lambda: server.bodies == ["secret"])
    await notices.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (trouble("it burns"), "it burns"),
        (Change("web", 0, True, False, "observed", died=True), "it failed"),
        (Change("web", 0, True, False, "observed", "a is failed", died=True), "a is failed"),
        (
            Change("web", 0, True, True, "Anna", "no", wanted=False, outcome=Outcome.FAILED),
            "turn off: failed: no",
        ),
        (Change("web", 0, True, True, "Anna", wanted=True, outcome=Outcome.LATE), "turn on: late"),
        (
            Change("web", 0, True, True, "w", "x", wanted=True, restart=True, outcome=Outcome.DENIED),
            "restart: denied: x",
        ),
    ],
)
def test_a_change_is_told_in_words(change: Change, said: str) -> None:
    assert change.detects == "trouble"
    assert words(change) == said
