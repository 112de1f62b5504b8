"""A container's default route, held inside it; the kernel here is a fake."""

from typing import Any

import pytest

from bridge.helper import pins
from bridge.helper.kernel import Link
from tests.fakes.kernel import FakeKernel

NETWORK = "0-bellpull-tv"
INSIDE = "/proc/7/ns/net"


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    fake = FakeKernel()
    fake.links_of[INSIDE] = [
        Link("lo", 1, 0, (("127.0.0.1", 8),)),
        Link("eth1", 3, 0, (("172.20.0.2", 16),)),
        Link("tunl0", 2, 0),
    ]
    fake.ways[INSIDE, "4"] = "eth1"
    monkeypatch.setattr(pins, "kernel", fake)
    return fake


def container(gateway6: str = "", pid: int = 7) -> dict[str, Any]:
    there = {"IPAddress": "172.20.0.2", "Gateway": "172.20.0.1", "IPv6Gateway": gateway6}
    return {"Name": "/tv", "State": {"Pid": pid}, "NetworkSettings": {"Networks": {NETWORK: there}}}


def test_what_its_networks_reach_stays_and_all_else_goes_by_our_gateway(kernel: FakeKernel) -> None:
    assert pins.pin(container(), NETWORK) == ""
    assert kernel.rules_of[INSIDE, "4"] == [
        "pref 4710 lookup 254 suppress_prefixlength 0 protocol 217",
        "pref 4720 lookup 24810 protocol 217",
        "pref 4721 type unreachable protocol 217",
    ]
    assert kernel.routes[INSIDE, "4"] == ["default via 172.20.0.1 dev eth1 table 24810 protocol 217"]


def test_a_family_that_our_network_does_not_have_goes_nowhere(kernel: FakeKernel) -> None:
    assert pins.pin(container(), NETWORK) == ""
    assert [rule.split()[1] for rule in kernel.rules_of[INSIDE, "6"]] == ["4710", "4721"]
    assert (INSIDE, "6") not in kernel.routes


def test_pinning_again_adds_nothing_and_lays_the_way_again(kernel: FakeKernel) -> None:
    pins.pin(container(), NETWORK)
    kernel.done.clear()
    assert pins.pin(container(), NETWORK) == ""
    assert [line.split()[1] for line in kernel.done] == ["route"]


def test_a_container_that_changed_its_own_way_is_told_of(kernel: FakeKernel) -> None:
    kernel.ways[INSIDE, "4"] = "eth0"
    assert pins.pin(container(), NETWORK) == "tv leaves by eth0 inside, and not by 0-bellpull-tv"
    del kernel.ways[INSIDE, "4"]
    assert "leaves by nothing" in pins.pin(container(), NETWORK)
    kernel.ways |= {(INSIDE, "4"): "eth1", (INSIDE, "6"): "eth0"}
    assert "leaves by eth0" in pins.pin(container(), NETWORK)


def test_one_that_cannot_be_entered_is_told_of(kernel: FakeKernel) -> None:
    assert pins.pin(container(pid=0), NETWORK) == "the way out of tv cannot be held: it has no process now"
    kernel.links_of.clear()
    assert "no interface with the address 172.20.0.2" in pins.pin(container(), NETWORK)


def test_unpinned_it_is_dockers_again_and_what_closes_goes_first(kernel: FakeKernel) -> None:
    pins.pin(container(), NETWORK)
    kernel.done.clear()
    pins.unpin(container())
    assert kernel.rules_of[INSIDE, "4"] == kernel.rules_of[INSIDE, "6"] == []
    pins.unpin(container(pid=0))
    assert [line.split()[4] for line in kernel.done if ": rule" in line] == [
        "4721",
        "4710",
        "4721",
        "4720",
        "4710",
    ]
