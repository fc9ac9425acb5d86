"""`fleetwheel facts`: what every host of an inventory is."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.filesize import decimal

from fleetwheel.cli._fleet import SILENT, answers, is_recorded
from fleetwheel.cli._options import (
    Scope,
    data_option,
    inventory_argument,
    json_flag,
    limit_option,
    read_data,
)
from fleetwheel.cli._stderr import QUIET, verbosity_options
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, HostState, Profile
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from fleetwheel.node.driver_states import explain_state
from fleetwheel.reporting.table import print_rows
from fleetwheel.terminal import new_console


@click.command("facts")
@inventory_argument
@limit_option
@data_option
@click.option(
    "--save",
    "save_to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what each host says to a file in DIR.",
)
@click.option(
    "--settings",
    "shows_settings",
    is_flag=True,
    help="Show every setting of each host and where it comes from; no host is asked.",
)
@json_flag
@verbosity_options
def facts_command(
    inventory: str,
    limit: Sequence[str],
    data: Sequence[str],
    save_to: Path | None,
    shows_settings: bool,
    as_json: bool,
    verbosity: int,
) -> None:
    """Say what every host is: system, GPUs, driver, free disk.

    INVENTORY is what pyinfra takes, such as inventory.py or @local, or a directory that --save
    has written. Exits with 0 where all hosts answered, 4 where some did not, and 1 where the run
    itself failed.

    With --settings no host is contacted: 4 then means that a host's settings are not valid.
    """
    scope = Scope(inventory, limit, read_data(data), verbosity)
    if shows_settings:
        _show_settings(scope, save_to, as_json)
        return
    answered = answers(scope)
    if save_to:
        count = _save(save_to, answered)
        if verbosity != QUIET:
            click.echo(f"recorded {count} of {len(answered)} hosts in {save_to}", err=True)
    if as_json:
        click.echo(json.dumps({"hosts": [answer.document() for answer in answered]}, indent=2))
    else:
        _print_facts(answered)
    if not all(answer.state for answer in answered):
        raise SystemExit(SILENT)


def _show_settings(scope: Scope, save_to: Path | None, as_json: bool) -> None:
    from fleetwheel.cli._settings import print_settings, settings_of

    if save_to or is_recorded(scope):
        raise FleetwheelError(
            "--settings is about an inventory", hint="name one, and leave --save out"
        )
    found = settings_of(scope)
    if as_json:
        click.echo(json.dumps({"hosts": [host.document() for host in found]}, indent=2))
    else:
        print_settings(found, new_console(highlight=False))
    if any(host.error for host in found):
        raise SystemExit(SILENT)


def _save(directory: Path, answers: Sequence[HostSnapshot]) -> int:
    """Record the hosts that answered, and return how many that are."""
    try:
        return len(save_snapshots(directory, answers))
    except OSError as error:
        raise click.ClickException(f"--save {directory}: {error.strerror}") from error


def _print_facts(answers: Sequence[HostSnapshot]) -> None:
    """Print one row for each host; text from hosts is shown, never interpreted."""
    rows = [(answer.name, *_facts_row(answer)) for answer in answers]
    headings = ("host", "system", "GPUs", "driver", "state", "free disk", "why")
    print_rows(headings, rows, new_console(highlight=False))


def _facts_row(answer: HostSnapshot) -> tuple[str, ...]:
    state = answer.state
    if state is None:
        return "-", "-", "-", "no answer", "-", answer.error
    profile, free = state.profile, state.installation.free_bytes
    return (
        profile.distribution or f"{profile.os} {profile.arch}",
        _gpus(profile) or "-",
        profile.driver.version or "-",
        profile.driver.state.value,
        "-" if free is None else decimal(free),
        _trouble(state),
    )


def _trouble(state: HostState) -> str:
    """Return what keeps a host from being deployed to, as far as facts tell it."""
    driver, distrusted = state.profile.driver, state.installation.distrusted
    broken = driver.state not in (DriverState.OK, DriverState.NO_GPU)
    meaning = explain_state(driver.state, state.profile.os).meaning if broken else ""
    return "\n".join(filter(None, [meaning, distrusted]))


def _gpus(profile: Profile) -> str:
    """Return ``2 x RTX 4090``, or what the PCI bus shows where the driver shows nothing."""
    names = [gpu.name.removeprefix("NVIDIA ") for gpu in profile.gpus]
    names = names or [f"PCI {device}" for device in profile.installed_driver.devices]
    return "\n".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
