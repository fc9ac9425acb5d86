"""`fleetwheel drift`: what differs on every host from what it should be."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console

from fleetwheel import drift
from fleetwheel.cli._fleet import limit_option, warn
from fleetwheel.cli.fleet import check_drift
from fleetwheel.cli.report import REPORTS, write_output
from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting import history, junit, page, prometheus, report
from fleetwheel.reporting.report import Report
from fleetwheel.terminal import printable

Command = Callable[..., None]


def _file(name: str, what: str) -> Callable[[Command], Command]:
    path = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
    return click.option(f"--{name}", name, type=path, metavar="FILE", help=what)


@click.command("drift")
@click.argument("inventory", type=click.Path(), default="inventory.py")
@limit_option
@click.option("--deep", is_flag=True, help="Check every installed file and run the smoke test.")
@click.option("--repair", is_flag=True, help="Print the deploys that mend the drifted hosts.")
@_file("json", "The report; - is standard output.")
@_file("junit", "One test case for each host and class.")
@_file("prometheus", "Gauges for node_exporter's textfile collector.")
@_file("html", "One page to look at.")
def drift_command(
    inventory: str, limit: Sequence[str], deep: bool, repair: bool, **outputs: Path | None
) -> None:
    """Compare every host with what it should be; change nothing.

    INVENTORY is what pyinfra takes, such as inventory.py or @local. Exits with 0 where all hosts
    are as they should be, 2 where some are not, 4 where some failed or could not be reached, 6
    where both is so, and 1 where the run itself failed.
    """
    found = report.report_of(
        check_drift(inventory, limit, warn, deep=deep), kind="drift", deep=deep
    )
    earlier = history.load_reports(REPORTS, "drift", warn)
    to_stdout = outputs["json"] == Path("-")
    console = Console(stderr=to_stdout)
    report.print_table(found, console)
    for sentence in drift.odd_ones_out(found.hosts):
        console.print(f"  {printable(sentence)}", markup=False, highlight=False)
    if repair:
        _print_repair(inventory, found, console)
    _write(found, earlier, outputs)
    try:
        console.print(f"\n{report.save_report(REPORTS, found)}", style="dim")
    except OSError as error:
        raise FleetwheelError(f"reports/ cannot be written: {error.strerror}") from error
    raise SystemExit(drift.exit_status(found.hosts))


def _print_repair(inventory: str, found: Report, console: Console) -> None:
    """Print the deploys for the hosts that drifted; nothing is repaired by itself."""
    commands = drift.repairs(found.hosts, inventory)
    lines = "\n".join(commands) or "there is nothing that a deploy would mend"
    console.print(f"\n{lines}", markup=False, highlight=False, soft_wrap=True)


def _write(found: Report, earlier: Sequence[Report], outputs: dict[str, Path | None]) -> None:
    document = report.report_json(found) + "\n"
    if outputs["json"] == Path("-"):
        click.echo(document, nl=False)
    elif outputs["json"]:
        write_output(outputs["json"], document)
    if outputs["junit"]:
        write_output(outputs["junit"], junit.junit(found))
    if outputs["prometheus"]:
        # node_exporter, another user, reads it
        write_output(outputs["prometheus"], prometheus.metrics(found, earlier), 0o644)
    if outputs["html"]:
        write_output(outputs["html"], page.render_page(found, earlier))
