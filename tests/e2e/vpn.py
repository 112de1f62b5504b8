"""A box with Docker's engine and a tunnel, and an Internet that sees which way packets came."""

import contextlib
import io
import selectors
import socket
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.e2e.box import Box
from tests.e2e.box.lan import ROUTER
from tests.e2e.server import CODE, PORT, Server
from tests.e2e.tunnels import OpenVpn

INTERNET, INTERNET6 = "198.51.100.1", "2001:db8:1::1"
ASKED = 5000
HOUSE6, ROUTER6 = "fd31::1", "fd31::2"  # the box's wire
PLAIN, PLAIN6 = Box.address, HOUSE6  # what a masqueraded packet comes from
TUNNEL, TUNNEL6 = "10.8.0.2", "fd08::2"  # the same, through tun0
TUNNELS = "10.8.", "fd08:"  # what begins so came through one of them
DNS = "192.0.2.53"
Doors = tuple[socket.socket, socket.socket]
PACKETS = f"""
import socket, time
while True:
    for family, address in ((socket.AF_INET, "{INTERNET}"), (socket.AF_INET6, "{INTERNET6}")):
        try:
            socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, {ASKED}))
        except OSError:
            pass
    time.sleep(0.002)
"""
FLOOD = ["/usr/bin/python3", "-ISc", PACKETS]
"""What a container runs to send two packets every 2 ms from its first moment on, each a flow of its own."""
ASLEEP = ["/bin/busybox", "sleep", "1000000"]
ENGINE = '{"storage-driver": "vfs", "experimental": true, "ip6tables": true}'
"""A box lies on an overlay, so not Docker's. An engine before 27 translates IPv6 only when it is told to."""

CONFIG = f"""\
bridge:
  address: {Box.address}
  port: {PORT}
  setup_code: {CODE}
accessories:
  vpn: {{kind: vpn_route, name: VPN Routing, container: seedbox, interface: tun0, trouble: true}}
  web: {{kind: services, name: Web, units: [apache2]}}
"""


class Internet:
    """The provider and the VPN's far end in one: counts where packets come from, and answers."""

    def __init__(self, box: Box, made: Doors) -> None:
        self.heard: Counter[str] = Counter()
        self._box, self.tunnel = box, OpenVpn(box)
        self.connect()
        self._door, self._flooded = made
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def connect(self) -> None:
        """Give the box IPv6 on its wire, and default routes; again when it was off."""
        self._box.lan.ip("addr", "replace", f"{ROUTER6}/64", "dev", "wire0", "nodad")
        self._box.run(["ip", "addr", "replace", f"{HOUSE6}/64", "dev", "eth0", "nodad"])
        for router in (ROUTER, ROUTER6):
            self._box.run(["ip", "route", "replace", "default", "via", router])

    def _listen(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._door, selectors.EVENT_READ)
        selector.register(self._flooded, selectors.EVENT_READ)
        while self._open:
            for key, _ in selector.select(0.05):
                if key.fileobj is self._flooded:
                    source = _plain(self._flooded.recvfrom(2048)[1][0])
                else:
                    connection, (address, *_) = self._door.accept()
                    source = _plain(address)
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(source.encode())
                self.heard[source] += 1

    @property
    def leaked(self) -> int:
        """What came by the plain uplink, or from an address that is nobody's."""
        return sum(count for source, count in self.heard.items() if not source.startswith(TUNNELS))

    def forget(self) -> None:
        time.sleep(0.02)
        self.heard.clear()

    def tunnel_up(self, *, ipv6: bool = True) -> None:
        self.tunnel.up(ipv6=ipv6)

    def tunnel_down(self) -> None:
        self.tunnel.down()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._door.close()
        self._flooded.close()
        self.tunnel.close()


class VpnServer(Server):
    """The home server with a container that wants to be routed."""

    def __init__(self, box: Box, made: Doors) -> None:
        """`made`: what listening() gives in the box's LAN."""
        super().__init__(box)
        self.internet = Internet(box, made)
        box.write("/etc/docker/daemon.json", ENGINE)
        box.run(["systemctl", "enable", "--now", "docker"], timeout=60)
        image = box.root / "root/tiny.tar"
        image.write_bytes(_tiny((box.root / "bin/busybox").read_bytes()))
        box.run(["docker", "import", "/root/tiny.tar", "tiny"])
        self.container()

    def container(self, *options: str, dns: str = DNS, flood: bool = False) -> None:
        """(Re)make the container that is routed."""
        self.box.run(["docker", "rm", "-f", "seedbox"], check=False)
        self.make("seedbox", *options, dns=dns, flood=flood)

    def make(
        self,
        name: str,
        *options: str,
        dns: str = DNS,
        flood: bool = False,
        program: Sequence[str] = ASLEEP,
        word: str = "run",
    ) -> None:
        """`dns`: what it asks for names, empty for what the engine gives it."""
        words = ["docker", word, *(["-d"] if word == "run" else []), "--name", name, *options]
        words += ["--restart", "unless-stopped", "--volume", "/usr:/usr:ro", *(["--dns", dns] if dns else [])]
        self.box.run([*words, "tiny", *(FLOOD if flood else program)])

    def ask(self, name: str = "seedbox", where: str = INTERNET) -> str:
        """Where the Internet says that a container's packet came from; empty when it got nowhere."""
        words = ["/bin/busybox", "timeout", "2", "/bin/busybox", "nc", "-w", "1", where, str(ASKED)]
        return self.box.run(["docker", "exec", name, *words], check=False).stdout.strip()

    def turn(self, key: str, on: bool) -> str:
        """What the command line says to it, by the bridge."""
        done = self.box.run(["bellpull", "set", key, "on" if on else "off"], check=False)
        return done.stdout + done.stderr

    async def close(self) -> None:
        await super().close()
        self.internet.close()


@contextlib.contextmanager
def prepared(box: Box, config: str = CONFIG) -> Iterator[VpnServer]:
    """Docker runs, the tunnel is up, `bellpull vpn setup` has prepared the container, the bridge runs."""
    server = VpnServer(box, box.lan.call(lambda: listening(box)))
    try:
        server.internet.tunnel_up()
        server.configure(config)
        box.run(["bellpull", "vpn", "setup", "vpn"])
        server.start()
        yield server
    finally:
        server.internet.close()


async def listening(box: Box) -> Doors:
    """Sockets that stand in the Internet, for TCP and UDP, both families; to be made on the box's LAN."""
    for address in (f"{INTERNET}/32", f"{INTERNET6}/128"):
        box.lan.ip("addr", "add", address, "dev", "lo")
    made = tuple(socket.socket(socket.AF_INET6, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
    for door in made:
        door.bind(("::", ASKED))
    made[0].listen()
    return made[0], made[1]


def _plain(source: str) -> str:
    """An address of IPv4 as such (RFC 4291, 2.5.5.2)."""
    return source.removeprefix("::ffff:")


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
