"""`fleetwheel outlook`: which hosts the newest PyTorch no longer serves."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

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
    matrix = load_matrix()
    seen = {
        answer.name: outlook(answer.profile, answer.settings.request, matrix)
        for answer in answered
        if answer.profile
    }
    if as_json:
        hosts = [
            {"name": a.name, **(seen[a.name].model_dump() if a.profile else {"error": a.error})}
            for a in answered
        ]
        click.echo(json.dumps({"hosts": hosts}, indent=2))
    else:
        _print_outlook(answered, seen)
    if len(seen) < len(answered):
        raise SystemExit(SILENT)


def _print_outlook(answers: Sequence[HostSnapshot], seen: Mapping[str, Outlook]) -> None:
    """Print how many hosts the newest release serves, and a row for each of the others."""
    served = [found for found in seen.values() if found.served]
    for newest in {found.newest for found in seen.values()}:
        click.echo(f"torch {newest}, the newest release, serves {len(served)} of {len(answers)}")
    rows = [(a.name, *_outlook_row(a, seen.get(a.name))) for a in answers]
    headings = ("host", "last release", "why", "what would keep it")
    print_rows(headings, [row for row in rows if row[1]], new_console(highlight=False))


def _outlook_row(answer: HostSnapshot, found: Outlook | None) -> tuple[str, str, str]:
    if found is None:
        return "no answer", answer.error, ""
    if found.served:
        return "", "", ""
    return found.last or "none", "\n".join(found.reasons), "\n".join(found.keeps)
