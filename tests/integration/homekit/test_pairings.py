"""Who is let in, who may let in others, and what becomes of it on disk."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohomekit.exceptions import (
    AuthenticationError,
    BusyError,
    InvalidError,
    MaxTriesError,
    UnavailableError,
)
from aiohomekit.protocol.tlv import TLV
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.homekit import HomeKitError, setup
from bridge.homekit.handler import MOST_PAIRINGS
from bridge.homekit.setup import MOST_ATTEMPTS
from bridge.homekit.store import Keys, StoreError
from tests.bridges import CODE, Ours, ours
from tests.wire import Pairing, Response, Wire

WRONG = "111-22-333"


def guest(pairing: Pairing) -> Pairing:
    """Another controller of the same home; the bridge does not know it yet."""
    key = Ed25519PrivateKey.generate()
    return {
        **pairing,
        "iOSPairingId": str(uuid.uuid4()),
        "iOSDeviceLTSK": key.private_bytes_raw().hex(),
        "iOSDeviceLTPK": key.public_key().public_bytes_raw().hex(),
    }


async def add(phone: Wire, pairing: Pairing, *, admin: bool = False) -> Response:
    return await phone.tlv(
        "/pairings",
        [
            (TLV.kTLVType_State, b"\x01"),
            (TLV.kTLVType_Method, b"\x03"),
            (TLV.kTLVType_Identifier, pairing["iOSPairingId"].encode()),
            (TLV.kTLVType_PublicKey, bytes.fromhex(pairing["iOSDeviceLTPK"])),
            (TLV.kTLVType_Permissions, bytes([admin])),
        ],
    )


async def remove(phone: Wire, pairing: Pairing) -> Response:
    return await phone.tlv(
        "/pairings",
        [
            (TLV.kTLVType_State, b"\x01"),
            (TLV.kTLVType_Method, b"\x04"),
            (TLV.kTLVType_Identifier, pairing["iOSPairingId"].encode()),
        ],
    )


async def listed(phone: Wire) -> Response:
    return await phone.tlv("/pairings", [(TLV.kTLVType_State, b"\x01"), (TLV.kTLVType_Method, b"\x05")])


async def attempt(bridge: Ours, code: str) -> Pairing:
    async with Wire.open(bridge.port) as wire:
        return await wire.pair(code)


def full(monkeypatch: pytest.MonkeyPatch, bridge: Ours) -> None:
    """The disk of the key store is full."""

    def write(keys: Keys) -> None:
        raise StoreError("the key store cannot be written: No space left on device")

    monkeypatch.setattr(bridge.homekit._store, "_write", write)


# Pair-setup


async def test_a_bridge_that_is_paired_takes_no_other_home(bridge: Ours, pairing: Pairing) -> None:
    with pytest.raises(UnavailableError):
        await attempt(bridge, CODE)


async def test_a_wrong_code_is_counted_and_the_right_one_ends_the_count(bridge: Ours) -> None:
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            await attempt(bridge, WRONG)
    assert bridge.homekit._store.keys.attempts == 3
    await attempt(bridge, CODE)
    assert bridge.homekit._store.keys.attempts == 0
    assert bridge.homekit.paired


async def test_after_a_hundred_wrong_codes_nobody_pairs_until_it_is_unlocked(tmp_path: Path) -> None:
    async with ours(tmp_path) as bridge:
        await bridge.homekit._change(lambda keys: replace(keys, attempts=MOST_ATTEMPTS - 1))
        with pytest.raises(AuthenticationError):
            await attempt(bridge, WRONG)
        assert bridge.homekit.locked
        with pytest.raises(MaxTriesError):
            await attempt(bridge, CODE)
    async with ours(tmp_path) as bridge:
        with pytest.raises(MaxTriesError):
            await attempt(bridge, CODE)
        await bridge.homekit.unlock()
        await attempt(bridge, CODE)
        assert bridge.homekit.paired


async def test_a_pair_setup_that_goes_away_frees_its_place(bridge: Ours) -> None:
    async with Wire.open(bridge.port) as first:
        await first.start_pairing()
        with pytest.raises(BusyError):
            await attempt(bridge, CODE)
    await asyncio.sleep(0.02)
    await attempt(bridge, CODE)


async def test_a_pair_setup_that_falls_asleep_frees_its_place(
    bridge: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Wire.open(bridge.port) as first:
        await first.start_pairing()
        monkeypatch.setattr(setup, "IDLE", 0.0)
        async with Wire.open(bridge.port) as second:
            await second.start_pairing()


@pytest.mark.parametrize("step", [b"\x03", b"\x05"])
async def test_a_pair_setup_cannot_begin_in_the_middle(bridge: Ours, step: bytes) -> None:
    everything = [
        (TLV.kTLVType_State, step),
        (TLV.kTLVType_PublicKey, b"\x02"),
        (TLV.kTLVType_Proof, bytes(64)),
        (TLV.kTLVType_EncryptedData, bytes(64)),
    ]
    async with Wire.open(bridge.port) as wire:
        assert (await wire.tlv("/pair-setup", everything)).error == 2
    assert not bridge.homekit.paired


async def test_a_proof_cannot_be_skipped(bridge: Ours) -> None:
    async with Wire.open(bridge.port) as wire:
        await wire.start_pairing()
        sealed = [(TLV.kTLVType_State, b"\x05"), (TLV.kTLVType_EncryptedData, bytes(64))]
        assert (await wire.tlv("/pair-setup", sealed)).error == 2
    assert not bridge.homekit.paired


async def test_a_pairing_that_cannot_be_stored_is_refused_whole(
    bridge: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(patch, bridge)
        with pytest.raises(InvalidError):
            await attempt(bridge, CODE)
        assert not bridge.homekit.paired
        assert bridge.homekit._driver.state.paired is False
    await attempt(bridge, CODE)
    assert bridge.homekit.paired


async def test_a_wrong_code_that_cannot_be_counted_is_no_free_guess(
    bridge: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, bridge)
    async with Wire.open(bridge.port) as wire:
        with pytest.raises(InvalidError):
            await wire.pair(WRONG)


# The home's members


async def test_an_admin_invites_a_guest_who_may_switch_and_not_invite(
    bridge: Ours, pairing: Pairing, phone: Wire
) -> None:
    visitor = guest(pairing)
    assert (await add(phone, visitor)).error == 0
    async with bridge.phone(visitor) as wire:
        assert (await wire.put([{"aid": 2, "iid": 9, "value": True}])).status == 204
        for answer in (await add(wire, guest(pairing)), await remove(wire, pairing), await listed(wire)):
            assert answer.error == 2
    assert [(who["id"], who["admin"]) for who in bridge.homekit.pairings()] == [
        (pairing["iOSPairingId"], True),
        (visitor["iOSPairingId"], False),
    ]


async def test_the_list_of_pairings_gives_ids_as_they_were_spelt(
    bridge: Ours, pairing: Pairing, phone: Wire
) -> None:
    visitor = guest(pairing)
    visitor["iOSPairingId"] = visitor["iOSPairingId"].upper()
    await add(phone, visitor)
    body = (await listed(phone)).body
    assert pairing["iOSPairingId"].encode() in body
    assert visitor["iOSPairingId"].encode() in body


async def test_nobody_takes_the_name_of_another_member(bridge: Ours, pairing: Pairing, phone: Wire) -> None:
    visitor = guest(pairing)
    await add(phone, visitor)
    impostor = guest(pairing) | {"iOSPairingId": visitor["iOSPairingId"]}
    assert (await add(phone, impostor)).error == 1
    assert (await add(phone, visitor, admin=True)).error == 0


async def test_a_home_has_so_many_members_and_no_more(bridge: Ours, pairing: Pairing, phone: Wire) -> None:
    for _ in range(MOST_PAIRINGS - 1):
        assert (await add(phone, guest(pairing))).error == 0
    assert (await add(phone, guest(pairing))).error == 4


async def test_without_an_admin_nobody_is_left_and_the_bridge_can_be_paired_anew(
    bridge: Ours, pairing: Pairing, phone: Wire
) -> None:
    visitor = guest(pairing)
    await add(phone, visitor)
    async with bridge.phone(visitor) as wire:
        assert (await remove(phone, pairing)).error == 0
        assert await wire.closed()
        assert await phone.closed()
    assert not bridge.homekit.paired
    assert bridge.homekit._driver.state.paired is False
    await attempt(bridge, CODE)


async def test_removing_somebody_unknown_goes_well(bridge: Ours, pairing: Pairing, phone: Wire) -> None:
    assert (await remove(phone, guest(pairing))).error == 0
    assert bridge.homekit.paired


async def test_who_was_removed_does_not_get_in_again(bridge: Ours, pairing: Pairing, phone: Wire) -> None:
    visitor = guest(pairing)
    await add(phone, visitor)
    await remove(phone, visitor)
    async with Wire.open(bridge.port) as wire:
        with pytest.raises(AuthenticationError):
            await wire.verify(visitor)


@pytest.mark.parametrize("change", [add, remove])
async def test_a_change_of_members_that_cannot_be_stored_is_refused(
    bridge: Ours, pairing: Pairing, phone: Wire, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = guest(pairing)
    if change is remove:
        await add(phone, visitor)
    before = bridge.homekit.pairings()
    full(monkeypatch, bridge)
    assert (await change(phone, visitor)).error == 1
    assert bridge.homekit.pairings() == before


async def test_a_reset_hangs_up_on_everyone_and_is_another_bridge_to_them(
    bridge: Ours, pairing: Pairing, phone: Wire
) -> None:
    before = bridge.homekit._store.keys
    await bridge.homekit.reset()
    assert await phone.closed()
    after = bridge.homekit._store.keys
    assert not bridge.homekit.paired
    assert after.device_id != before.device_id
    assert (after.setup_code, after.setup_id, after.places) == (
        before.setup_code,
        before.setup_id,
        before.places,
    )
    await attempt(bridge, CODE)


async def test_a_pairing_survives_a_restart(tmp_path: Path) -> None:
    async with ours(tmp_path) as bridge:
        pairing = await bridge.pair()
    async with ours(tmp_path) as bridge, bridge.phone(pairing) as phone:
        assert (await phone.get(bridge.on("files"))).status == 200


async def test_a_reset_that_cannot_be_stored_says_so(bridge: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, bridge)
    with pytest.raises(HomeKitError, match="No space left"):
        await bridge.homekit.reset()


@pytest.mark.parametrize(
    "fields",
    [
        [(TLV.kTLVType_State, b"\x01"), (TLV.kTLVType_Method, b"\x09")],
        [(TLV.kTLVType_State, b"\x01")],
        [(TLV.kTLVType_Method, b"\x03"), (TLV.kTLVType_Identifier, b"not a uuid")],
    ],
)
async def test_a_request_about_members_that_makes_no_sense_is_refused(
    bridge: Ours, phone: Wire, fields: list[tuple[int, bytes]]
) -> None:
    assert (await phone.tlv("/pairings", fields)).status == 400
    assert len(bridge.homekit.pairings()) == 1


async def test_a_permission_that_is_none_is_refused(bridge: Ours, pairing: Pairing, phone: Wire) -> None:
    visitor = guest(pairing)
    fields = [
        (TLV.kTLVType_Method, b"\x03"),
        (TLV.kTLVType_Identifier, visitor["iOSPairingId"].encode()),
        (TLV.kTLVType_PublicKey, bytes.fromhex(visitor["iOSDeviceLTPK"])),
        (TLV.kTLVType_Permissions, b"\x07"),
    ]
    assert (await phone.tlv("/pairings", fields)).status == 400


async def test_who_is_verified_does_not_verify_again(phone: Wire) -> None:
    assert (await phone.tlv("/pair-verify", [(TLV.kTLVType_State, b"\x01")])).status == 400


async def test_pair_setup_has_three_steps(bridge: Ours) -> None:
    async with Wire.open(bridge.port) as wire:
        assert (await wire.tlv("/pair-setup", [(TLV.kTLVType_State, b"\x07")])).status == 400


async def test_a_name_that_is_no_controllers_is_not_paired(
    bridge: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: "no uuid of 36 characters, but nearly")
    with pytest.raises(AuthenticationError):
        await attempt(bridge, CODE)
    assert not bridge.homekit.paired


def test_the_qr_code_says_code_and_setup_id(bridge: Ours) -> None:
    prefix, payload = bridge.homekit.setup_uri[:7], bridge.homekit.setup_uri[7:]
    assert prefix == "X-HM://"
    assert payload[9:] == bridge.homekit._store.keys.setup_id
    number = int(payload[:9], 36)
    assert number & (2**27 - 1) == int(CODE.replace("-", ""))
    assert number >> 31 & 0xFF == 2  # the category: a bridge
    assert number >> 27 & 0xF == 2  # it is on the network
