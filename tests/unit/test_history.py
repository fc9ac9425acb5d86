"""Reports of earlier runs: which can be read, and what differs between two."""

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting import history
from fleetwheel.reporting.causes import comparable
from fleetwheel.reporting.finding import findings
from fleetwheel.reporting.history import (
    compare,
    load_earlier,
    load_reports,
    print_comparison,
)
from fleetwheel.reporting.report import (
    Drift,
    EnvironmentReport,
    HostReport,
    Report,
    Status,
    save_report,
)
from tests.made_up_fleet import report

A = {"name": "a", "status": "clean"}
CAUSE = {"class": "failed", "what": "", "id": "", "since": "2999-01-01T00:00:00Z", "hosts": []}
DRIFT = {"schema": "fleetwheel.report/2", "at": "2026-11-20T03:12:00Z", "hosts": [A]}
AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)


def drift(what: str = "numpy", found: str = "1.26") -> Drift:
    return Drift(class_="package", what=what, expected="2.4", found=found, repair="deploy")


def host(name: str, status: Status, *drifts: Drift) -> HostReport:
    return HostReport(name=name, status=status, drift=drifts, why="why\nand more")


def inside(name: str, status: Status, *drifts: Drift) -> EnvironmentReport:
    return EnvironmentReport(name=name, status=status, drift=drifts, why="why\nand more")


def with_environments(*environments: EnvironmentReport) -> HostReport:
    return HostReport(name="a", status="clean").with_environments(environments)


def of(*hosts: HostReport) -> Report:
    return Report(kind="drift", at=AT, hosts=hosts)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        (host("a", "clean"), host("a", "clean"), (0, 0, 0, 0)),
        (host("a", "clean"), host("a", "drifted", drift()), (1, 0, 0, 0)),
        (host("a", "drifted", drift()), host("a", "clean"), (0, 1, 0, 0)),
        (host("a", "drifted", drift()), host("a", "drifted", drift()), (0, 0, 1, 0)),
        (host("a", "drifted", drift()), host("a", "drifted", drift(found="1.9")), (0, 0, 1, 0)),
        (host("a", "drifted", drift()), host("a", "drifted", drift("torch")), (1, 1, 0, 0)),
        (host("a", "drifted", drift()), host("a", "unreachable"), (1, 0, 0, 1)),
        (host("a", "drifted", drift()), host("a", "failed"), (1, 0, 0, 1)),
        (host("a", "drifted", drift()), host("a", "on hold"), (0, 1, 0, 0)),
        (host("a", "drifted", drift()), host("b", "clean"), (0, 0, 0, 1)),
        (host("a", "unreachable"), host("a", "clean"), (0, 1, 0, 0)),
        (host("a", "unreachable"), host("a", "failed"), (0, 0, 1, 0)),
        (host("a", "unreachable"), host("a", "drifted", drift()), (1, 1, 0, 0)),
        (host("a", "drifted"), host("a", "clean"), (0, 1, 0, 0)),
    ],
)
def test_what_changed(old: HostReport, new: HostReport, counts: tuple[int, ...]) -> None:
    found = compare(of(old), of(new))
    parts = (found.appeared, found.mended, found.unchanged, found.unknown)
    assert tuple(map(len, parts)) == counts


ILL = with_environments(inside("default", "clean"), inside("vision", "drifted", drift()))


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        (ILL, ILL, (0, 0, 1, 0)),
        (ILL, with_environments(inside("vision", "clean")), (0, 1, 0, 0)),
        (ILL, with_environments(inside("default", "clean")), (0, 0, 0, 1)),
        (ILL, with_environments(inside("vision", "failed")), (1, 0, 0, 1)),
        (
            ILL,
            with_environments(inside("default", "failed"), inside("vision", "clean")),
            (1, 1, 0, 0),
        ),
        (ILL, with_environments(inside("default", "drifted", drift())), (1, 0, 0, 1)),
        (ILL, host("a", "drifted", drift()), (1, 0, 0, 1)),
        (ILL, host("a", "unreachable"), (1, 0, 0, 1)),
        (host("a", "unreachable"), ILL, (1, 1, 0, 0)),
        (
            host("a", "drifted", drift("driver")),
            with_environments(inside("vision", "failed")),
            (1, 1, 0, 0),
        ),
        (
            with_environments(inside("vision", "failed")),
            with_environments(inside("vision", "refused")),
            (0, 0, 1, 0),
        ),
    ],
)
def test_what_changed_in_an_environment(
    old: HostReport, new: HostReport, counts: tuple[int, ...]
) -> None:
    test_what_changed(old, new, counts)


def test_findings_name_their_environment() -> None:
    ill = inside("vision", "drifted", drift())
    failed = inside("course", "failed")
    found = findings(of(with_environments(inside("default", "clean"), ill, failed)))
    assert [(f.environment, f.kind, f.what, f.found) for f in found] == [
        ("vision", "package", "numpy", "1.26"),
        ("course", "environment", "failed", "why"),
    ]


