"""The report: what people read, what machines read, and what it keeps."""

import io
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fleetwheel.host.profile import Driver, DriverState
from fleetwheel.host.trust import Trust
from fleetwheel.reporting import report
from fleetwheel.reporting.history import read_report
from fleetwheel.reporting.page import render_page
from fleetwheel.reporting.report import Drift, EnvironmentReport, HostReport, Kept, Kind, Status
from tests.samples import CPU_HOST, GPU_HOST, RTX_4090, choice


def printed(*hosts: HostReport) -> str:
    out = io.StringIO()
    report.print_table(report.report_of(hosts), Console(file=out, width=200))
    return out.getvalue()


def test_a_row_says_what_was_done_and_why() -> None:
    row = printed(
        HostReport(
            name="gpu-1",
            status="changed",
            profile=GPU_HOST.model_copy(update={"gpus": (RTX_4090, RTX_4090)}),
            environments=(
                EnvironmentReport(
                    status="changed",
                    why="it is not there yet",
                    choice=choice(),
                    smoke={"passed": True},
                ),
            ),
        )
    )
    for cell in ("gpu-1", "changed", "2.13.0 cpu", "3.11.7", "2 x GeForce RTX 4090, 580.95.05"):
        assert cell in row
    assert "passed" in row
    assert "it is not there yet" in row
    assert "default" not in row


def several(*statuses: Status, why: str = "") -> HostReport:
    """Return a host with environments of these states, each with its name for a reason."""
    names = ("default", "vision", "course")
    inside = [
        EnvironmentReport(name=name, status=status, why=f"why {name}", choice=choice())
        for name, status in zip(names, statuses, strict=False)
    ]
    base = HostReport(name="a", status="clean", why=why, profile=GPU_HOST)
    return base.with_environments(inside)


def cells(table: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()[1:]]


def test_a_row_for_each_environment_and_the_host_said_once() -> None:
    rows = cells(printed(several("clean", "failed"), HostReport(name="b", status="unreachable")))
    assert [row[:3] for row in rows] == [
        ["a", "default", "clean"],
        ["a", "vision", "failed"],
        ["b", "unreachable", "-"],
    ]
    assert rows[0][-1] == "why default"
    assert [any("RTX 4090" in cell for cell in row) for row in rows] == [True, False, False]


def test_what_a_host_itself_says_has_a_row_where_it_has_several_environments() -> None:
    drift = Drift(class_="driver", what="version", expected="1", found="2", repair="reboot")
    host = several("clean", "clean", why="driver differs")
    ill = host.model_copy(update={"status": "drifted", "drift": (drift,)})
    own, first, _ = cells(printed(ill))
    assert (own[:2], own[-1]) == (["a", "drifted"], "driver differs")
    assert first[:3] == ["a", "default", "clean"]
    too = several("clean", "drifted").model_copy(update={"drift": (drift,)})
    assert [row[1] for row in cells(printed(too))] == ["drifted", "default", "vision"]
    trusting = host.model_copy(update={"why": "", "trust": Trust(users=("spack",))})
    own, *_ = cells(printed(trusting))
    assert (own[:2], own[-1]) == (["a", "-"], "the inventory trusts user spack as it does root")


def test_one_environment_stands_in_the_row_of_its_host() -> None:
    row, more = cells(printed(several("changed", why="the driver is newer")))
    assert (row[:2], row[-1]) == (["a", "changed"], "the driver is newer")
    assert more == ["why default"]


def test_the_name_of_an_environment_stands_where_it_is_not_the_default_one() -> None:
    inside = EnvironmentReport(name="vision", status="clean")
    host = HostReport(name="a", status="clean", environments=(inside,))
    assert cells(printed(host))[0][:3] == ["a", "vision", "clean"]


def test_reasons_below_a_narrow_table_name_the_environment() -> None:
    out = io.StringIO()
    report.print_table(report.report_of([several("clean", "clean")]), Console(file=out, width=80))
    assert out.getvalue().endswith("\na default: why default\n\na vision: why vision\n")


@pytest.mark.parametrize(
    ("host", "inside", "expected"),
    [
        ("clean", [], "clean"),
        ("clean", ["changed", "failed", "on hold"], "failed"),
        ("unreachable", ["failed"], "unreachable"),
        ("drifted", ["clean", "clean"], "drifted"),
        ("clean", ["on hold", "unchanged"], "on hold"),
        ("clean", ["would change", "not begun"], "would change"),
    ],
)
def test_the_status_of_a_host_is_the_worst(
    host: Status, inside: list[Status], expected: Status
) -> None:
    own = HostReport(name="a", status=host)
    assert own.with_environments(EnvironmentReport(status=s) for s in inside).status == expected


def test_every_status_has_its_rank_and_colour() -> None:
    assert {*report.WORST_FIRST} == {*get_args(Status)} == {*report.COLOURS}


def test_a_driver_that_does_not_work_is_named() -> None:
    driver = Driver(state=DriverState.VERSION_MISMATCH)
    broken = GPU_HOST.model_copy(update={"driver": driver, "gpus": ()})
    assert "version-mismatch" in printed(HostReport(name="a", status="failed", profile=broken))


