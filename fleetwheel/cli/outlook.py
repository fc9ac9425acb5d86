"""`fleetwheel outlook`: which hosts the newest PyTorch no longer serves."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from fleetwheel.choice.outlook import Outlook, outlook
from fleetwheel.cli._fleet import SILENT, answers
from fleetwheel.cli._host import HOST_NAMES, Spreading, described_host, given, host_options
from fleetwheel.cli._options import (
    INVENTORY,
    Scope,
    data_option,
    json_flag,
    limit_option,
    read_data,
)
from fleetwheel.cli._stderr import verbosity_options
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT
from fleetwheel.inventory.recorded import HostSnapshot
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.reporting.table import print_rows
from fleetwheel.terminal import new_console


@click.command("outlook", cls=Spreading)
@click.argument("inventory", required=False, type=click.Path())
@host_options
@limit_option
@data_option
@json_flag
@verbosity_options
def outlook_command(
    inventory: str | None,
    limit: Sequence[str],
    data: Sequence[str],
    as_json: bool,
    verbosity: int,
    **options: Any,
) -> None:
    """Say which hosts the newest PyTorch no longer serves.

    And say what would keep them. The matrix of releases alone decides, whichever release the
    inventory pins today.
    INVENTORY and exit status are those of `fleetwheel facts`. The options --os to --glibc describe
    one host instead.
    """
    described = bool(given() & HOST_NAMES)
    if described and (inventory or limit or data):
        raise FleetwheelError("give an inventory, or describe one host, not both")
    if described:
        answered = [HostSnapshot(name="the host", profile=described_host(**options))]
    else:
        answered = answers(Scope(inventory or INVENTORY, limit, read_data(data), verbosity))
    found = [each for answer in answered for each in _outlooks(answer)]
    if as_json:
        click.echo(json.dumps({"hosts": [each.document() for each in found]}, indent=2))
    else:
        _print_outlook(found)
    if not all(answer.profile for answer in answered):
        raise SystemExit(SILENT)


class EnvironmentOutlook(NamedTuple):
    """One environment of a host."""

    host: str
    environment: str
    outlook: Outlook | None
    """None where the host gave no answer."""
    error: str

    def document(self) -> dict[str, Any]:
        """Return the entry of ``fleetwheel outlook --json``."""
        said = self.outlook.model_dump() if self.outlook else {"error": self.error}
        return {"name": self.host, "environment": self.environment, **said}


def _outlooks(answer: HostSnapshot) -> list[EnvironmentOutlook]:
    """Return the outlook of each environment that a host is to have."""
    profile, matrix = answer.profile, load_matrix()
    if profile is None:
        return [EnvironmentOutlook(answer.name, "", None, answer.error)]
    found = []
    for name, settings in answer.settings.by_environment().items():
        try:
            of = outlook(profile, settings.request, matrix)
            found.append(EnvironmentOutlook(answer.name, name, of, ""))
        except FleetwheelError as error:  # of a team's file
            found.append(EnvironmentOutlook(answer.name, name, None, str(error)))
    return found


def _print_outlook(found: Sequence[EnvironmentOutlook]) -> None:
    """Print how many hosts the newest release serves, and a row for each of the others."""
    several = {each.environment for each in found} - {DEFAULT, ""}
    served = sum(each.outlook is not None and each.outlook.served for each in found)
    of = f"{len(found)} environments" if several else str(len(found))
    for newest in {each.outlook.newest for each in found if each.outlook}:
        click.echo(f"torch {newest}, the newest release, serves {served} of {of}")
    rows = [
        (each.host, each.environment if several else "", *_outlook_row(each))
        for each in found
        if each.outlook is None or not each.outlook.served
    ]
    headings = ("host", "environment", "last release", "why", "what would keep it")
    print_rows(headings, rows, new_console(highlight=False))


def _outlook_row(seen: EnvironmentOutlook) -> tuple[str, str, str]:
    if seen.outlook is None:
        return "no answer", seen.error, ""
    found = seen.outlook
    return found.last or "none", "\n".join(found.reasons), "\n".join(found.keeps)