def test_what_the_host_itself_came_to_is_found_beside_its_environments() -> None:
    own = host("a", "drifted", drift("GPU 1")).with_environments(
        [inside("vision", "drifted", drift())]
    )
    assert [f.environment for f in findings(of(own))] == ["", "vision"]
    failed = host("a", "failed", drift("GPU 1")).with_environments([inside("vision", "clean")])
    assert [(f.environment, f.kind) for f in findings(of(failed))] == [
        ("", "package"),
        ("", "host"),
    ]


days = st.integers(0, 60).map(lambda day: report(12, day))


def test_a_quick_look_mends_nothing_that_a_deep_one_found() -> None:
    files = drift("files of numpy").model_copy(update={"deep": True})
    before = of(host("a", "drifted", files, drift()))
    quick = compare(before, of(host("a", "clean")))
    assert [f.what for f in quick.mended] == ["numpy"]
    assert [f.what for f in quick.unknown] == ["files of numpy"]
    deep = compare(before, of(host("a", "clean")).model_copy(update={"deep": True}))
    assert [f.what for f in deep.mended] == ["files of numpy", "numpy"]


@given(days, days)
def test_every_finding_stands_in_one_place(old: Report, new: Report) -> None:
    found = compare(old, new)
    assert {*found.appeared, *found.unchanged} == {*findings(new)}
    assert len(found.appeared) + len(found.unchanged) == len(findings(new))
    assert len(found.mended) + len(found.unknown) + len(found.unchanged) == len(findings(old))


@given(days)
def test_a_report_does_not_differ_from_itself(one: Report) -> None:
    found = compare(one, one)
    assert not found.appeared + found.mended + found.unknown


def test_reports_of_one_kind_oldest_first(tmp_path: Path) -> None:
    deploy = of(host("a", "changed")).model_copy(update={"kind": "deploy"})
    wanted = [of(host("a", "clean")), of(host("b", "clean"))]
    wanted[1] = wanted[1].model_copy(update={"at": AT + timedelta(days=1)})
    for made in (wanted[1], deploy.model_copy(update={"at": AT - timedelta(days=1)}), wanted[0]):
        save_report(tmp_path, made)
    warnings: list[str] = []
    assert load_reports(tmp_path, "drift", warnings.append) == wanted
    assert warnings == []


def test_earlier_reports_go_back_until_each_host_was_looked_at(tmp_path: Path) -> None:
    known = of(host("a", "clean"), host("b", "clean"))
    save_report(tmp_path, known.model_copy(update={"at": AT - timedelta(days=1)}))
    save_report(tmp_path, known)
    for hour in range(1, 41):
        limited = of(host("a", "clean"))
        save_report(tmp_path, limited.model_copy(update={"at": AT + timedelta(hours=hour)}))
    last = known.model_copy(update={"at": AT + timedelta(days=3)})
    found = load_earlier(tmp_path, last, pytest.fail)
    assert (found[0].at, len(found)) == (AT, 41)
    alone = last.model_copy(update={"hosts": (host("a", "clean"),)})
    assert len(load_earlier(tmp_path, alone, pytest.fail)) == 30


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no report"),
        (b"{", "no report"),
        (b"\xff\xfe", "no report"),
        (
            b'{"schema": "fleetwheel.report/3", "at": "2026-11-20", "hosts": []}',
            "fleetwheel.report/3",
        ),
        (b'{"schema": "lab/1", "at": "2026-11-20", "hosts": []}', "schema"),
        (b'{"schema": 2, "at": "2026-11-20", "hosts": []}', "schema"),
        (b'{"schema": "fleetwheel.report/2", "at": "2026-11-20T00:00:00Z"}', "hosts"),
        (b"[" * 10_000, "no report"),
        *(
            (json.dumps(DRIFT | said).encode(), words)
            for said, words in [
                ({"at": "2026-11-20T03:12:00"}, "at: Input should have timezone info"),
                ({"at": "2999-01-01T00:00:00Z"}, "2999-01-01 00:00 UTC is in the future"),
                ({"at": "9999-12-31T23:59:59-12:00"}, "the year is out of range"),
                ({"at": "0001-01-01T00:00:00+14:00"}, "the year is out of range"),
                *(
                    ({"hosts": [A | {key: time}]}, f"hosts.0.{key}")
                    for key in ("at", "last_success")
                    for time in ("2026-11-20T03:12:00", "2999-01-01T00:00:00Z")
                ),
                ({"hosts": [A | {"last_seen": {"at": "2026-11-20"}}]}, "hosts.0.last_seen.at"),
                ({"causes": [CAUSE]}, "causes.0.since"),
                ({"schema": "fleetwheel.report/1", "at": "2026-11-20T03:12:00"}, "at: Input"),
            ]
        ),
        (b'{"schema": "fleetwheel.report/1", "at": "2026-11-20T00:00:00Z"}', "hosts"),
    ],
)
def test_a_report_that_cannot_be_read_is_left_out_and_named(
    tmp_path: Path, content: bytes, words: str
) -> None:
    good = of(host("a", "clean"))
    save_report(tmp_path, good)
    (tmp_path / "2020.json").write_bytes(content)
    warnings: list[str] = []
    assert load_reports(tmp_path, "drift", warnings.append) == [good]
    assert len(warnings) == 1
    assert "2020.json" in warnings[0]
    assert words in warnings[0]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no fifos")
