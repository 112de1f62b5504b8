"""Codes that HomeKit takes, and places that are given once."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.homekit.identity import (
    TooMany,
    firmware_revision,
    new_device_id,
    new_keys,
    new_setup_code,
    seat,
)
from bridge.rules import MOST_ACCESSORIES, is_setup_code


@pytest.mark.parametrize("code", ["031-45-154", "000-00-001", "123-45-679"])
def test_a_good_setup_code_is_taken(code: str) -> None:
    assert is_setup_code(code)


@pytest.mark.parametrize(
    "code",
    [f"{digit * 3}-{digit * 2}-{digit * 3}" for digit in "0123456789"]
    + ["123-45-678", "876-54-321", "03145154", "031-45-15", "031-45-1545", "٠٣١-٤٥-١٥٤", "031-45-154\n", ""],
)
def test_a_setup_code_that_everyone_tries_or_no_phone_takes_is_refused(code: str) -> None:
    assert not is_setup_code(code)


def test_made_codes_and_ids_are_good_and_differ() -> None:
    assert all(is_setup_code(new_setup_code()) for _ in range(200))
    assert len({new_setup_code() for _ in range(200)}) > 190
    assert re.fullmatch(r"([0-9A-F]{2}:){5}[0-9A-F]{2}", new_device_id())
    assert re.fullmatch(r"[0-9A-Z]{4}", new_keys().setup_id)


KEYS = st.lists(st.sampled_from("abcdefghij"), unique=True)


@given(st.lists(KEYS, max_size=8))
def test_whatever_comes_and_goes_nobody_gets_the_place_of_another(configurations: list[list[str]]) -> None:
    keys = new_keys()
    given_: dict[str, int] = {}
    for configuration in configurations:
        keys = seat(keys, {key: ("Switch", key.upper()) for key in configuration})
        for key, place in keys.places.items():
            assert given_.setdefault(key, place.aid) == place.aid
    assert len(set(given_.values())) == len(given_)
    assert not {0, 1, 7} & set(given_.values())


def test_a_new_name_takes_the_place_of_what_the_phone_called_it() -> None:
    keys = seat(new_keys(), {"a": ("Switch", "Old")})
    keys = replace(keys, places={"a": replace(keys.places["a"], called="Mine")})
    assert seat(keys, {"a": ("Switch", "Old")}).places["a"].called == "Mine"
    assert seat(keys, {"a": ("Switch", "New")}).places["a"].called == ""


def test_another_face_under_the_same_key_is_another_accessory() -> None:
    keys = seat(new_keys(), {"a": ("Switch", "A")})
    assert seat(keys, {"a": ("OccupancySensor", "A")}).places["a"].aid > keys.places["a"].aid


def test_too_many_without_anything_to_forget_says_what_else_to_do() -> None:
    wanted = {str(number): ("Switch", "S") for number in range(MOST_ACCESSORIES + 1)}
    with pytest.raises(TooMany, match=r"150 accessories, but HomeKit takes 149.*companions count"):
        seat(new_keys(), wanted)


@pytest.mark.parametrize(
    ("version", "revision"),
    [("1.2.3", "1.2.3"), ("0.3.0.dev1", "0.3.0"), ("2", "2"), ("1.2rc1", "1.2"), ("unknown", "0")],
)
def test_a_version_is_said_as_homekit_takes_it(version: str, revision: str) -> None:
    assert firmware_revision(version) == revision
