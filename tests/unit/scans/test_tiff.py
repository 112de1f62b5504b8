"""Our own readers of headers, fed what no scanner wrote."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.scans import png, tiff

HEADS = [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0" + b"\x10" + bytes(7), png.SIGNATURE]


@given(st.sampled_from(HEADS), st.binary(max_size=400))
@settings(deadline=None, max_examples=300)
def test_no_bytes_upset_the_readers_of_headers(head: bytes, rest: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(head + rest)
        file.flush()
        assert len(tiff.page_tags(file.fileno())) <= tiff.MOST_PAGES + 1
        density = png.density(file.fileno())
        assert density is None or len(density) == 2


def test_directories_that_go_round_in_a_circle_are_read_once() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(HEADS[0] + b"\0\0" + b"\x08\0\0\0" + bytes(8))
        file.flush()
        assert tiff.page_tags(file.fileno()) == [{}]
