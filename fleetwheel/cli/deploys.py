"""`fleetwheel deploy`, `smoke`, `rollback`, `remove` and so on: the files of deploys/."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from fleetwheel.cli._options import (
    Scope,
    data_option,
    environment_option,
    file_option,
    inventory_argument,
    limit_option,
    read_data,
)
from fleetwheel.cli._run import Deploy, run
from fleetwheel.cli._stderr import QUIET, verbosity_options, warn
from fleetwheel.cli.report import REPORTS, STDOUT, save, write_output
from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting import history, report
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.report import Report
from fleetwheel.terminal import new_console

DEPLOYS = {
    "deploy": (
        Deploy("torch"),
        "Give every host the newest PyTorch that runs on it, tested.",
    ),
    "smoke": (Deploy("smoke", "smoke", asks=False), "Test the environment in use on every host."),
    "rollback": (
        Deploy("rollback"),
        "Put every host back on the generation before.",
    ),
    "remove": (
        Deploy("remove"),
        "Take off every host the environments that the inventory does not name any more.",
    ),
    "onboard": (Deploy("onboard"), "Give bare hosts a Python and a driver, then PyTorch."),
    "mirror": (Deploy("mirror"), "Make the host that the inventory names a mirror of wheels."),
    "schedule": (
        Deploy("schedule"),
        "Have hosts look for drift, or pull, at regular times.",
    ),
}


INVENTORY = (
    """INVENTORY is what pyinfra takes, such as inventory.py (the default), @local or A,B."""
)
CHANGING = f"""This runs deploys/FILE.py, as pyinfra does, on the hosts of INVENTORY. On a terminal
it shows what would change and asks once; without a terminal it needs --yes or --dry-run.

{INVENTORY}

Exits with 0 where all is done, or there was nothing to do; 4 where hosts failed, were refused or
could not be reached; 1 where the run itself failed. With --detailed-exitcodes it exits with 2
where hosts changed, or would change, and with 6 where both is so."""
TESTING = f"""This runs deploys/FILE.py, as pyinfra does, on the hosts of INVENTORY. It changes no
environment and never asks: --yes and --detailed-exitcodes are taken, as by the other commands, and
make no difference.

{INVENTORY}

Exits with 0 where all tests passed; 4 where one failed, or a host could not be tested; 1 where the
run itself failed."""


NOTES = {
    "deploy": """A host that is right is left alone, also when there is a newer release:
`--data relock=true` takes that.""",
    "rollback": """`--data generation=ID` names another one. Deploys then leave the host alone,
until `fleetwheel deploy --data lift_hold=true`.""",
    "remove": """`--data what=schedule` or `what=mirror` takes these away, `what=everything` all of
fleetwheel; `--data in_use=true` also what a process runs from.""",
    "schedule": """Which hosts and when stands in the inventory, under schedule;
`--data mode=pull` has those hosts pull.""",
    "smoke": """`--data smoke=full` tests for some minutes.""",
}


def command(name: str) -> click.Command:
    """Return one of the commands."""
    deploy, summary = DEPLOYS[name]
    texts = [summary, NOTES.get(name, ""), CHANGING if deploy.asks else TESTING]

    @click.command(name, help="\n\n".join(texts).replace("FILE.py", f"{deploy.name}.py"))
    @inventory_argument
    @limit_option
    @data_option
    @environment_option
    @click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask before it changes anything.")
    @click.option(
        "--detailed-exitcodes",
        "detailed",
        is_flag=True,
        help="Say by 2 or 6 that hosts changed.",
    )
    @file_option("json", "the report as JSON")
    @verbosity_options
    def run_deploy(
        inventory: str, limit: Sequence[str], data: Sequence[str], environments: Sequence[str],
        dry_run: bool, yes: bool, detailed: bool, json_file: Path | None, verbosity: int,
    ) -> None:  # fmt: skip
        if dry_run and yes:
            raise FleetwheelError("--dry-run and --yes contradict each other", hint="leave one out")
        console = new_console(stderr=json_file == STDOUT)
        said = read_data(data, deploy.path, environments=environments)
        found, done = run(
            deploy,
            Scope(inventory, limit, said, verbosity),
            lambda planned: _confirmed(planned, console, dry_run, yes or not deploy.asks),
        )
        found = _followed(found, inventory, deploy)
        if done or not _changes(found):
            report.print_table(found, console)
        if json_file:
            write_output(json_file, report.report_json(found) + "\n")
        if not found.hosts:
            click.echo("nothing to do", err=True)
        if done and not dry_run and found.hosts:
            saved = save(found)
            if verbosity != QUIET:
                console.print(f"\n{saved}", style="dim")
        raise SystemExit(report.deploy_exit_status(found, detailed=detailed))

    return run_deploy


def _followed(found: Report, inventory: str, deploy: Deploy) -> Report:
    made_by = {"inventory": inventory, "deploys": (f"deploys/{deploy.name}.py",)}
    earlier = history.load_earlier(REPORTS, found, warn)
    return follow(found.model_copy(update=made_by), earlier)


def _changes(found: Report) -> int:
    return sum("would change" in host.statuses for host in found.hosts)


def _counted(planned: Report) -> str:
    count = _changes(planned)
    return f"{count} host{'s' if count > 1 else ''}"


def _confirmed(planned: Report, console: Console, dry_run: bool, yes: bool) -> bool:
    """Show what would change, and ask for it where somebody can answer."""
    if yes and not dry_run:
        return True
    report.print_table(planned, console)
    if dry_run:
        return False
    if not sys.stdin.isatty():
        raise FleetwheelError(
            f"{_counted(planned)} would change, and nobody is there to be asked",
            hint="add --yes to apply it, or --dry-run to look alone",
        )
    return click.confirm(f"\nApply to {_counted(planned)}?", err=True)
