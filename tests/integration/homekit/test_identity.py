"""What a home hangs on stays: ids, names, what is gone, and when a phone must look anew."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bridge.homekit import Companion, HomeKit, HomeKitError, Settings
from tests.bridges import CODE, Ours, ours, with_phone
from tests.wire import Wire

CONFIGURED_NAME = 10


async def identity(folder: Path, keys: Iterable[str], **options: Any) -> tuple[dict[str, int], int]:
    """The accessory ids and c# of a bridge with these accessories."""
    async with ours(folder, keys, **options) as bridge:
        stored = bridge.homekit._store.keys
        return {key: place.aid for key, place in stored.places.items()}, stored.config_number


async def test_order_and_what_comes_and_goes_change_no_id(tmp_path: Path) -> None:
    first, _ = await identity(tmp_path, ["files", "web"])
    second, _ = await identity(tmp_path, ["web", "guests", "files"])
    assert first.items() <= second.items()
    third, _ = await identity(tmp_path, ["guests"])
    assert third == second


async def test_the_number_of_the_configuration_goes_up_once_for_each_change_of_description(
    tmp_path: Path,
) -> None:
    disk = {"files": "Disk"}
    _, first = await identity(tmp_path, ["files"])
    assert (await identity(tmp_path, ["files"]))[1] == first
    assert (await identity(tmp_path, ["files"], names=disk))[1] == first + 1
    assert (await identity(tmp_path, ["files", "web"], names=disk))[1] == first + 2
    assert (await identity(tmp_path, ["files", "web"], names=disk))[1] == first + 2
    assert (await identity(tmp_path, ["files", "web"], names=disk, version="1.3"))[1] == first + 3


async def test_a_value_is_no_change_of_description(tmp_path: Path) -> None:
    async with with_phone(tmp_path) as (bridge, phone):
        before = bridge.homekit._store.keys.config_number
        assert (await phone.put([{"aid": 2, "iid": 9, "value": True}])).status == 204
        assert (await phone.put([{"aid": 2, "iid": CONFIGURED_NAME, "value": "Attic"}])).status == 204
    assert (await identity(tmp_path, ["files"]))[1] == before


async def test_an_accessory_that_left_the_configuration_does_not_respond_until_it_is_forgotten(
    tmp_path: Path,
) -> None:
    async with ours(tmp_path, ["files", "web"]) as bridge:
        pairing, web = await bridge.pair(), bridge.on("web")
    async with ours(tmp_path, ["files"]) as bridge, bridge.phone(pairing) as phone:
        assert (await phone.get(web)).statuses == [-70402]
        assert (await phone.put([{"aid": web[0], "iid": web[1], "value": True}])).statuses == [-70402]
        assert name_of(await accessories(phone), web[0]) == "Tile web"
        number = bridge.homekit._store.keys.config_number
        assert await bridge.homekit.forget("files") is False
        assert await bridge.homekit.forget("nobody") is False
        assert await bridge.homekit.forget("web") is True
        assert (await phone.get(web)).statuses == [-70409]
        assert bridge.homekit._store.keys.config_number == number + 1
    assert (await identity(tmp_path, ["files", "web"]))[0]["web"] > web[0]


async def accessories(phone: Wire) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await phone.ask("GET", "/accessories")).json["accessories"]
    return listed


def information(listed: list[dict[str, Any]], aid: int) -> dict[str, Any]:
    """The accessory information by type."""
    [accessory] = [accessory for accessory in listed if accessory["aid"] == aid]
    return {item["type"]: item.get("value") for item in accessory["services"][0]["characteristics"]}


def name_of(listed: list[dict[str, Any]], aid: int) -> str:
    return str(information(listed, aid)["23"])


async def test_every_accessory_says_who_made_it_and_has_a_number_of_its_own(
    bridge: Ours, phone: Wire
) -> None:
    listed = await accessories(phone)
    about = [information(listed, accessory["aid"]) for accessory in listed]
    assert {item["20"] for item in about} == {"Bellpull"}
    assert {item["52"] for item in about} == {"1.2.3"}
    serials = [item["30"] for item in about]
    assert len(set(serials)) == len(serials) == 4
    assert all(2 <= len(serial) <= 64 for serial in serials)


# Names


async def test_a_name_given_on_a_phone_holds_until_the_configuration_gives_another(tmp_path: Path) -> None:
    async with with_phone(tmp_path) as (bridge, phone):
        aid = bridge.on("files")[0]
        assert (await phone.put([{"aid": aid, "iid": CONFIGURED_NAME, "value": "Attic"}])).status == 204
    for names, expected in (({}, "Attic"), ({"files": "Disk"}, "Disk"), ({"files": "Disk"}, "Disk")):
        async with ours(tmp_path, ["files"], names=names) as bridge:
            assert bridge.homekit._faces["files"].named.value == expected


@pytest.mark.parametrize("name", ["", "x" * 65, 3, None])
async def test_a_name_that_is_none_is_refused(bridge: Ours, phone: Wire, name: Any) -> None:
    answer = await phone.put([{"aid": 2, "iid": CONFIGURED_NAME, "value": name}])
    assert answer.statuses == [-70410]


async def test_a_new_name_is_heard_by_the_others(bridge: Ours, phone: Wire, other: Wire) -> None:
    for wire in (phone, other):
        await wire.listen((2, CONFIGURED_NAME))
    await phone.put([{"aid": 2, "iid": CONFIGURED_NAME, "value": "Attic"}])
    [event] = await other.news()
    assert event["characteristics"][0]["value"] == "Attic"
    assert await phone.quiet(0.1)


async def test_a_phone_that_asks_which_one_it_is_gets_a_line(bridge: Ours, phone: Wire) -> None:
    assert (await phone.put([{"aid": 2, "iid": 2, "value": True}])).status == 204
    assert (await phone.put([{"aid": 1, "iid": 2, "value": True}])).status == 204
    assert [key for key, _ in bridge.identified] == ["files", ""]
    assert all(who.startswith("HomeKit ") for _, who in bridge.identified)


# Bounds and errors


async def test_the_hundred_and_fiftieth_accessory_is_an_error(tmp_path: Path) -> None:
    keys = [f"switch{number}" for number in range(148)]
    companion = Companion("switch0.trouble", "Trouble")
    async with ours(tmp_path, keys, companions=(companion,)) as bridge:
        assert len(bridge.homekit._faces) == 149
    with pytest.raises(HomeKitError, match=r"150 accessories.*forget KEY.*switch0\.trouble"):
        await identity(tmp_path, [*keys, "one more"])


async def test_a_port_that_is_taken_is_said_in_a_line(bridge: Ours, tmp_path: Path) -> None:
    second = HomeKit(Settings("B", "127.0.0.1", bridge.port, CODE), [], tmp_path / "two", version="1")
    with pytest.raises(HomeKitError, match=r"port \d+ is taken .* bridge\.port"):
        await second.start()


async def test_an_address_that_is_not_here_is_said_in_a_line(tmp_path: Path) -> None:
    homekit = HomeKit(Settings("B", "203.0.113.7", 0, CODE), [], tmp_path / "keys", version="1")
    with pytest.raises(HomeKitError, match=r"no address 203\.0\.113\.7.* bridge\.address"):
        await homekit.start()


async def test_a_broken_key_store_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a folder")
    with pytest.raises(HomeKitError, match="must belong to the bridge's user"):
        HomeKit(Settings("B", "127.0.0.1", 0, CODE), [], tmp_path / "keys", version="1")
