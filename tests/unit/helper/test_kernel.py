"""What is written to the kernel and read from it; the kernel's end of the socket is a fake."""

import ctypes
import os
import struct
from pathlib import Path

import pytest

from bridge.helper import kernel, netlink
from bridge.helper.answer import Refusal
from bridge.helper.kernel import Link, Seen
from bridge.helper.netlink import attribute
from tests.fakes.rtnetlink import FakeRtnetlink

RULES = {
    "4": [
        "pref 4700 to 192.168.1.0/24 iif vpn-tv lookup 254 protocol 217",
        "pref 4710 lookup 254 suppress_prefixlength 0 protocol 217",
        "pref 4721 iif vpn-tv type unreachable protocol 217",
        "pref 4730 from 10.8.0.2 lookup 24810 protocol 217",
    ],
    "6": [
        "pref 4700 to fd00::/8 iif vpn-tv lookup 254 protocol 217",
        "pref 4745 from fd00::5 type unreachable protocol 217",
    ],
}
ROUTES = {
    "4": [
        "default dev tun0 table 24810 metric 10 protocol 217",
        "default via 10.1.0.1 dev tun0 table 24811 protocol 217",
    ],
    "6": ["default via fe80::1 dev tun0 table 24810 metric 10 protocol 217"],
}


def link(name: str, index: int, flags: int = 1) -> tuple[int, bytes]:
    return 16, struct.pack("=BxHiII", 0, 0, index, flags, 0) + attribute(3, name.encode() + b"\0")


def address(
    index: int, packed: bytes, length: int, scope: int = 0, *, peer: bytes = b""
) -> tuple[int, bytes]:
    body = struct.pack("=BBBBI", 2 if len(packed) == 4 else 10, length, 0, scope, index)
    return 20, body + (attribute(1, peer) + attribute(2, packed) if peer else attribute(1, packed))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRtnetlink:
    fake = FakeRtnetlink()
    monkeypatch.setattr(netlink, "_socket", lambda: fake)
    monkeypatch.setattr(kernel, "IPV6", str(tmp_path))
    fake.there = {18: [link("lo", 1), link("tun0", 5, 0x11)], 22: [], 26: [], 34: []}
    fake.single = {18: link("tun0", 5, 0x11)}
    return fake


def test_rules_are_read_in_the_words_they_were_laid_in(fake: FakeRtnetlink) -> None:
    for family, rules in RULES.items():
        fake.sent.clear()
        kernel.change({family: [f"rule add {rule}" for rule in rules]})
        assert {kind for kind, _ in fake.sent} == {32}
        fake.there[34] = [*fake.sent]
        assert kernel.rules(family) == rules
        fake.sent.clear()
        kernel.change({family: [f"rule del {rule}" for rule in rules]})
        assert fake.sent == [(33, body) for _, body in fake.there[34]], "a rule goes by all that it says"


def test_routes_are_read_in_the_words_they_were_laid_in(fake: FakeRtnetlink) -> None:
    for family, routes in ROUTES.items():
        fake.sent.clear()
        kernel.change({family: [f"route replace {route}" for route in routes]})
        fake.there[26] = [*fake.sent]
        assert kernel.look()[family].routes == routes


def test_of_what_is_strange_only_default_routes_with_a_gateway_are_seen(fake: FakeRtnetlink) -> None:
    def route(length: int, table: int, *parts: bytes, protocol: int = 4) -> tuple[int, bytes]:
        return 24, struct.pack("=BBBBBBBBI", 2, length, 0, 0, table, protocol, 0, 1, 0) + b"".join(parts)

    out, by = attribute(4, struct.pack("=I", 5)), attribute(5, bytes([10, 1, 0, 1]))
    fake.there[26] = [
        *(route(0, 254, out, by), route(24, 254, out), route(0, 254, out), route(0, 99, out, by)),
        route(0, 99, protocol=217),
    ]
    strange = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 255, 0, 0, 1, 0)
    fake.there[34] = [(32, strange), (32, strange + attribute(21, b"\x02"))]
    seen = kernel.look()["4"]
    assert seen.rules == [] and seen.defaults == [("tun0", "10.1.0.1")]
    assert seen.routes == ["default dev  table 99 protocol 217"]
    fake.there[34] = [(32, strange + attribute(21, bytes([217])))]
    assert kernel.rules("4") == ["pref 0 lookup 255 protocol 217"]


def test_links_have_their_own_global_addresses(fake: FakeRtnetlink) -> None:
    six = bytes.fromhex("fd" + "00" * 14 + "02")
    fake.there[22] = [
        address(5, bytes([10, 8, 0, 2]), 32, peer=bytes([10, 8, 0, 1])),
        address(5, six, 64),
        address(5, bytes.fromhex("fe80" + "00" * 13 + "02"), 64, 253),
    ]
    tunnel = Link("tun0", 5, 0x11, (("10.8.0.2", 32), ("fd00::2", 64)))
    assert kernel.links() == [Link("lo", 1, 1), tunnel]
    assert tunnel.of("4") == [("10.8.0.2", 32)] and tunnel.of("6") == [("fd00::2", 64)]


