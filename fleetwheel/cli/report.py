"""`fleetwheel report`: an earlier report again, or what differs between two."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click
from rich.console import Console

from fleetwheel import files
from fleetwheel.cli._options import file_option, json_flag
from fleetwheel.cli._stderr import verbosity_options, warn
from fleetwheel.errors import FleetwheelError
from fleetwheel.operations._report import kept_reports
from fleetwheel.reporting import history, page, report
from fleetwheel.reporting.causes import comparable, follow
from fleetwheel.reporting.report import Kind, Report
from fleetwheel.terminal import new_console

REPORTS = Path("reports")
STDOUT = Path("-")


@click.command("report")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "--kind",
    type=click.Choice(get_args(Kind)),
    default="drift",
    show_default=True,
    help="Which kind of report in reports/.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Show what is new, repaired and unchanged since the report before.",
)
@file_option("html", "one page to look at")
@json_flag
@verbosity_options
def report_command(
    paths: Sequence[Path],
    kind: Kind,
    compare: bool,
    html_file: Path | None,
    as_json: bool,
    verbosity: int,
) -> None:
    """Show the last report in reports/ again, or FILE.

    With --compare, show what differs from the report before it, or from an older FILE to a newer.
    Exits with 1 where there is none.
    """
    if len(paths) > (2 if compare else 1):
        raise FleetwheelError("too many files", hint="one report, or two of them with --compare")
    found = _reports(paths[-1] if paths else None, kind)
    last = follow(found[-1], found[:-1])
    found = (
        [history.read_report(paths[0]), last] if len(paths) == 2 else [*_alike(found)[:-1], last]
    )
    if html_file:
        write_output(html_file, page.render_page(last, found[:-1]))
    console = new_console(stderr=html_file == STDOUT)
    if compare:
        _show_comparison(found, as_json, console)
    elif as_json:
        click.echo(report.report_json(last))
    else:
        click.echo(f"{last.kind} of {last.at:%Y-%m-%d %H:%M} UTC\n", err=console.stderr)
        report.print_table(last, console)


def _show_comparison(found: Sequence[Report], as_json: bool, console: Console) -> None:
    if len(found) < 2:
        about = f" of {found[-1].scope}" if found[-1].scope else ""
        raise FleetwheelError(f"there is no {found[-1].kind} report{about} before the last one")
    comparison = history.compare(found[-2], found[-1])
    if as_json:
        click.echo(json.dumps(comparison.document(), indent=2))
    else:
        history.print_comparison(comparison, console)


def _alike(found: Sequence[Report]) -> list[Report]:
    """Return the last report behind those before it that are about the same environments."""
    return comparable(found, found[-1])


def _reports(file: Path | None, kind: Kind) -> list[Report]:
    """Return the reports up to the one that is asked for, oldest first."""
    if file:
        wanted = history.read_report(file)
        earlier = history.load_reports(file.parent, wanted.kind, warn)
        return [*(report for report in earlier if report.at < wanted.at), wanted]
    found = history.load_reports(REPORTS, kind, warn)
    if not found:
        raise FleetwheelError(
            f"reports/ holds no {kind} report", hint="run `fleetwheel drift inventory.py`"
        )
    return found


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
