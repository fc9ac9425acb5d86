"""`fleetwheel generations`: what each environment ran before, and can go back to."""

import json
from collections.abc import Sequence
from typing import Any

import click

from fleetwheel.choice.request import Request
from fleetwheel.cli._fleet import SILENT, answers
from fleetwheel.cli._options import (
    Scope,
    data_option,
    inventory_argument,
    json_flag,
    limit_option,
    read_data,
)
from fleetwheel.cli._stderr import verbosity_options
from fleetwheel.deploy.generations import ListedGeneration, generations_of
from fleetwheel.deploy.record import parse_state
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.recorded import HostSnapshot
from fleetwheel.reporting.table import print_rows
from fleetwheel.terminal import new_console


@click.command("generations")
@inventory_argument
@limit_option
@data_option
@json_flag
@verbosity_options
def generations_command(
    inventory: str, limit: Sequence[str], data: Sequence[str], as_json: bool, verbosity: int
) -> None:
    """List the generations of each environment, and what changed between them.

    The one in use comes first, then those that `fleetwheel rollback` goes back to, the nearest
    first: `--data generation=ID` names one. INVENTORY and exit status are those of
    `fleetwheel facts`.
    """
    answered = answers(Scope(inventory, limit, read_data(data), verbosity))
    found = {answer.name: _listed(answer) for answer in answered}
    if as_json:
        hosts = [{"name": name, **_document(listed)} for name, listed in found.items()]
        click.echo(json.dumps({"hosts": hosts}, indent=2))
    else:
        _print(found)
    if any(isinstance(listed, str) for listed in found.values()):
        raise SystemExit(SILENT)


def _listed(answer: HostSnapshot) -> list[ListedGeneration] | str:
    """Return the generations of a host, or why nobody knows them."""
    if answer.installation is None:
        return answer.error
    if answer.installation.distrusted:
        return answer.installation.distrusted
    try:
        return generations_of(parse_state(answer.installation.record), answer.installation)
    except FleetwheelError as error:
        return str(error)


def _document(listed: list[ListedGeneration] | str) -> dict[str, Any]:
    if isinstance(listed, str):
        return {"error": listed}
    return {"generations": [each.to_json() for each in listed]}


def _print(found: dict[str, list[ListedGeneration] | str]) -> None:
    headings = (
        *("host", "environment", "generation", "state"),
        *("since", "changes", "asked for", "why"),
    )
    names = {e.environment for listed in found.values() if isinstance(listed, list) for e in listed}
    several = len(names) > 1
    rows: list[tuple[str, ...]] = []
    for host, listed in found.items():
        if isinstance(listed, str):
            rows.append((host, "", "", "no answer", *[""] * 3, listed))
        elif not listed:
            rows.append((host, "", "", "", *[""] * 3, "nothing was deployed here"))
        else:
            rows += [(host, each.environment if several else "", *_row(each)) for each in listed]
    print_rows(headings, rows, new_console(highlight=False))


def _row(listed: ListedGeneration) -> tuple[str, ...]:
    since = f"{listed.deployed_at:%Y-%m-%d %H:%M}" if listed.deployed_at else ""
    asked = _asked(listed.request) if listed.request else ""
    return listed.generation, listed.state, since, listed.changes, asked, ""


def _asked(request: Request) -> str:
    """Return what was asked for, as the inventory says it."""
    said = request.model_dump(exclude_defaults=True, exclude={"team"})
    if team := request.team:
        said |= {team.key: f"{team.path} ({team.sha256[:12]})"}
        said |= {"extras": team.extras, "groups": team.groups}
    words = [f"{key}: {_value(value)}" for key, value in said.items() if value not in (None, ())]
    return "; ".join(words) or "the newest"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
