"""A house, its provider and a VPN, in network namespaces; sockets of this process stand in each.

    house (wan0) -- isp -- vpn        tun0: a real OpenVPN tunnel from house to vpn
    house (bridge "vpn-vpn") -- cont     the container; house (lan0) -- lan: a neighbour

"The Internet" (198.51.100.1, 2001:db8:1::1) is at the isp and at the vpn alike: who hears a
packet tells the way it took. Needs root.
"""

import ctypes
import functools
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bridge.helper import policy
from bridge.helper.policy import Policy

CLONE_NEWNET = 0x40000000  # linux/sched.h
INTERNET = {4: "198.51.100.1", 6: "2001:db8:1::1"}
NEIGHBOUR = {4: "192.168.7.9", 6: "fd07::9"}
CONTAINER = {4: "10.77.0.5", 6: "fd77::5"}
BRIDGE, TABLE = "vpn-vpn", 24810
PORT = 5000
T = TypeVar("T")

ENTRY: dict[str, Any] = {
    "bridge": BRIDGE,
    "table": TABLE,
    "interface": "tun0",
    "lan": [],
    "ipv6": True,
    "network": "0-bellpull-vpn",
    "container": None,
    "dns": False,
}
POLICY: Policy = {"version": policy.VERSION, "routes": {"vpn": ENTRY}}

NAT = """
table inet nat {
  chain post {
    type nat hook postrouting priority srcnat
    iifname "vpn-vpn" oifname { "wan0", "tun0" } masquerade
  }
}
"""


# The helper without sudo and without its look at who owns what, which the tests' interpreter would not pass.
HELPER_FOLDER = str(Path(policy.__file__).parents[1])
HELPER = """
import json, sys
sys.path.append(sys.argv[1])
from helper import process, verbs
process.reset()
verbs.find(sys.argv[3])(json.loads(sys.argv[2]), sys.argv[4])()
"""


