"""Monit's sentences, and what is said about those that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.schema import Wrong
from bridge.watchdog.rules import Rule, machine_memory, rule, size

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cpu > 13% for 3 cycles", Rule("", "cpu", ">", 13, count=3, within=3)),
        (
            "if total cpu usage >= 12.5 % for 1 cycle then alert",
            Rule("", "total cpu", ">=", 12.5, restart=False),
        ),
        (
            "TotalCPU < 1% 2 times within 5 cycles then restart",
            Rule("", "total cpu", "<", 1, count=2, within=5),
        ),
        ("memory > 2 GiB for 5 cycles", Rule("", "memory", ">", 2 * GIB, count=5, within=5)),
        ("total memory <= 1.5GB", Rule("", "memory", "<=", 1.5 * GIB)),
        ("memory > 512 m", Rule("", "memory", ">", GIB / 2)),
        ("memory > 100 B", Rule("", "memory", ">", 100)),
        ("memory > 20%", Rule("", "memory", ">", 20, share=True)),
        ("unhealthy for 2 cycles", Rule("", "unhealthy", count=2, within=2)),
        ("  unhealthy   then   alert ", Rule("", "unhealthy", restart=False)),
    ],
)
def test_a_sentence_is_read_as_monit_reads_it(text: str, found: Rule) -> None:
    read = rule(text)
    assert read == Rule(text, *(getattr(found, name) for name in Rule.__slots__[1:]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write cpu"),
        ("disk > 3%", "write cpu"),
        ("cpus > 3%", "write cpu"),
        ("cpu", "needs a limit"),
        ("cpu = 13%", "needs a limit"),
        ("cpu > %", "needs a limit"),
        ("cpu > 13", "is no limit for cpu"),
        ("cpu > 2 GiB", "is no limit for cpu"),
        ("memory > 2", "is no limit for memory"),
        ("memory > 2 apples", "is no limit for memory"),
        ("cpu > 13% for 0 cycles", "0 of 0 cycles"),
        ("cpu > 13% for 65 cycles", "65 of 65 cycles"),
        ("cpu > 13% 5 times within 3 cycles", "no more times than cycles"),
        ("cpu > 13% for three cycles", "not understood from 'for three cycles' on"),
        ("cpu > 13% for 3 cycles then stop", "not understood from 'then stop' on"),
        ("cpu > 13% then restart now", "not understood from 'now' on"),
        ("unhealthy > 3%", "not understood from '> 3%' on"),
    ],
)
def test_what_is_no_rule_is_told_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(Wrong, match=r"; ") as wrong:
        rule(text)
    assert said in str(wrong.value)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    for written in (text, f"cpu > 13% {text}", f"memory > 1{text}"):
        try:
            rule(written)
        except Wrong:
            pass


@given(
    st.sampled_from(["cpu", "total cpu"]),
    st.sampled_from([">", "<", ">=", "<="]),
    st.integers(0, 99),
    st.integers(1, 64).flatmap(lambda within: st.tuples(st.integers(1, within), st.just(within))),
)
def test_a_rule_that_is_shown_can_be_written_again(
    what: str, compare: str, limit: int, cycles: tuple[int, int]
) -> None:
    made = Rule("", what, compare, limit, False, *cycles)
    read = rule(str(made))
    assert (read.what, read.compare, read.limit, read.count, read.within) == (what, compare, limit, *cycles)


def test_a_limit_in_percent_of_the_memory_is_of_all_the_machine_has() -> None:
    read = rule("memory > 50%")
    assert read.passed(machine_memory() * 0.51) and not read.passed(machine_memory() * 0.49)
    assert str(read) == "memory > 50 % of the memory for 1 cycle"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1536, "1.5 KiB"), (3 * GIB, "3 GiB"), (5000 * GIB, "4.883 TiB")]
)
def test_sizes_are_shown_in_the_largest_fitting_unit(count: int, shown: str) -> None:
    assert size(count) == shown
