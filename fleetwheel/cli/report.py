"""`fleetwheel report`: an earlier report again, or what differs between two."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import click
from rich.console import Console

from fleetwheel import files
from fleetwheel.cli._options import file_option, json_flag
from fleetwheel.cli._stderr import verbosity_options, warn
from fleetwheel.errors import FleetwheelError
from fleetwheel.operations._report import kept_reports
from fleetwheel.reporting import history, junit, page, prometheus, report
from fleetwheel.reporting.cause_list import some
from fleetwheel.reporting.causes import comparable, follow
from fleetwheel.reporting.merge import merge
from fleetwheel.reporting.report import Kind, Report
from fleetwheel.terminal import new_console

REPORTS = Path("reports")
STDOUT = Path("-")
CHECK = "run `fleetwheel drift inventory.py`"


@click.command("report")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR|FILE]...")
@click.option(
    "--kind",
    type=click.Choice(get_args(Kind)),
    default="drift",
    show_default=True,
    help="Which kind of report in reports/ or DIR.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Show what is new, repaired and unchanged since the report before.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|FILE",
    help="Show what differs from an older report.",
)
@file_option("html", "one page to look at")
@file_option("junit", "a JUnit test case for each host, environment and class")
@file_option("prometheus", "gauges for node_exporter's textfile collector")
@json_flag
@verbosity_options
def report_command(
    paths: Sequence[Path],
    kind: Kind,
    compare: bool,
    against: Path | None,
    as_json: bool,
    verbosity: int,
    **outputs: Path | None,
) -> None:
    """Show the last report in reports/ again, or FILE.

    Several of them, or a DIR of reports, are shown as one: the newest of each host counts.

    With --compare, show what differs from the report before, or from an older FILE to a newer;
    with --against, from the report there. Exits with 1 where there is none.
    """
    old = paths[0] if compare and len(paths) == 2 else against
    if compare and (len(paths) > 2 or against):
        raise FleetwheelError("too many files", hint="two reports with --compare")
    last, earlier = _asked_for(paths[1:] if old is not against else paths, kind)
    last = follow(last, earlier)
    before = [_asked_for([old], last.kind)[0]] if old else _before(earlier, last)
    write_reports(last, earlier, outputs)
    console = new_console(stderr=STDOUT in outputs.values())
    if compare or against:
        _show_comparison([*before, last], as_json, console)
    elif as_json:
        click.echo(report.report_json(last))
    else:
        click.echo(f"{last.kind} of {last.at:%Y-%m-%d %H:%M} UTC\n", err=console.stderr)
        report.print_table(last, console)


def _before(earlier: Sequence[Report], last: Report) -> list[Report]:
    """Return what was known of each host before the last report, as one; none without any.

    The report before may be about some hosts alone. Hosts that are long gone are left out.
    """
    known = comparable(earlier, last)
    if not known:
        return []
    names = {host.name for report in (known[-1], last) for host in report.hosts}
    found, _ = merge(known, warn)
    hosts = tuple(host for host in found.hosts if host.name in names)
    return [found.model_copy(update={"hosts": hosts})]


def _show_comparison(found: Sequence[Report], as_json: bool, console: Console) -> None:
    if len(found) < 2:
        about = f" of {found[-1].scope}" if found[-1].scope else ""
        raise FleetwheelError(f"there is no {found[-1].kind} report{about} before the last one")
    comparison = history.compare(found[-2], found[-1])
    if as_json:
        click.echo(json.dumps(comparison.document(), indent=2))
    else:
        history.print_comparison(comparison, console)


def _asked_for(paths: Sequence[Path], kind: Kind) -> tuple[Report, list[Report]]:
    """Return the report that is asked for, and those before it, oldest first."""
    if not paths:
        return _last(REPORTS, kind)
    if len(paths) == 1 and not paths[0].is_dir():
        wanted = history.read_report(paths[0])
        return wanted, history.load_earlier(paths[0].parent, wanted, warn)
    if len(paths) == 1:
        return merge(_of(paths[0], kind), warn)
    found = [(path, report) for path in paths for report in _read(path, kind)]
    for path in [path for path in paths if path not in dict(found)]:
        warn(f"{path}/ holds no {kind} report")
    if not found:
        raise FleetwheelError(f"there is no {kind} report", hint=CHECK)
    _warn_of_disputed(found)
    return merge([report for _, report in found], warn)


def _warn_of_disputed(found: Sequence[tuple[Path, Report]]) -> None:
    """Name the hosts that reports of different directories are about: the newest one counts."""
    places: dict[str, set[Path]] = {}
    for path, each in found:
        place = path if path.is_dir() else path.parent
        for host in each.hosts:
            places.setdefault(host.name, set()).add(place)
    disputed = sorted(name for name, of in places.items() if len(of) > 1)
    if disputed:
        warn(f"several directories have reports of {some(disputed)}: the newest of each counts")


def _last(directory: Path, kind: Kind) -> tuple[Report, list[Report]]:
    *earlier, last = _of(directory, kind)
    return last, earlier


def _of(path: Path, kind: Kind) -> list[Report]:
    """Return the report of a file, or those of a kind in a directory."""
    if found := _read(path, kind):
        return found
    raise FleetwheelError(f"{path}/ holds no {kind} report", hint=CHECK)


def _read(path: Path, kind: Kind) -> list[Report]:
    if not path.is_dir() and path != REPORTS:
        return [history.read_report(path)]
    return history.load_reports(path, kind, warn)


def write_reports(
    found: Report, earlier: Sequence[Report], outputs: Mapping[str, Path | None]
) -> None:
    """Write a report in every form that has a file; only drift checks have gauges and cases."""
    if path := outputs.get("json_file"):
        write_output(path, report.report_json(found) + "\n")
    if path := outputs["junit_file"]:
        _require_drift(found, "--junit")
        write_output(path, junit.junit(found))
    if path := outputs["prometheus_file"]:
        _require_drift(found, "--prometheus")
        # node_exporter, another user, reads it
        write_output(path, prometheus.metrics(found, earlier), 0o644)
    if path := outputs["html_file"]:
        write_output(path, page.render_page(found, earlier))


def _require_drift(found: Report, option: str) -> None:
    if found.kind != "drift":
        raise FleetwheelError(
            f"{option} tells what a drift check found, and this is a {found.kind} report",
            hint="leave it out, or name a drift check",
        )


def save(found: Report) -> Path:
    """Keep a report in reports/; FleetwheelError where that cannot be done."""
    try:
        return report.save_report(REPORTS, found, kept_reports())
    except OSError as error:
        raise FleetwheelError(f"reports/ cannot be written: {error.strerror}") from error


def write_output(path: Path, text: str, mode: int | None = None) -> None:
    """Write a file in one step, or to standard output for ``-``.

    Raises FleetwheelError where that cannot be done.
    """
    if path == STDOUT:
        click.echo(text, nl=not text.endswith("\n"))
        return
    if not path.parent.is_dir():
        raise FleetwheelError(f"{path} cannot be written: there is no directory {path.parent}")
    try:
        files.replace(path, text, mode)
    except OSError as error:
        raise FleetwheelError(f"{path} cannot be written: {error.strerror}") from error
