"""What has to stand on other bridges, and in which order it comes and goes."""

from bridge.helper.docker import Network
from bridge.helper.fences import NONE, Fences, after, fences, lines, rules

OURS = Network("0-bellpull-tv", "vpn-tv", {"tv": ("172.20.0.2",)})
WEB = Network("web", "br-web", {"tv": ("172.21.0.2", "fd21::2"), "shop": ("172.21.0.3",), "mute": ()})
QUIET = Network("quiet", "br-quiet", {"shop": ("172.22.0.3",)})


def test_a_pinned_container_is_stopped_by_its_other_addresses_alone() -> None:
    wanted = fences([OURS, WEB, QUIET], {"vpn-tv"}, {"tv": True}, ())
    assert wanted == Fences(frozenset({("br-web", "172.21.0.2"), ("br-web", "fd21::2")}))


def test_one_that_is_not_pinned_is_walled_in_and_others_pass() -> None:
    wanted = fences([OURS, WEB, QUIET], {"vpn-tv"}, {"tv": False}, ())
    assert wanted.walls == {"br-web"}
    assert wanted.allowed == {("br-web", "172.21.0.3")}


def test_a_wall_stands_where_one_may_come_up_but_never_on_a_bridge_of_ours() -> None:
    wanted = fences([OURS, QUIET], {"vpn-tv"}, {}, ["br-quiet", "br-gone", "vpn-tv"])
    assert wanted == Fences(
        walls=frozenset({"br-quiet", "br-gone"}), allowed=frozenset({("br-quiet", "172.22.0.3")})
    )


def test_what_stops_comes_first_and_goes_last() -> None:
    wanted = Fences(
        frozenset({("br-web", "172.21.0.2"), ("br-web", "fd21::2")}),
        frozenset({"br-web"}),
        frozenset({("br-web", "172.21.0.3")}),
    )
    standing = rules(wanted, "4", ["192.168.1.0/24"])
    added = lines(standing, [])
    assert added == [
        "rule add pref 4745 from 172.21.0.2 iif br-web type unreachable protocol 217",
        "rule add pref 4760 iif br-web type unreachable protocol 217",
        "rule add pref 4740 to 192.168.1.0/24 iif br-web lookup 254 protocol 217",
        "rule add pref 4750 from 172.21.0.3 iif br-web lookup 254 protocol 217",
    ]
    assert lines(standing, standing) == []
    assert after([], added) == {*standing} and after(standing, lines([], standing)) == set()
    taken = lines(rules(NONE, "4", []), standing)
    assert [line.split()[3] for line in taken] == ["4740", "4745", "4750", "4760"]
    assert rules(wanted, "6", [])[0].split()[3] == "fd21::2"


def test_a_new_guard_stands_before_the_wall_goes() -> None:
    wall = ["pref 4760 iif br-web type unreachable protocol 217"]
    changed = lines(rules(Fences(frozenset({("br-web", "172.21.0.2")})), "4", []), wall)
    assert [line.split()[:4] for line in changed] == [
        ["rule", "add", "pref", "4745"],
        ["rule", "del", "pref", "4760"],
    ]
