"""A box with Docker's engine and an OpenVPN tunnel, and an Internet that sees which way packets came."""

import contextlib
import io
import selectors
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from tests.e2e.box import Box
from tests.e2e.server import CODE, PORT, Server

INTERNET = "198.51.100.1"
ASKED = 5000
PROVIDER = "10.31.7.2"  # the far end of the box's wire
PLAIN, TUNNEL = "10.31.7.1", "10.8.0.2"  # what a masqueraded packet comes from
DNS = "192.0.2.53"
Doors = tuple[socket.socket, socket.socket]
PACKETS = f"""
import socket, time
while True:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{INTERNET}", {ASKED}))
    except OSError:
        pass
    time.sleep(0.002)
"""
FLOOD = ["/usr/bin/python3", "-ISc", PACKETS]
"""What a container runs to send a packet every 2 ms from its first moment on, each a flow of its own."""

CONFIG = f"""\
bridge:
  address: {Box.address}
  port: {PORT}
  setup_code: {CODE}
accessories:
  vpn: {{kind: vpn_route, name: VPN Routing, container: seedbox, interface: tun0, trouble: true}}
  web: {{kind: services, name: Web, units: [apache2]}}
"""
CLIENT = f"""\
[Service]
ExecStart=/usr/sbin/openvpn --dev tun0 --dev-type tun --proto udp --port 1194 --remote {PROVIDER} \\
  --tls-client --cert house.crt --key house.key --cd /etc/openvpn --peer-fingerprint FINGERPRINT \\
  --ifconfig {TUNNEL} 10.8.0.1 --route-noexec --verb 1
"""


class Internet:
    """The provider and the VPN's far end in one: counts where packets come from, and answers."""

    def __init__(self, box: Box, made: Doors) -> None:
        self.heard: dict[str, int] = {PLAIN: 0, TUNNEL: 0}
        self._box = box
        self._folder = Path(tempfile.mkdtemp(prefix="bellpull-vpn-"))
        self._server: subprocess.Popen[bytes] | None = None
        box.run(["ip", "route", "replace", "default", "via", PROVIDER])
        self._door, self._flooded = made
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._door, selectors.EVENT_READ)
        selector.register(self._flooded, selectors.EVENT_READ)
        while self._open:
            for key, _ in selector.select(0.05):
                if key.fileobj is self._flooded:
                    source = self._flooded.recvfrom(2048)[1][0]
                else:
                    connection, (source, _) = self._door.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(source.encode())
                self.heard[source] = self.heard.get(source, 0) + 1

    @property
    def leaked(self) -> int:
        """What came by another way than the tunnel."""
        return sum(self.heard.values()) - self.heard[TUNNEL]

    def forget(self) -> None:
        time.sleep(0.02)
        for source in self.heard:
            self.heard[source] = 0

    def tunnel_up(self) -> None:
        if self._server is None:
            self._serve()
        self._box.run(["systemctl", "start", "tunnel"])
        deadline = time.monotonic() + 20
        while "Initialization Sequence Completed" not in self._box.journal("tunnel").rpartition("Started")[2]:
            assert time.monotonic() < deadline, self._box.journal("tunnel")
            time.sleep(0.05)

    def tunnel_down(self) -> None:
        self._box.run(["systemctl", "kill", "--signal=KILL", "tunnel"], check=False)
        self._box.run(["systemctl", "stop", "tunnel"])

    def _serve(self) -> None:
        prints = {}
        for side in ("house", "vpn"):
            certificate = self._folder / f"{side}.crt"
            _run(
                f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch"
                f" -subj /CN={side} -keyout {self._folder}/{side}.key -out {certificate}"
            )
            prints[side] = _run(f"openssl x509 -in {certificate} -noout -fingerprint -sha256").partition("=")[
                2
            ]
        for end in ("crt", "key"):
            self._box.write(f"/etc/openvpn/house.{end}", (self._folder / f"house.{end}").read_text(), 0o600)
        self._box.write("/etc/systemd/system/tunnel.service", CLIENT.replace("FINGERPRINT", prints["vpn"]))
        self._box.run(["systemctl", "daemon-reload"])
        self._server = subprocess.Popen(
            [
                *("nsenter", f"--net={self._box.lan.path}", "openvpn", "--dev", "tun0", "--dev-type", "tun"),
                *(
                    "--proto",
                    "udp",
                    "--port",
                    "1194",
                    "--tls-server",
                    "--dh",
                    "none",
                    "--cd",
                    str(self._folder),
                ),
                *("--cert", "vpn.crt", "--key", "vpn.key", "--peer-fingerprint", prints["house"]),
                *("--ifconfig", "10.8.0.1", TUNNEL, "--disable-dco", "--log", "vpn.log", "--float"),
            ],
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._door.close()
        self._flooded.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)
        shutil.rmtree(self._folder)


class VpnServer(Server):
    """The home server with a container that wants to be routed."""

    def __init__(self, box: Box, made: Doors) -> None:
        """`made`: what listening() gives in the box's LAN."""
        super().__init__(box)
        self.internet = Internet(box, made)
        box.write("/etc/docker/daemon.json", '{"storage-driver": "vfs"}')  # a box lies on an overlay
        box.run(["systemctl", "enable", "--now", "docker"], timeout=60)
        image = box.root / "root/tiny.tar"
        image.write_bytes(_tiny((box.root / "bin/busybox").read_bytes()))
        box.run(["docker", "import", "/root/tiny.tar", "tiny"])
        self.container()

    def container(self, *options: str, flood: bool = False) -> None:
        """(Re)make the container that is routed."""
        self.box.run(["docker", "rm", "-f", "seedbox"], check=False)
        self.make("seedbox", *options, flood=flood)

    def make(self, name: str, *options: str, flood: bool = False, word: str = "run") -> None:
        self.box.run(
            [
                *("docker", word, *(["-d"] if word == "run" else []), "--name", name),
                *(
                    "--restart",
                    "unless-stopped",
                    "--volume",
                    "/usr:/usr:ro",
                    *([] if "--dns" in options else ["--dns", DNS]),
                ),
                *(*options, "tiny", *(FLOOD if flood else ["/bin/busybox", "sleep", "1000000"])),
            ]
        )

    def ask(self, name: str = "seedbox") -> str:
        """Where the Internet says that a container's packet came from; empty when it got nowhere."""
        words = ["/bin/busybox", "timeout", "2", "/bin/busybox", "nc", "-w", "1", INTERNET, str(ASKED)]
        return self.box.run(["docker", "exec", name, *words], check=False).stdout.strip()

    async def close(self) -> None:
        await super().close()
        self.internet.close()


async def listening(box: Box) -> Doors:
    """Sockets that stand in the Internet, for TCP and UDP; to be made on the box's LAN."""
    box.lan.ip("addr", "add", f"{INTERNET}/32", "dev", "lo")
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for door in made:
        door.bind((INTERNET, ASKED))
    made[0].listen()
    return made


def _tiny(busybox: bytes) -> bytes:
    """An image's file system: one program, and the way to those that the box lends it in /usr."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "proc", "sys", "dev", "usr"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = len(busybox), 0o755
        tar.addfile(program, io.BytesIO(busybox))
        for name, target in (("bin/sh", "busybox"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return text.getvalue()


def _run(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