def test_a_kernel_without_ipv6_is_not_asked_about_it(
    fake: FakeRtnetlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(kernel.look()) == ["6", "4"]
    monkeypatch.setattr(kernel, "IPV6", "/nowhere")
    assert kernel.look() == {"4": Seen([Link("lo", 1, 1), Link("tun0", 5, 0x11)], [], [], [])}


def test_the_way_of_a_packet_is_an_interface_or_none(fake: FakeRtnetlink) -> None:
    answer = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 1, 0)
    fake.single[26] = (24, answer + attribute(4, struct.pack("=I", 5)))
    assert kernel.way("4", "192.0.2.1") == "tun0"
    fake.single[26] = (24, answer + attribute(4, struct.pack("=I", 6)))
    assert kernel.way("4", "192.0.2.1") == ""
    del fake.single[26]
    assert kernel.way("4", "192.0.2.1") == ""


def test_all_is_sent_in_one_piece_and_goes_on_after_what_fails(fake: FakeRtnetlink) -> None:
    fake.refuses = {2: 17, 3: 1}
    with pytest.raises(Refusal, match=r"refuses IPv6: rule add pref 4745 .*: File exists"):
        kernel.change(
            {family: [f"rule add {rule}" for rule in rules] for family, rules in reversed(RULES.items())}
        )
    assert len(fake.sent) == 6 and fake.pieces == 1
    kernel.change({"4": []})
    assert fake.pieces == 1


def test_many_are_sent_in_pieces_whose_answers_fit(fake: FakeRtnetlink) -> None:
    kernel.change({"4": [f"rule add pref {pref} lookup 254 protocol 217" for pref in range(100)]})
    assert len(fake.sent) == 100 and fake.pieces == 2


def test_a_route_by_an_interface_that_is_gone_keeps_no_rule_from_being_laid(fake: FakeRtnetlink) -> None:
    fake.single.clear()
    fake.refuses = {1: 19}
    with pytest.raises(Refusal, match=r"route replace default dev tun0 .*: No such device"):
        kernel.change({"4": [f"route replace {ROUTES['4'][0]}", f"rule add {RULES['4'][0]}"]})
    assert [kind for kind, _ in fake.sent] == [24, 32]
    assert struct.pack("=I", kernel.NOBODY) in fake.sent[0][1]


def test_tables_that_change_while_they_are_read_are_read_again(fake: FakeRtnetlink) -> None:
    fake.cuts = 2
    assert kernel.rules("4") == [] and fake.dumps == 3
    fake.cuts = 99
    assert kernel.rules("4") == [] and fake.dumps == 3 + netlink.READINGS


def test_a_kernel_that_does_not_answer_is_told_of(fake: FakeRtnetlink) -> None:
    del fake.there[34]
    with pytest.raises(Refusal, match="not supported"):
        kernel.rules("4")
    fake.broken = OSError(105, "No buffer space available")
    with pytest.raises(Refusal, match="No buffer space"):
        kernel.rules("4")
    fake.broken = TimeoutError("timed out")
    with pytest.raises(Refusal) as refused:
        kernel.rules("4")
    assert refused.value.code == "timeout"


class FakeLibc:
    """Goes into namespaces, by their files' names; `stuck`: and does not come back."""

    def __init__(self, stuck: bool) -> None:
        self.stuck, self.entered = stuck, list[str]()

    def setns(self, namespace: int, kind: int) -> int:
        self.entered.append(Path(f"/proc/self/fd/{namespace}").readlink().name)
        return int(self.stuck and len(self.entered) > 1)


@pytest.mark.parametrize("stuck", [False, True])
def test_a_container_is_left_before_anything_is_asked_or_the_program_ends(
    fake: FakeRtnetlink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stuck: bool
) -> None:
    libc, ends = FakeLibc(stuck), list[int]()
    (tmp_path / "sandbox").touch()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    monkeypatch.setattr(os, "_exit", ends.append)
    kernel.links(str(tmp_path / "sandbox"))
    assert libc.entered[0] == "sandbox" and libc.entered[1].startswith("net:")
    assert ends == [1] * stuck


# The real one


def test_the_real_kernel_has_a_loopback() -> None:
    loopback = next(link for link in kernel.links() if link.name == "lo")
    assert loopback.number == 1 and loopback.flags & kernel.LOOPBACK
    assert set(kernel.look()) == set(kernel.families())


def test_a_namespace_that_cannot_be_entered_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("/nowhere", str(tmp_path / "file")):
        with pytest.raises(Refusal, match="cannot be asked"):
            kernel.links(place)
