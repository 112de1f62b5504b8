import stat
from pathlib import Path

import pytest

from bridge.helper import policy
from bridge.helper.answer import Refusal
from tests.fakes.ownership import Ownership


def test_a_policy_of_this_version_is_read(owners: Ownership, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"version": 1, "units": []}')
    assert policy.read(str(path)) == {"version": 1, "units": []}


def test_without_a_policy_nothing_is_allowed(owners: Ownership, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="is missing; run: sudo bellpull apply") as refused:
        policy.read(f"{tmp_path}/policy.json")
    assert refused.value.code == "policy"


def test_a_policy_that_others_can_write_is_unsafe(owners: Ownership, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"version": 1}')
    owners.open_to(path, stat.S_IWGRP)
    with pytest.raises(Refusal, match="others than root") as refused:
        policy.read(str(path))
    assert refused.value.code == "unsafe"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"{}", b'{"version": 2}', b"\xff", b"[" * 100_000, b" " * (policy.LARGEST + 1)],
    ids=["empty", "cut", "a list", "no version", "another version", "no text", "deep", "large"],
)
def test_anything_else_is_no_policy(text: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        policy.parse(text)
    assert refused.value.code == "policy"
