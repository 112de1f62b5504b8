"""The other mDNS of a Linux server sees what we advertise, and both live on one port."""

import time

from tests.e2e.box import Box
from tests.phone import Phone


def browsed(box: Box) -> list[str]:
    """What avahi-browse resolves on IPv4: "=;IFACE;IPv4;NAME;TYPE;DOMAIN;HOST;ADDRESS;PORT;TXT"."""
    lines = box.run(["avahi-browse", "-rptk", "_hap._tcp"]).stdout.splitlines()
    return [line for line in lines if line.startswith("=;") and ";IPv4;" in line]


def wait_until_browsed(box: Box) -> str:
    deadline = time.monotonic() + 20
    while not (lines := browsed(box)):
        assert time.monotonic() < deadline, "avahi does not see the bridge"
    return lines[0]


async def test_avahi_browse_sees_and_resolves_the_bridge(installed: Box) -> None:
    installed.run(["systemctl", "start", "avahi-daemon"])
    installed.run(["systemctl", "enable", "--now", "bellpull"])
    line = wait_until_browsed(installed)
    assert line.split(";")[3].startswith("Bellpull")
    assert f";{installed.address};" in line
    for text in ('"sf=1"', '"ci=2"', '"pv=1.1"', '"md=Bellpull"'):
        assert text in line
    await (await installed.lan.run(Phone.find("Bellpull"))).close()


def test_avahi_browse_hears_the_goodbye(installed: Box) -> None:
    installed.run(["systemctl", "start", "avahi-daemon"])
    installed.run(["systemctl", "enable", "--now", "bellpull"])
    wait_until_browsed(installed)
    installed.run(["systemctl", "stop", "bellpull"])
    deadline = time.monotonic() + 10
    while browsed(installed):
        assert time.monotonic() < deadline, "avahi still sees the bridge"
