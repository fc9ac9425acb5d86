"""Causes: equal ones together, the worst first, since when, what is new, and what to type."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fleetwheel.errors import FleetwheelError, unforeseen, words_of
from fleetwheel.reporting.cause import Cause, SharedCause, cause_of, of_words
from fleetwheel.reporting.cause_list import print_causes
from fleetwheel.reporting.causes import DEPLOYS, Changes, changes, follow, past_of
from fleetwheel.reporting.finding import findings
from fleetwheel.reporting.page import render_page
from fleetwheel.reporting.report import (
    Drift,
    EnvironmentReport,
    HostReport,
    Report,
    Status,
    print_table,
)
from tests.made_up_fleet import report as made_up
from tests.samples import CPU_HOST

AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
FULL = of_words("failed", "/opt has too little free space", "free some space")


def numpy(found: str = "1.26", **more: Any) -> Drift:
    said = {"class": "package", "what": "numpy", "expected": "2.4", "found": found}
    return Drift.model_validate(said | {"repair": "deploy it", "action": "deploy"} | more)


def drifted(name: str, *drift: Drift) -> HostReport:
    return HostReport(name=name, status="drifted", drift=drift, profile=CPU_HOST)


def failed(name: str, cause: Cause | None = FULL, why: str = "/opt has 1 GB free") -> HostReport:
    return HostReport(name=name, status="failed", why=why, cause=cause)


def gone(name: str) -> HostReport:
    cause = of_words("unreachable", "it does not answer", "see that it is switched on")
    return HostReport(name=name, status="unreachable", why=f"port 22 of {name}", cause=cause)


def clean(name: str) -> HostReport:
    return HostReport(name=name, status="clean", profile=CPU_HOST)


def of(*hosts: HostReport, day: int = 0, **more: Any) -> Report:
    return Report(kind="drift", at=AT + timedelta(days=day), hosts=hosts, **more)


def causes(*reports: Report) -> tuple[SharedCause, ...]:
    *earlier, last = reports
    return follow(last, earlier).causes


def changed(*reports: Report) -> Changes:
    found = changes(reports[-1], past_of(reports[:-1]))
    assert found
    return found


def test_equal_causes_are_one_whatever_the_figures_of_each_host() -> None:
    (cause,) = causes(of(failed("a"), failed("b", why="/opt has 2 GB free"), clean("c")))
    assert (cause.class_, cause.what, cause.names) == ("failed", FULL.what, ["a", "b"])
    assert cause.command == "fleetwheel drift inventory.py --limit a,b"
    assert cause.difference == "/opt has 1 GB free (1), /opt has 2 GB free (1)"


def test_the_worst_stand_first_and_then_those_of_most_hosts() -> None:
    gpu = numpy(**{"class": "hardware", "what": "GPU at 1", "subject": "a GPU that is gone"})
    torch = numpy(what="torch")
    found = causes(
        of(drifted("a", numpy(), torch), drifted("b", torch, gpu), failed("c"), gone("d"))
    )
    assert [one.title for one in found] == [
        "it does not answer",
        FULL.what,
        "hardware: a GPU that is gone",
        "package: torch",
        "package: numpy",
    ]


def test_an_error_tells_its_cause_without_what_belongs_to_its_host() -> None:
    error = FleetwheelError(
        "/opt has 1 GB", hint="free 3 GB", what="/opt is full", remedy="free it"
    )
    assert cause_of("failed", error) == of_words("failed", "/opt is full", "free it")
    assert cause_of("failed", FleetwheelError("no sudo")) == of_words("failed", "no sudo")
    assert cause_of("refused", "no way") == of_words("refused", "no way")


def test_no_python_is_shown_to_people() -> None:
    assert words_of(ValueError("no answer", 22)) == "no answer, 22"
    assert words_of(OSError(2, "no such file")) == "[Errno 2] no such file"
    assert str(unforeseen(RuntimeError("a", "b"))).startswith("RuntimeError: a, b\n")


def test_the_same_cause_has_the_same_name_in_every_report() -> None:
    (one,), (other,) = causes(of(failed("a"))), causes(of(failed("b"), day=9, deep=True))
    assert one.id == other.id == FULL.anchor


def two(name: str, *, inside: Drift) -> HostReport:
    return HostReport(name=name, status="clean", profile=CPU_HOST).with_environments(
        [
            EnvironmentReport(name="default", status="clean"),
            EnvironmentReport(name="vision", status="drifted", drift=(inside,)),
        ]
    )


@pytest.mark.parametrize(
    ("report", "command"),
    [
        (
            of(drifted("a b", numpy()), drifted("c", numpy())),
            "pyinfra -y inventory.py deploys/torch.py --limit 'a b' --limit c",
        ),
        (
            of(drifted("a", numpy(action="rebuild")), inventory="lab.py"),
            "pyinfra -y lab.py deploys/torch.py --limit a --data rebuild=true",
        ),
        (
            of(two("a", inside=numpy())),
            "pyinfra -y inventory.py deploys/torch.py --limit a --data environment=vision",
        ),
        (
            of(two("a", inside=numpy(action=""))),
            "fleetwheel drift inventory.py --limit a --environment vision",
        ),
        (
            of(drifted("a", numpy(action="", deep=True))),
            "fleetwheel drift inventory.py --limit a --deep",
        ),
        (
            of(drifted("a", numpy(action="smoke"))),
            "pyinfra -y inventory.py deploys/smoke.py --limit a",
        ),
        (
            of(failed("a"), deploys=("deploys/mirror.py",)),
            "pyinfra -y inventory.py deploys/mirror.py --limit a",
        ),
        (
            of(drifted("a", numpy()), environments=("vision",)),
            "pyinfra -y inventory.py deploys/torch.py --limit a --data environment=vision",
        ),
    ],
)
def test_the_command_is_for_all_hosts_of_a_cause(report: Report, command: str) -> None:
    assert [one.command for one in causes(report)] == [command]


@pytest.mark.parametrize(
    "report",
    [
        of(failed("a"), deploys=("exec", "--", "reboot")),
        of(failed("a"), deploys=("deploys/torch.py", "/tmp/deploys/torch.py")),
        *(of(drifted(name, numpy())) for name in ("*", "a?", "[ab]", "a,b", "-vvv", "--limit=b")),
        of(drifted("a", numpy()), drifted("*", numpy())),
        of(drifted("-a", numpy(action=""))),
        of(drifted("a", numpy()), inventory="--help"),
    ],
)
def test_what_a_prompt_could_take_for_something_else_is_no_command(report: Report) -> None:
    shared = causes(report)
    assert shared and not any(one.command for one in shared)
    out = io.StringIO()
    print_causes(shared, Console(file=out, width=200))
    assert "pyinfra" not in out.getvalue() and "fleetwheel" not in out.getvalue()
    followed = report.model_copy(update={"causes": tuple(shared)})
    assert 'class="type"' not in render_page(followed)


def test_every_deploy_can_be_run_again() -> None:
    assert {path.as_posix() for path in Path("deploys").glob("*.py")} == DEPLOYS


def test_since_is_the_first_report_that_had_it_without_one_that_did_not() -> None:
    ill = drifted("a", numpy())
    (cause,) = causes(of(ill), of(clean("a"), day=1), of(ill, day=2), of(ill, day=3))
    assert cause.since == AT + timedelta(days=2)
    assert cause.new == []


def test_since_is_carried_on_where_older_reports_are_dropped() -> None:
    ill = drifted("a", numpy())
    yesterday = follow(of(ill, day=1), [of(ill)])
    (cause,) = causes(yesterday, of(ill, day=2))
    assert cause.since == AT


def test_a_look_at_some_hosts_makes_others_neither_new_nor_mended() -> None:
    both = (drifted("a", numpy()), drifted("b", numpy()))
    limited = of(drifted("a", numpy()), day=1)
    (cause,) = causes(of(*both), limited, of(*both, day=2))
    assert (cause.since, cause.new) == (AT, [])
    assert changed(of(*both), limited).mended == []
    assert changed(of(*both), limited, of(clean("a"), both[1], day=2)).mended[0].host == "a"


def test_what_the_last_look_at_a_host_did_not_find_is_new() -> None:
    (cause,) = causes(
        of(clean("a"), drifted("b", numpy())),
        of(drifted("a", numpy()), drifted("b", numpy()), day=1),
    )
    assert cause.new == ["a"]


def test_a_host_that_no_report_knew_is_not_new() -> None:
    (cause,) = causes(of(clean("a")), of(drifted("b", numpy()), day=1))
    assert cause.new == []


def test_drift_stays_known_while_nobody_can_look() -> None:
    away = [of(drifted("a", numpy())), of(gone("a"), day=1)]
    assert [f.kind for f in changed(*away).unknown] == ["package"]
    back = of(drifted("a", numpy()), day=2)
    (cause,) = causes(*away, back)
    assert (cause.since, cause.new) == (AT, [])
    assert [f.kind for f in changed(*away, back).mended] == ["host"]


def test_a_quick_look_mends_nothing_that_a_deep_one_found() -> None:
    deep = of(drifted("a", numpy(deep=True)), deep=True)
    assert changed(deep, of(clean("a"), day=1)).mended == []
    assert len(changed(deep, of(clean("a"), day=1, deep=True)).mended) == 1


def test_a_host_that_says_nothing_keeps_what_was_known_of_it() -> None:
    known = of(clean("a"))
    first = follow(of(gone("a"), day=1), [known])
    (host,) = follow(of(gone("a"), day=2), [first]).hosts
    assert host.last_seen and host.last_seen.at == AT
    assert host.last_seen.profile == CPU_HOST
    assert host.last_success == AT
    (there,) = follow(of(clean("a"), day=3), [first]).hosts
    assert there.last_seen is None


def test_the_last_success_outlives_the_report_that_had_it() -> None:
    kept = follow(of(drifted("a", numpy()), day=1), [of(clean("a"))])
    (host,) = follow(of(drifted("a", numpy()), day=2), [kept]).hosts
    assert host.last_success == AT
    part = of(clean("a"), day=3, environments=("vision",))
    assert follow(part, [kept]).hosts[0].last_success == AT


days = st.lists(st.integers(0, 30), max_size=4, unique=True).map(sorted)


@given(days)
def test_every_finding_stands_in_one_cause(which: list[int]) -> None:
    last, *earlier = [made_up(12, day) for day in [0, *which]]
    told = follow(last, [*reversed(earlier)])
    places = [(each.name, each.environment) for one in told.causes for each in one.hosts]
    assert sorted(places) == sorted(found.place for found in findings(told))
    assert follow(told, [*reversed(earlier)]) == told
    assert all(one.since <= told.at and one.command for one in told.causes)


def printed(report: Report) -> str:
    out = io.StringIO()
    print_table(follow(report, []), Console(file=out, width=120))
    return out.getvalue()


def test_the_table_tells_a_shared_cause_once() -> None:
    said = printed(of(failed("a"), failed("b", why="/opt has \x1b[2J2 GB free"), clean("c")))
    head, *_ = said.partition("2 hosts: ")
    assert "free" not in head
    assert "2 hosts: /opt has too little free space (a, b)" in said
    assert "\n  free some space\n" in said
    assert "\n  fleetwheel drift inventory.py --limit a,b\n" in said
    assert "\x1b" not in said


def test_a_cause_of_one_host_stands_in_its_row() -> None:
    said = printed(of(failed("a"), clean("b")))
    assert "/opt has 1 GB free" in said
    assert "1 host:" not in said


@pytest.mark.parametrize("status", ["failed", "unreachable", "refused", "drifted"])
def test_reports_from_before_causes_have_them_by_their_first_line(status: Status) -> None:
    (cause,) = causes(of(HostReport(name="a", status=status, why="it broke\n  hint: try again")))
    assert (cause.class_, cause.what, cause.remedy) == (status, "it broke", "")
