"""Tunnels between a box and the machine at the other end of its wire, as people run them."""

import ipaddress
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.e2e.box import Box
from tests.e2e.box.lan import ROUTER

UNIT = """\
[Service]
ExecStart=/usr/sbin/openvpn --dev {device} --dev-type tun --proto udp --port {port} --remote {far} \\
  --tls-client --cert house.crt --key house.key --cd /etc/openvpn/{device} --peer-fingerprint {fingerprint} \\
  --ifconfig {ends} {six} --route-noexec --verb 1
"""
CONFIGURED = """\
[Interface]
PrivateKey = {key}
Address = {addresses}
Table = off

[Peer]
PublicKey = {peer}
Endpoint = {far}:{port}
AllowedIPs = 0.0.0.0/0, ::/0
"""


def ends(number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """((near, far) of IPv4, (near, far) of IPv6): a /24 and a /64 for each number."""
    six = ipaddress.IPv6Address(f"fd08:{number:x}::")
    return (f"10.8.{number}.2", f"10.8.{number}.1"), (str(six + 2), str(six + 1))


class OpenVpn:
    """tun0, tun1, …: a client that is a service of the box's, as Debian's openvpn-client@ is."""

    def __init__(self, box: Box, number: int = 0) -> None:
        self.device, self._unit, self._port = f"tun{number}", f"tunnel{number}", 1194 + number
        self._net = number
        self._box = box
        self._folder = Path(tempfile.mkdtemp(prefix="bellpull-vpn-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._prints: dict[str, str] = {}

    @property
    def sources(self) -> tuple[str, str]:
        """What packets that were sent into it come from, IPv4 and IPv6."""
        four, six = ends(self._net)
        return four[0], six[0]

    def up(self, *, ipv6: bool = True) -> None:
        if self._server is None:
            self._serve()
        self._box.write(f"/etc/systemd/system/{self._unit}.service", self._client(ipv6))
        self._box.run(["systemctl", "daemon-reload"])
        self._box.run(["systemctl", "start", self._unit])
        deadline = time.monotonic() + 20
        while "Initialization Sequence Completed" not in self._said():
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.05)

    def down(self) -> None:
        """As when its process dies: the interface is gone at once."""
        self._box.run(["systemctl", "kill", "--signal=KILL", self._unit], check=False)
        self._box.run(["systemctl", "stop", self._unit])

    def renumber(self) -> None:
        """The provider gives other addresses from its next start on."""
        self._end()
        self._net += 20

    def close(self) -> None:
        self._end()
        shutil.rmtree(self._folder)

    def _said(self) -> str:
        return self._box.journal(self._unit).rpartition("Started")[2]

    def _client(self, ipv6: bool) -> str:
        four, six = ends(self._net)
        return UNIT.format(
            device=self.device,
            port=self._port,
            far=ROUTER,
            fingerprint=self._prints["vpn"],
            ends=" ".join(four),
            six=f"--ifconfig-ipv6 {six[0]}/64 {six[1]}" if ipv6 else "",
        )

    def _certify(self, side: str) -> str:
        """A certificate of its own; its fingerprint."""
        certificate, key = self._folder / f"{side}.crt", self._folder / f"{side}.key"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch"
        words += f" -subj /CN={side} -keyout {key} -out {certificate}"
        _run("openssl", *words.split())
        said = _run("openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256")
        return said.partition("=")[2]

    def _serve(self) -> None:
        if not self._prints:
            self._prints = {side: self._certify(side) for side in ("house", "vpn")}
            for end in ("crt", "key"):
                text = (self._folder / f"house.{end}").read_text()
                self._box.write(f"/etc/openvpn/{self.device}/house.{end}", text, 0o600)
        four, six = ends(self._net)
        words = (
            f"--dev {self.device} --dev-type tun --proto udp --port {self._port} --tls-server --dh none"
            f" --cd {self._folder} --cert vpn.crt --key vpn.key --peer-fingerprint {self._prints['house']}"
            f" --ifconfig {four[1]} {four[0]} --ifconfig-ipv6 {six[1]}/64 {six[0]}"
            " --disable-dco --log vpn.log --float"
        )
        self._server = subprocess.Popen(
            ["nsenter", f"--net={self._box.lan.path}", "openvpn", *words.split()], stdin=subprocess.DEVNULL
        )

    def _end(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)
            self._server = None


class WireGuard:
    """wg0, by wg-quick and wireguard-go: a machine need not have the kernel's module."""

    device, port, number = "wg0", 51820, 10

    def __init__(self, box: Box) -> None:
        self._box, self._net = box, self.number
        self._far = f"far{os.getpid()}"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def sources(self) -> tuple[str, str]:
        four, six = ends(self._net)
        return four[0], six[0]

    def up(self) -> None:
        house, far = _run("wg", "genkey"), _run("wg", "genkey")
        if self._server is None:
            self._serve()
        self._shape(far, _run("wg", "pubkey", text=house))
        four, six = self.sources
        self._box.write(
            f"/etc/wireguard/{self.device}.conf",
            CONFIGURED.format(
                key=house,
                peer=_run("wg", "pubkey", text=far),
                far=ROUTER,
                port=self.port,
                addresses=f"{four}/24, {six}/64",
            ),
            0o600,
        )
        self._box.run(["systemctl", "start", f"wg-quick@{self.device}"])

    def down(self) -> None:
        self._box.run(["systemctl", "stop", f"wg-quick@{self.device}"])

    def renumber(self) -> None:
        """The provider gives other addresses from its next start on."""
        self._box.lan.ip("addr", "flush", "dev", self._far, "scope", "global")
        self._net += 20

    def close(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(10)

    def _serve(self) -> None:
        self._server = subprocess.Popen(
            ["nsenter", f"--net={self._box.lan.path}", "wireguard-go", "--foreground", self._far],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not Path(f"/run/wireguard/{self._far}.sock").exists():
            assert time.monotonic() < deadline, "wireguard-go does not come up"
            time.sleep(0.02)

    def _shape(self, key: str, peer: str) -> None:
        words = f"set {self._far} listen-port {self.port} private-key /dev/stdin"
        _run("wg", *words.split(), *f"peer {peer} allowed-ips {','.join(self._hosts())}".split(), text=key)
        four, six = ends(self._net)
        for address in (f"{four[1]}/24", f"{six[1]}/64"):
            self._box.lan.ip("addr", "replace", address, "dev", self._far)
        self._box.lan.ip("link", "set", self._far, "up")

    def _hosts(self) -> list[str]:
        four, six = self.sources
        return [f"{four}/32", f"{six}/128"]


def _run(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
