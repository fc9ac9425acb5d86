"""`fleetwheel deploy`, `smoke`, `rollback`, `onboard`, `mirror`, `schedule`: those of deploys/."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyinfra
from rich.console import Console

from fleetwheel.cli._fleet import limit_option
from fleetwheel.cli._run import Deploy, run
from fleetwheel.cli.report import REPORTS, write_output
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.command_line import checked_data, data_value
from fleetwheel.reporting import report
from fleetwheel.reporting.report import Report
from fleetwheel.terminal import printable

DEPLOYS = {
    "deploy": (Deploy("torch"), "Give every host the newest PyTorch that runs on it, tested."),
    "smoke": (Deploy("smoke", "smoke", asks=False), "Test the environment in use on every host."),
    "rollback": (Deploy("rollback"), "Put every host back on the generation before."),
    "onboard": (Deploy("onboard"), "Give bare hosts a Python and a driver, then PyTorch."),
    "mirror": (Deploy("mirror"), "Make the host that the inventory names a mirror of wheels."),
    "schedule": (Deploy("schedule"), "Have hosts look for drift, or pull, at regular times."),
}


def command(name: str) -> click.Command:
    """Return one of the commands."""
    deploy, summary = DEPLOYS[name]

    @click.command(
        name, help=f"{summary}\n\n{HELP}".replace("FILE.py", f"deploys/{deploy.name}.py")
    )
    @click.argument("inventory", type=click.Path(), default="inventory.py")
    @limit_option
    @click.option("--data", multiple=True, metavar="KEY=VALUE", help="Settings for all hosts.")
    @click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask before it changes anything.")
    @click.option("--detailed-exitcodes", "detailed", is_flag=True, help="2 where hosts changed.")
    @click.option(
        "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE", help="The report; - is standard output.",
    )  # fmt: skip
    @click.option("--quiet", "-q", is_flag=True, help="No progress, only what is wrong.")
    @click.option("--verbose", "-v", count=True, help="What pyinfra asks and runs; twice: more.")
    def run_deploy(
        inventory: str, limit: Sequence[str], data: Sequence[str], dry_run: bool, yes: bool,
        detailed: bool, json_file: Path | None, quiet: bool, verbose: int,
    ) -> None:  # fmt: skip
        if dry_run and yes:
            raise FleetwheelError("--dry-run and --yes contradict each other", hint="leave one out")
        _log_to_stderr(logging.WARNING if quiet else logging.INFO)
        console = Console(stderr=json_file == Path("-"))
        found, done = run(
            deploy, inventory, limit, _data(data),
            lambda planned: _confirmed(planned, console, dry_run, yes), verbose,
        )  # fmt: skip
        if done or not _changes(found):
            report.print_table(found, console)
        _keep(found, json_file, console, saved=not dry_run and done)
        raise SystemExit(report.deploy_exit_status(found, detailed=detailed))

    return run_deploy


HELP = """INVENTORY is what pyinfra takes: inventory.py, which is the default, @local, or A,B.
This runs the same FILE.py as pyinfra does. On a terminal it asks once before it changes anything;
without one it needs --yes or --dry-run.

Exits with 0 where all is done, or there was nothing to do; 4 where hosts failed, were refused or
could not be reached; 1 where the run itself failed. With --detailed-exitcodes also with 2 where
hosts changed, or would change, and 6 where both is so."""


def _changes(found: Report) -> int:
    return sum(host.status == "would change" for host in found.hosts)


def _confirmed(planned: Report, console: Console, dry_run: bool, yes: bool) -> bool:
    """Show what would change, and ask for it where somebody can answer."""
    if yes:
        return True
    report.print_table(planned, console)
    if dry_run:
        return False
    if not sys.stdin.isatty():
        raise FleetwheelError(
            f"{_changes(planned)} hosts would change, and nobody is there to be asked",
            hint="add --yes to apply it, or --dry-run to look alone",
        )
    return click.confirm(f"\nApply to {_changes(planned)} hosts?", err=True)


def _data(words: Sequence[str]) -> dict[str, Any]:
    """Return what ``--data`` says, checked before any host is asked."""
    for word in words:
        if "=" not in word:
            raise FleetwheelError(f"--data {word}: is not KEY=VALUE")
    pairs = (word.split("=", 1) for word in words)
    return checked_data({key: data_value(value) for key, value in pairs})


def _keep(found: Report, json_file: Path | None, console: Console, *, saved: bool) -> None:
    document = found.model_dump_json(by_alias=True, indent=2) + "\n"
    if json_file == Path("-"):
        click.echo(document, nl=False)
    elif json_file:
        write_output(json_file, document)
    if not found.hosts:
        click.echo("nothing to do", err=True)
    if not saved or not found.hosts:
        return
    try:
        console.print(f"\n{report.save_report(REPORTS, found)}", style="dim")
    except OSError as error:
        raise FleetwheelError(f"reports/ cannot be written: {error.strerror}") from error


class _ToStderr(logging.Handler):
    """Prints what pyinfra logs; text of hosts is shown, never interpreted."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable(click.unstyle(record.getMessage())), err=True)


def _log_to_stderr(level: int) -> None:
    pyinfra.logger.handlers, pyinfra.logger.propagate = [_ToStderr()], False
    pyinfra.logger.setLevel(level)
