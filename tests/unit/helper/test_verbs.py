import re
from fnmatch import fnmatchcase
from importlib import import_module

import pytest

from bridge.helper import verbs
from bridge.helper.answer import Refusal
from bridge.helper.plan import Plan
from bridge.helper.policy import Policy
from bridge.helper.verbs.unit import NAME

LAMP = {"on": ["/usr/local/bin/lamp", "on", "$HOME"], "timeout": 10}
POLICY: Policy = {
    "version": 1,
    "units": ["smbd.service", "smbd.service; reboot", "*.service"],
    "commands": {"lamp": LAMP},
}


def plan(word: str, name: str, policy: Policy = POLICY) -> Plan:
    made = verbs.find(word)(policy, name)
    assert isinstance(made, Plan)
    return made


def refusal(word: str, name: str, policy: Policy = POLICY) -> str:
    with pytest.raises(Refusal) as refused:
        plan(word, name, policy)
    return refused.value.code


def test_every_word_is_found_in_its_file_and_no_other_word_is_there() -> None:
    for word in verbs.FILES:
        assert callable(verbs.find(word))
    there = {
        word for file in verbs.FILES.values() for word in import_module(f"{verbs.__name__}.{file}").VERBS
    }
    assert there == set(verbs.FILES)


@pytest.mark.parametrize("word", ["", "unit", "unit-kill", "UNIT-START", "__init__", "../unit"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(Refusal) as refused:
        verbs.find(word)
    assert refused.value.code == "usage"


@pytest.mark.parametrize(
    ("word", "job"), [("unit-start", "start"), ("unit-stop", "stop"), ("unit-restart", "try-restart")]
)
def test_a_unit_verb_queues_its_job_and_waits_for_nothing(word: str, job: str) -> None:
    made = plan(word, "smbd.service")
    assert made.argv[0] == "/usr/bin/systemctl"
    assert made.argv[-3:] == (job, "--", "smbd.service")
    assert "--no-block" in made.argv
    assert not made.detached


@pytest.mark.parametrize("unit", ["nmbd.service", "smbd", "", "smbd.service; reboot", "*.service"])
def test_a_unit_that_is_not_in_the_policy_or_is_no_unit_is_denied(unit: str) -> None:
    assert refusal("unit-start", unit) == "denied"


@pytest.mark.parametrize("name", ["a.service", r"dev-sda\x2d1.swap", "b@c:d.timer", "-.mount", "x.slice"])
def test_names_of_units(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["a", "a.conf", "a b.service", "a?.service", "[a].service", "a/b.service", "a.service\n", "ä.service"],
)
def test_names_that_are_none(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_a_command_becomes_a_service_of_systemds_with_a_deadline_of_its_own() -> None:
    made = plan("command-on", "lamp")
    before, after = made.argv[: made.argv.index("--")], made.argv[made.argv.index("--") + 1 :]
    assert before[0] == "/usr/bin/systemd-run"
    assert {"--wait", "--collect", "--property=KillMode=process"} <= set(before)
    assert after == ("/usr/bin/timeout", "--kill-after=5", "10.000000", "/usr/local/bin/lamp", "on", "$$HOME")
    assert made.timeout == 10 and made.deadline > 15 and made.detached


def test_the_service_of_a_command_never_has_the_name_of_another() -> None:
    names = {next(word for word in plan("command-on", "lamp").argv if "--unit=" in word) for _ in range(10)}
    assert len(names) == 10
    assert all(re.fullmatch(r"--unit=bellpull-lamp-on-[0-9a-f]{8}", name) for name in names)


def test_a_command_ends_what_is_left_of_the_one_before_and_of_no_other_tiles() -> None:
    made = plan("command-on", "lamp")
    patterns = made.first[made.first.index("--") + 1 :]
    assert made.first[0] == "/usr/bin/systemctl" and "stop" in made.first

    def ended(unit: str) -> bool:
        return any(fnmatchcase(unit, pattern) for pattern in patterns)

    assert ended("bellpull-lamp-on-0123abcd.service") and ended("bellpull-lamp-off-0123abcd.service")
    for other in ("bellpull", "bellpull-lamp-two-on-0123abcd", "bellpull-lamp-on-on-0123abcd", "lamp"):
        assert not ended(f"{other}.service")


@pytest.mark.parametrize(("word", "key"), [("command-off", "lamp"), ("command-on", "heater")])
def test_a_command_that_is_not_in_the_policy_is_denied(word: str, key: str) -> None:
    assert refusal(word, key) == "denied"


@pytest.mark.parametrize(
    "broken",
    [
        {"on": [], "timeout": 1},
        {"on": "reboot", "timeout": 1},
        {"on": ["/bin/true", 1], "timeout": 1},
        {"on": ["/bin/true"]},
        {"on": ["/bin/true"], "timeout": "1"},
        {"on": ["/bin/true"], "timeout": 0},
        {"on": ["/bin/true"], "timeout": 1e9},
    ],
)
def test_a_command_that_apply_would_not_have_written_is_not_run(broken: object) -> None:
    assert refusal("command-on", "lamp", {"commands": {"lamp": broken}}) == "policy"


@pytest.mark.parametrize("policy", [{}, {"units": None, "commands": None}, {"units": "a", "commands": []}])
def test_a_policy_without_the_section_is_not_used(policy: Policy) -> None:
    assert refusal("unit-start", "a") == "denied"
    assert refusal("unit-start", "a", policy) == "policy"
    assert refusal("command-on", "a", policy) == "policy"


GUESTS: Policy = {
    "domains": {"web": ["start", "shutdown", "reboot"], "12": ["start"]},
    "all_domains": ["start", "shutdown"],
}
UUIDS = ["4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "4dea22b3-1d52-d8f3-2516-782e98ab3fa1"]


def test_a_guest_is_asked_for_by_its_name() -> None:
    made = plan("domain-start", "web", GUESTS)
    assert made.argv == ("/usr/bin/virsh", "--quiet", "--connect", "qemu:///system", "start", "--domain=web")


def test_all_guests_are_those_that_libvirt_names_and_that_the_word_is_for() -> None:
    look = plan("domains-shutdown", "all", GUESTS)
    assert look.argv[-3:] == ("list", "--uuid", "--state-running")
    assert look.then is not None
    act = look.then("\n".join([*UUIDS, "", "web; reboot", "--domain"]))
    assert act is not None and act.strict
    work = "; ".join(f"shutdown --domain={uuid}" for uuid in UUIDS)
    assert act.argv == (*look.argv[:4], work)
    assert look.then("\n") is None


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("domain-start", "mail"),
        ("domain-destroy", "web"),
        ("domain-start", "12"),  # virsh would take it for an id
        ("domain-start", "--all"),
        ("domains-destroy", "all"),
        ("domains-start", "web"),
    ],
)
def test_a_guest_that_is_not_in_the_policy_or_could_be_another_is_denied(word: str, name: str) -> None:
    assert refusal(word, name, GUESTS) == "denied"


@pytest.mark.parametrize("policy", [{}, {"domains": []}, {"domains": {"web": "start"}}])
def test_a_policy_whose_guests_make_no_sense_is_not_used(policy: Policy) -> None:
    assert refusal("domain-start", "web", policy) == "policy"
    assert refusal("domains-start", "all", {"all_domains": "start"}) == "policy"