def test_what_is_no_file_or_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = of(host("a", "clean"))
    save_report(tmp_path, good)
    os.mkfifo(tmp_path / "2020.json")
    (tmp_path / "2021.json").symlink_to("/dev/zero")
    (tmp_path / "2022.json").mkdir()
    (tmp_path / "2023.json").write_text(" " * 100_000)
    monkeypatch.setattr(history, "LARGEST", 99_999)
    warnings: list[str] = []
    assert load_reports(tmp_path, "drift", warnings.append) == [good]
    whys = ("it is no regular file", "it is no regular file", "s a directory", "it has more than")
    assert all(why in line for why, line in zip(whys, warnings, strict=True))
    assert history.last_profiles(tmp_path) == {}
    assert history.last_deep_reports(tmp_path) == []


def test_a_clock_may_be_a_little_ahead(tmp_path: Path) -> None:
    soon = of(host("a", "clean")).model_copy(
        update={"at": datetime.now(UTC) + timedelta(minutes=9)}
    )
    save_report(tmp_path, soon)
    assert load_reports(tmp_path, "drift", pytest.fail) == [soon]


def test_no_directory_is_no_history(tmp_path: Path) -> None:
    assert load_reports(tmp_path / "reports", "drift", pytest.fail) == []


def printed(old: Report, new: Report) -> str:
    out = io.StringIO()
    print_comparison(compare(old, new), Console(file=out, width=200))
    return out.getvalue()


def test_a_comparison_for_people() -> None:
    said = printed(
        of(host("a", "drifted", drift()), host("b", "clean")),
        of(host("a", "clean"), host("b", "drifted", drift("torch\x1b[2J", "[red]x"))),
    )
    assert "1 new, 1 mended" in said
    assert "\x1b" not in said
    assert "[red]x" in said
    assert [line.split()[:2] for line in said.splitlines()[2:]] == [["new", "b"], ["mended", "a"]]


def test_a_comparison_names_environments_where_there_are_several() -> None:
    said = printed(of(with_environments(inside("default", "clean"))), of(ILL))
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["host", "environment", "class", "what", "expected", "found"],
        ["new", "a", "vision", "package", "numpy", "2.4", "1.26"],
    ]
    one = printed(of(), of(with_environments(inside("default", "drifted", drift()))))
    assert "default" not in one


def test_hosts_that_only_one_report_is_about_are_named() -> None:
    """As after a run with --limit: their drift is neither new nor mended."""
    many = [host(f"h{number}", "clean") for number in range(10)]
    old, new = of(host("a", "clean"), *many), of(host("a", "clean"), host("[b]", "clean"))
    said = printed(old, new).splitlines()[1]
    assert said == "in one of the reports only: [b], h0, h1, h2, h3, h4, h5, h6 and 3 more"
    assert "in one of the reports" not in printed(old, old)


def test_nothing_to_tell() -> None:
    assert "nothing was found, then or now" in printed(of(), of())


def scoped(report: Report, *names: str) -> Report:
    return report.model_copy(update={"environments": names})


def test_a_look_at_one_environment_is_compared_with_what_it_looked_at() -> None:
    both = with_environments(
        inside("vision", "drifted", drift()), inside("course", "drifted", drift())
    )
    vision = scoped(of(with_environments(inside("vision", "clean"))), "vision")
    found = compare(of(both), vision)
    assert (len(found.mended), len(found.unknown), found.environments) == (1, 0, ("vision",))
    back = compare(vision, of(both))
    assert [finding.environment for finding in back.appeared] == ["vision"]
    assert "UTC, environment vision alone: 1 new\n" in comparison_text(vision, of(both))


def comparison_text(old: Report, new: Report) -> str:
    out = io.StringIO()
    print_comparison(compare(old, new), Console(file=out, width=120))
    return out.getvalue()


def test_reports_of_other_environments_have_nothing_to_compare() -> None:
    here, there = scoped(of(ILL), "vision"), scoped(of(ILL), "course")
    with pytest.raises(FleetwheelError, match=r"the older is about vision, the newer about course"):
        compare(here, there)


def test_like_is_compared_with_like() -> None:
    whole, vision = of(ILL), scoped(of(ILL), "vision")
    assert comparable([whole, vision], whole) == [whole]
    assert comparable([whole, vision], vision) == [vision]
