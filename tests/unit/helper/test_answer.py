import json

from bridge.helper.answer import Refusal, answer


def test_what_was_done_is_ok() -> None:
    assert json.loads(answer(None)) == {"ok": True}


def test_a_refusal_says_its_code_and_its_reason() -> None:
    said = json.loads(answer(Refusal("denied", "no")))
    assert said == {"ok": False, "error": "denied", "reason": "no"}


def test_the_answer_is_one_line_of_printable_ascii_whatever_the_reason() -> None:
    line = answer(Refusal("failed", "a\nb\x1b[31m \udc80 Bücher\r\n"))
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in line[:-1])
    assert json.loads(line)["reason"] == "a?b?[31m ? Bücher"


def test_the_answer_fits_into_one_write_of_a_pipe() -> None:
    assert len(answer(Refusal("failed", "\U0001f514" * 10_000))) < 4096
