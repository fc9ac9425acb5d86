"""``fleetwheel report``, run in a directory with the reports of a made-up fleet."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwheel.cli import commands
from fleetwheel.reporting.report import HostReport, Kind, Report, report_of, save_report

FIXTURES = Path("tests/fixtures/reports").resolve()
LAST = FIXTURES / "2026-11-20T03-12-00.000000Z.json"
EARLIER = FIXTURES / "2026-11-10T03-12-00.000000Z.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(FIXTURES, tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(commands, ["report", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_last_report(project: Path) -> None:
    done = run("--html", "fleet.html")
    assert done.exit_code == 0
    assert "ws-08" in done.output
    assert "History" in (project / "fleet.html").read_text()


def test_its_json(project: Path) -> None:
    assert len(json.loads(run("--json").stdout)["hosts"]) == 44


def test_what_changed(project: Path) -> None:
    assert "1 mended, 24 unchanged" in run("--compare").output
    document = json.loads(run("--compare", "--json").stdout)
    assert (len(document["mended"]), len(document["unchanged"])) == (1, 24)
    assert document["old"] == "2026-11-19T03:12:00+00:00"


@pytest.mark.parametrize("place", [(), ("reports",)])
def test_a_check_of_one_host_makes_nothing_new_of_the_others(
    project: Path, place: tuple[str, ...]
) -> None:
    last = Report.model_validate_json(LAST.read_text())
    alone = next(host for host in last.hosts if host.status == "drifted")
    for hour in (4, 5):
        at = last.at.replace(hour=hour)
        save_report(project / "reports", last.model_copy(update={"at": at, "hosts": (alone,)}))
    said = json.loads(run(*place, "--compare", "--json").stdout)
    assert said["appeared"] == [] and said["unchanged"]
    at = last.at.replace(hour=6)
    save_report(project / "reports", last.model_copy(update={"at": at}))
    said = json.loads(run(*place, "--compare", "--json").stdout)
    assert said["appeared"] == said["mended"] == []
    assert len(said["unchanged"]) > 20


def test_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("--compare", EARLIER, LAST)
    assert done.output.startswith("2026-11-10 03:12 to 2026-11-20 03:12 UTC: ")


def test_the_last_of_a_kind(project: Path) -> None:
    save_report(project / "reports", report_of([HostReport(name="new-host", status="changed")]))
    assert "new-host" not in run().output
    assert "new-host" in run("--kind", "deploy").output
    alone = run("--kind", "deploy", "--compare")
    assert alone.exit_code == 1
    assert "there is no deploy report before" in alone.output


def test_a_file_has_the_reports_beside_it_for_its_past(project: Path) -> None:
    earlier = project / "reports" / EARLIER.name
    assert run("--compare", earlier).output.startswith("2026-11-09 03:12 to 2026-11-10 03:12")


def test_a_spoilt_report_is_named(project: Path) -> None:
    (project / "reports/2026-12-01.json").write_text("{}")
    done = run()
    assert done.exit_code == 0
    assert "warning: left out: reports/2026-12-01.json is no report" in done.stderr


def test_a_report_of_an_earlier_schema_is_read_and_printed_as_today(tmp_path: Path) -> None:
    old = max((FIXTURES.parent / "report-1").glob("*.json"))
    (host,) = json.loads(run(old, "--json").stdout)["hosts"]
    assert [each["name"] for each in host["environments"]] == ["default"]
    assert "intruder" in run(old).output


def test_a_newer_report_is_left_out_by_its_name(project: Path) -> None:
    (project / "reports/2026-12-01.json").write_text('{"schema": "fleetwheel.report/3"}')
    done = run()
    assert done.exit_code == 0
    assert "2026-12-01.json is written in the schema fleetwheel.report/3" in done.stderr


def checked(at: str, *hosts: HostReport, kind: Kind = "drift") -> Report:
    return Report(kind=kind, at=datetime.fromisoformat(f"2026-11-{at}:00Z"), hosts=hosts)


def test_several_reports_are_one_with_the_newest_of_each_host(tmp_path: Path) -> None:
    """As of hosts that pull, or of two controllers; schemas may differ."""
    a, b = (HostReport(name=name, status="clean", seconds=1) for name in "ab")
    ill = a.model_copy(update={"status": "failed", "why": "no disk"})
    for place, made in {"one": checked("20T03", ill), "two": checked("21T03", b)}.items():
        save_report(tmp_path / place, made)
    save_report(tmp_path / "one", checked("19T03", a, b))
    document = json.loads(run(tmp_path / "one", tmp_path / "two", "--json").stdout)
    assert document["at"] == "2026-11-21T03:00:00Z"
    assert [(h["name"], h["status"]) for h in document["hosts"]] == [
        ("a", "failed"),
        ("b", "clean"),
    ]
    assert [h["at"] for h in document["hosts"]] == ["2026-11-20T03:00:00Z", None]
    ((cause,),) = ([c["hosts"] for c in document["causes"]],)
    assert (cause[0]["since"], cause[0]["new"]) == ("2026-11-20T03:00:00Z", True)
    assert document["hosts"][0]["last_success"] == "2026-11-19T03:00:00Z"


def test_a_look_at_one_environment_hides_no_host(tmp_path: Path) -> None:
    a, b, c = (HostReport(name=name, status="clean") for name in "abc")
    save_report(tmp_path / "one", checked("20T03", a, b))
    scoped = checked("21T03", a, c).model_copy(update={"environments": ("vision",)})
    save_report(tmp_path / "one", scoped)
    done = run(tmp_path / "one", "--json")
    assert [host["name"] for host in json.loads(done.stdout)["hosts"]] == ["a", "b"]
    assert "left out: c, with reports about some environments alone" in done.stderr


def test_one_directory_does_not_end_the_report_of_others(tmp_path: Path) -> None:
    save_report(tmp_path / "one", checked("20T03", HostReport(name="a", status="clean")))
    future = checked("20T03").model_copy(update={"at": datetime(2999, 1, 1, tzinfo=UTC)})
    save_report(tmp_path / "two", future)
    done = run(tmp_path / "one", tmp_path / "two", "--json")
    assert [host["name"] for host in json.loads(done.stdout)["hosts"]] == ["a"]
    assert "2999-01-01 00:00 UTC is in the future" in done.stderr
    assert f"{tmp_path / 'two'}/ holds no drift report" in done.stderr
    done = run(tmp_path / "two", tmp_path / "two")
    assert (done.exit_code, "there is no drift report" in done.stderr) == (1, True)


def test_hosts_that_several_directories_speak_for_are_named(tmp_path: Path) -> None:
    a, b, c = (HostReport(name=name, status="clean") for name in "abc")
    one = save_report(tmp_path / "one", checked("20T03", a, b))
    two = save_report(tmp_path / "one", checked("21T03", a))
    save_report(tmp_path / "two", checked("21T03", b, c))
    assert (
        "several directories have reports of b:" in run(tmp_path / "one", tmp_path / "two").stderr
    )
    assert "several directories" not in run(one, two).stderr


def test_reports_of_two_schemas_are_one(tmp_path: Path) -> None:
    old = max((FIXTURES.parent / "report-1").glob("*.json"))
    kind = json.loads(old.read_text())["kind"]
    saved = save_report(tmp_path, checked("20T03", HostReport(name="b", status="clean"), kind=kind))
    names = [host["name"] for host in json.loads(run(old, saved, "--json").stdout)["hosts"]]
    assert names == ["@local", "b"]


def test_reports_of_different_kinds_are_not_one(tmp_path: Path) -> None:
    here = save_report(tmp_path, checked("20T03"))
    there = save_report(tmp_path, checked("21T03", kind="smoke"))
    done = run(here, there)
    assert done.exit_code == 1
    assert "reports of different kinds: drift, smoke" in done.output


def test_a_directory_serves_every_form(project: Path) -> None:
    done = run("reports", "--junit", "j.xml", "--prometheus", "m.prom", "--html", "f.html")
    assert done.exit_code == 0
    assert 'fleetwheel_host_up{host="h100-07"} 0.0' in (project / "m.prom").read_text()
    assert 'classname="h100-07"' in (project / "j.xml").read_text()
    assert "What is wrong" in (project / "f.html").read_text()
    save_report(project / "reports", checked("20T04", kind="deploy"))
    refused = run("--kind", "deploy", "--junit", "j.xml")
    assert "--junit tells what a drift check found" in refused.output


def test_one_report_against_another(project: Path) -> None:
    earlier = project / "reports" / EARLIER.name
    done = run("--against", earlier)
    assert done.output.startswith("2026-11-10 03:12 to 2026-11-20 03:12 UTC: ")
    assert done.output == run("--compare", earlier, LAST).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no drift report"),
        (["nowhere.json"], "nowhere.json cannot be read"),
        ([LAST, "--compare", "--against", LAST], "too many files"),
        ([LAST, "nowhere.json"], "nowhere.json cannot be read"),
        (["--compare", LAST, LAST, LAST], "too many files"),
        ([LAST, "--html", "file/fleet.html"], "file/fleet.html cannot be written"),
    ],
)
def test_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str | Path], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = run(*arguments)
    assert done.exit_code == 1
    assert words in done.output