class Lab:
    """The namespaces, and what tests do in them."""

    def __init__(self) -> None:
        self.prefix = f"bl{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix="bellpull-lab-"))
        self._vpns: dict[str, subprocess.Popen[bytes]] = {}

    # Building

    def up(self) -> None:
        for name in ("house", "isp", "vpn", "cont", "lan"):
            self._sh(f"ip netns add {self.ns(name)}")
            self.ip(name, "link set lo up")
        self._wire(
            "house", "wan0", "isp", "house0", "10.90.0.2/24", "10.90.0.1/24", "fd90::2/64", "fd90::1/64"
        )
        self._wire("isp", "vpn0", "vpn", "isp0", "10.91.0.1/24", "10.91.0.2/24", "fd91::1/64", "fd91::2/64")
        self._wire(
            "house", "lan0", "lan", "eth0", "192.168.7.1/24", "192.168.7.9/24", "fd07::1/64", "fd07::9/64"
        )
        for name in ("house", "isp", "vpn"):
            self.sysctl(name, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for name in ("isp", "vpn"):
            self.ip(name, "addr add 198.51.100.1/32 dev lo")
            self.ip(name, "addr add 2001:db8:1::1/128 dev lo")
        self.sysctl("house", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        self.ip("house", "route add default via 10.90.0.1")
        self.ip("house", "route add default via fd90::1")
        self.ip("vpn", "route add default via 10.91.0.1")
        self.make_bridge()
        self.ip("house", f"link add c0 type veth peer name eth0 netns {self.ns('cont')}")
        self.ip("house", f"link set c0 master {BRIDGE} up")
        self._address("cont", "eth0", "10.77.0.5/24", "fd77::5/64")
        self.ip("cont", "route add default via 10.77.0.1")
        self.ip("cont", "route add default via fd77::1")
        self.ip("lan", "route add default via 192.168.7.1")
        self.ip("lan", "route add default via fd07::1")
        self._sh(f"ip netns exec {self.ns('house')} nft -f -", NAT)

    def make_bridge(self) -> None:
        """With an address of its own, as the engine's have; without one it takes the port's."""
        self.ip("house", f"link add {BRIDGE} address 02:42:0a:4d:00:01 type bridge")
        self._address("house", BRIDGE, "10.77.0.1/24", "fd77::1/64")

    def bridge_routes(self) -> None:
        """A link that was down has lost its IPv6 address."""
        self.ip("house", f"addr replace fd77::1/64 dev {BRIDGE} nodad")

    def down(self) -> None:
        self.tunnel_down()
        self._stop("vpn")
        for name in ("house", "isp", "vpn", "cont", "lan"):
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True, timeout=10)

    def ns(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def ip(self, name: str, command: str) -> str:
        return self._sh(f"ip -n {self.ns(name)} {command}")

    def sysctl(self, name: str, *settings: str) -> None:
        self._sh(f"ip netns exec {self.ns(name)} sysctl -qw {' '.join(settings)}")

    def nft(self, rules: str) -> None:
        self._sh(f"ip netns exec {self.ns('house')} nft -f -", rules)

    def _wire(self, one: str, dev: str, other: str, peer: str, *addresses: str) -> None:
        self.ip(one, f"link add {dev} type veth peer name {peer} netns {self.ns(other)}")
        self._address(one, dev, addresses[0], addresses[2])
        self._address(other, peer, addresses[1], addresses[3])

    def _address(self, name: str, dev: str, *addresses: str) -> None:
        for address in addresses:
            self.ip(name, f"addr add {address} dev {dev}" + (" nodad" if ":" in address else ""))
        self.ip(name, f"link set {dev} up")

    def _sh(self, command: str, text: str = "") -> str:
        done = subprocess.run(command.split(), input=text, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    # The tunnel

    def tunnel_up(self, number: int = 8, *, ipv6: bool = True) -> None:
        """A real OpenVPN tunnel that touches no route; its addresses are 10.NUMBER.0.1 and .2."""
        self._stop("vpn"), self._stop("house")  # type: ignore[func-returns-value]
        for side in ("vpn", "house"):
            if not (self.folder / f"{side}.crt").exists():
                self._certificate(side)
        self._openvpn("vpn", "house", "--tls-server", "--dh", "none", number, ipv6)
        self._openvpn("house", "vpn", "--tls-client", "--remote", "10.91.0.2", number, ipv6)
        end = time.monotonic() + 20
        while "Initialization Sequence Completed" not in self._log("house"):
            assert time.monotonic() < end, self._log("house")
            time.sleep(0.02)

    def tunnel_down(self) -> None:
        self._stop("house")

    def _log(self, side: str) -> str:
        return (self.folder / f"{side}.log").read_text() if (self.folder / f"{side}.log").exists() else ""

    def _certificate(self, side: str) -> None:
        self._sh(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch "
            f"-subj /CN={side} -keyout {self.folder}/{side}.key -out {self.folder}/{side}.crt"
        )

    def _openvpn(self, side: str, peer: str, *rest: Any) -> None:
        *words, number, ipv6 = rest
        printed = self._sh(f"openssl x509 -in {self.folder}/{peer}.crt -noout -fingerprint -sha256")
        mine, other = ("1", "2") if side == "vpn" else ("2", "1")
        six = ["--ifconfig-ipv6", f"fd{number:02}::{mine}/64", f"fd{number:02}::{other}"] if ipv6 else []
        (self.folder / f"{side}.log").unlink(missing_ok=True)
        self._vpns[side] = subprocess.Popen(
            [
                *("ip", "netns", "exec", self.ns(side), "openvpn", "--dev", "tun0", "--dev-type", "tun"),
                *("--proto", "udp", "--port", "1194", "--disable-dco", "--route-noexec", *words),
                *("--cert", f"{side}.crt", "--key", f"{side}.key", "--cd", str(self.folder)),
                *("--peer-fingerprint", printed.strip().partition("=")[2], "--log", f"{side}.log"),
                *("--ifconfig", f"10.{number}.0.{mine}", f"10.{number}.0.{other}", *six),
            ],
            stdin=subprocess.DEVNULL,
        )

    def _stop(self, side: str) -> None:
        process = self._vpns.pop(side, None)
        if process is not None:
            process.kill()
            process.wait(10)
            end = time.monotonic() + 5
            while "tun0" in self.ip(side, "-br link") and time.monotonic() < end:
                time.sleep(0.005)

    # What is done in a namespace

    def within(self, name: str, what: Callable[[], T]) -> T:
        """Call it on a thread that lives there."""

        def there() -> T:
            with Path(f"/run/netns/{self.ns(name)}").open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter {name}")
            return what()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(there).result()

    def helper(self, verb: str, key: str = "vpn", rules: Policy = POLICY) -> None:
        """What the helper does for VERB KEY, in the house."""
        words = ["ip", "netns", "exec", self.ns("house"), sys.executable, "-ISc", HELPER, HELPER_FOLDER]
        done = subprocess.run(
            [*words, json.dumps(rules), verb, key], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr

    def socket(self, name: str, family: int, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        inet = socket.AF_INET if family == 4 else socket.AF_INET6
        made = self.within(name, functools.partial(socket.socket, inet, kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def ask(self, family: int = 4, where: dict[int, str] = INTERNET, *, within: float = 1.0) -> str:
        """Who answers the container's packet: isp, vpn, lan, "blocked" (at once) or "nobody"."""
        with self.socket("cont", family) as made:
            # Without it the kernel keeps "unreachable" to itself (ip(7), ipv6(7)).
            made.setsockopt(*((socket.IPPROTO_IP, 11) if family == 4 else (socket.IPPROTO_IPV6, 25)), 1)
            made.connect((where[family], PORT))
            made.settimeout(0.1)
            end = time.monotonic() + within
            while time.monotonic() < end:
                try:
                    made.send(b"?")
                    return made.recv(100).decode().split()[0]
                except TimeoutError:
                    continue
                except OSError:
                    return "blocked"
            return "nobody"

    @contextmanager
    def flood(self) -> Iterator[None]:
        """While inside, the container sends to the Internet, IPv4 and IPv6 in turn, from one socket each."""
        stop = threading.Event()
        made = {family: self.socket("cont", family) for family in (4, 6)}

        def send() -> None:
            while not stop.wait(0.0005):
                for family, sender in made.items():
                    try:
                        sender.sendto(b"flood", (INTERNET[family], PORT))
                    except OSError:  # the kernel says that it is unreachable
                        pass

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for sender in made.values():
                sender.close()

    @contextmanager
    def listening(self) -> Iterator["Ears"]:
        ears = Ears(self)
        try:
            yield ears
        finally:
            ears.close()


class Ears:
    """Hear, count and answer what arrives: {(namespace, family): packets}."""

    def __init__(self, lab: Lab) -> None:
        self.heard: dict[tuple[str, int], int] = {}
        self._selector = selectors.DefaultSelector()
        self._open = True
        for name in ("isp", "vpn", "lan"):
            for family in (4, 6):
                made = lab.socket(name, family)
                made.bind(((NEIGHBOUR if name == "lan" else INTERNET)[family], PORT))
                self.heard[name, family] = 0
                self._selector.register(made, selectors.EVENT_READ, (name, family))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while self._open:
            for key, _ in self._selector.select(0.05):
                made: socket.socket = key.fileobj  # type: ignore[assignment]
                data, sender = made.recvfrom(2048)
                self.heard[key.data] += 1
                try:
                    made.sendto(f"{key.data[0]} {data.decode()}".encode(), sender)
                except OSError:  # without a firewall the container's own address comes here
                    pass

    def forget(self) -> None:
        time.sleep(0.02)  # what is on the wire arrives
        for where in self.heard:
            self.heard[where] = 0

    @property
    def leaked(self) -> int:
        """Packets that took the plain uplink."""
        return self.heard["isp", 4] + self.heard["isp", 6]

    @property
    def carried(self) -> int:
        """Packets that took the tunnel."""
        return self.heard["vpn", 4] + self.heard["vpn", 6]

    def close(self) -> None:
        self._open = False
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
