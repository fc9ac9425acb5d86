"""`fleetwheel drift`: what differs on every host from what it should be."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from fleetwheel import drift
from fleetwheel.cli._options import (
    Scope,
    data_option,
    environment_option,
    file_option,
    inventory_argument,
    limit_option,
    read_data,
    with_environments,
)
from fleetwheel.cli._stderr import QUIET, verbosity_options, warn
from fleetwheel.cli.fleet import check_drift
from fleetwheel.cli.report import REPORTS, STDOUT, save, write_reports
from fleetwheel.reporting import history, report
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.report import Report
from fleetwheel.terminal import new_console, printable


@click.command("drift")
@inventory_argument
@limit_option
@data_option
@environment_option
@click.option(
    "--deep", is_flag=True, help="Also check every installed file and run the smoke test."
)
@click.option("--repair", is_flag=True, help="Print the deploys that repair the drifted hosts.")
@file_option("json", "the report as JSON")
@file_option("junit", "a JUnit test case for each host, environment and class")
@file_option("prometheus", "gauges for node_exporter's textfile collector")
@file_option("html", "one page to look at")
@verbosity_options
def drift_command(
    inventory: str,
    limit: Sequence[str],
    data: Sequence[str],
    environments: Sequence[str],
    deep: bool,
    repair: bool,
    verbosity: int,
    **outputs: Path | None,
) -> None:
    """Compare every host with what it should be; change nothing.

    INVENTORY is what pyinfra takes, such as inventory.py or @local. Exits with 0 where all hosts
    are as they should be, 2 where some are not, 4 where some failed or could not be reached, 6
    where both is so, and 1 where the run itself failed.
    """
    said = with_environments(data, environments)
    scope = Scope(inventory, limit, read_data(said), verbosity)
    hosts = check_drift(scope, deep=deep)
    found = report.report_of(hosts, kind="drift", deep=deep, environments=scope.environments)
    found = found.model_copy(update={"inventory": inventory})
    earlier = history.load_earlier(REPORTS, found, warn)
    found = follow(found, earlier)
    console = new_console(stderr=STDOUT in outputs.values())
    report.print_table(found, console)
    for sentence in drift.odd_ones_out(found.hosts):
        console.print(f"  {printable(sentence)}", markup=False, highlight=False)
    if repair:
        _print_repair(inventory, said, found, console)
    write_reports(found, earlier, outputs)
    saved = save(found)
    if verbosity != QUIET:
        console.print(f"\n{saved}", style="dim")
    raise SystemExit(report.drift_exit_status(found))


def _print_repair(inventory: str, data: Sequence[str], found: Report, console: Console) -> None:
    """Print the deploys for the hosts that drifted; nothing is repaired by itself."""
    commands = drift.repairs(found.hosts, inventory, data)
    lines = "\n".join(commands) or drift.without_repair(found)
    console.print(f"\n{lines}", markup=False, highlight=False, soft_wrap=True)
