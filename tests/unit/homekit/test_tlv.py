"""TLV8 is read as it was written, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyhap import tlv

from bridge.homekit.tlv import Malformed, decode

# HAP-python cannot write a value whose length is a multiple of 255, so no such value here.
VALUES = st.binary(max_size=900).filter(lambda value: len(value) % 255 or len(value) <= 255)


@given(st.dictionaries(st.binary(min_size=1, max_size=1), VALUES, max_size=6))
def test_what_was_written_is_read(fields: dict[bytes, bytes]) -> None:
    assert decode(tlv.encode(*(part for field in fields.items() for part in field))) == fields


@given(st.binary(max_size=600))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        fields = decode(data)
    except Malformed:
        return
    assert sum(map(len, fields.values())) <= len(data)


@pytest.mark.parametrize(
    "data", [b"\x06", b"\x06\x02\x01", b"\x06\x01\x01\x06\x01\x03", b"\x06\x01\x01\x00\x01\x00\x06\x01\x03"]
)
def test_what_is_cut_short_or_said_twice_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_a_field_that_is_missing_makes_it_malformed() -> None:
    with pytest.raises(Malformed, match="no field 06"):
        decode(b"")[b"\x06"]