def test_a_report_is_as_private_as_the_umask_says(tmp_path: Path) -> None:
    made = report.report_of([HostReport(name="a", status="unchanged")])
    before = os.umask(0o027)
    try:
        path = report.save_report(tmp_path / "reports", made)
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o640, 0o750)


def test_a_report_stays_among_others_of_later_dates(tmp_path: Path) -> None:
    for number in range(Kept().count):
        (tmp_path / f"2999-01-01T00-00-00.{number:06}Z.json").touch()
    made = report.report_of([HostReport(name="a", status="unchanged")])
    path = report.save_report(tmp_path, made)
    assert path.exists()
    assert len(list(tmp_path.iterdir())) == Kept().count


def test_whom_the_inventory_trusts_besides_stands_in_every_report(tmp_path: Path) -> None:
    host = HostReport(name="a", status="unchanged", trust=Trust(users=("spack",), groups=("50",)))
    said = "the inventory trusts user spack, group 50 as it does root"
    assert said in printed(host)
    assert "trusts" not in printed(HostReport(name="a", status="unchanged"))
    made = report.report_of([host])
    assert said in render_page(made, [])
    document = json.loads(report.save_report(tmp_path, made).read_text())
    assert document["hosts"][0]["trust"] == {"users": ["spack"], "groups": ["50"]}


def test_reasons_stand_below_a_narrow_table_each_once() -> None:
    out = io.StringIO()
    whys = {"a": "first\nsecond", "b": "other", "c": "first\nsecond", "d": ""}
    hosts = [HostReport(name=name, status="failed", why=why) for name, why in whys.items()]
    report.print_table(report.report_of(hosts), Console(file=out, width=80))
    assert out.getvalue().endswith("\na, c: first\n  second\n\nb: other\n")


def test_hosts_stand_in_the_order_of_their_names() -> None:
    rows = printed(HostReport(name="b", status="failed"), HostReport(name="a", status="failed"))
    assert rows.index("a ") < rows.index("b ")


@given(st.text())
def test_text_from_a_host_steers_neither_terminal_nor_table(text: str) -> None:
    shown = printed(HostReport(name="a", status="failed", why=f"[red]{text}\x1b[2J"))
    assert "\x1b" not in shown
    assert "[red]" in shown


def test_the_json_has_the_agreed_keys(tmp_path: Path) -> None:
    inside = (EnvironmentReport(status="unchanged", choice=choice()),)
    host = HostReport(name="a", status="unchanged", profile=CPU_HOST, environments=inside)
    made = report.report_of([host])
    document = json.loads(report.save_report(tmp_path / "reports", made).read_text())
    assert document["schema"] == "fleetwheel.report/2"
    assert document["causes"] == []
    (told,) = document["hosts"]
    own = "name group status why cause seconds profile drift environments trust"
    own += " last_success last_seen at"
    assert set(told) == set(own.split())
    names = "name status why cause choice generation smoke drift"
    assert set(told["environments"][0]) == set(names.split())
    assert report.Report.model_validate(document) == made


def saved(directory: Path, kept: Kept, *, days: int, kind: Kind = "drift") -> list[str]:
    start = datetime(2026, 1, 1, len(kind), tzinfo=UTC)
    for day in range(days):
        made = report.Report(kind=kind, at=start + timedelta(days=day), hosts=())
        report.save_report(directory, made, kept)
    return [path.name[:10] for path in report.paths_of(directory, kind)]


def test_as_many_reports_stay_as_the_inventory_says(tmp_path: Path) -> None:
    assert saved(tmp_path, Kept(count=2), days=5) == ["2026-01-04", "2026-01-05"]


def test_and_for_as_long_as_it_says(tmp_path: Path) -> None:
    assert saved(tmp_path, Kept(days=1), days=5) == ["2026-01-04", "2026-01-05"]


def test_each_kind_of_report_has_a_history_of_its_own(tmp_path: Path) -> None:
    assert saved(tmp_path, Kept(), days=1, kind="deploy") == ["2026-01-01"]
    assert len(saved(tmp_path, Kept(count=3), days=200)) == 3
    assert len(report.paths_of(tmp_path, "deploy")) == 1
    (tmp_path / "2020-01-01.json").write_bytes(b"[")
    assert report.paths_of(tmp_path, "deploy")[0].name == "2020-01-01.json"


def test_what_one_host_keeps_all_keep() -> None:
    assert Kept(count=5, days=9) | Kept(count=7, days=1) == Kept(count=7, days=9)


def test_a_report_of_one_environment_says_so_above_the_table() -> None:
    out = io.StringIO()
    found = report.report_of([several("clean")], environments=["vision"])
    report.print_table(found, Console(file=out, width=120))
    first, _, head, *_ = out.getvalue().splitlines()
    assert first == "environment vision alone"
    assert head.split()[:2] == ["host", "environment"]


def test_the_documented_table_is_that_of_80_columns() -> None:
    found = read_report(Path("tests/fixtures/reports/2026-11-20T03-12-00.000000Z.json"))
    out = io.StringIO()
    report.print_table(found, Console(file=out, width=80))
    printed = [line.rstrip() for line in out.getvalue().splitlines()]
    documented = Path("docs/reports.md").read_text().split("```\n")[1].splitlines()
    assert len(documented) > 10 and {*documented} <= {*printed}
