"""`fleetwheel generations`: what each environment ran before, and can go back to."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import click

from fleetwheel.choice.request import Request
from fleetwheel.cli._fleet import SILENT, answers
from fleetwheel.cli._options import (
    Scope,
    data_option,
    environment_option,
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
from fleetwheel.terminal import new_console, printable


@click.command("generations")
@inventory_argument
@limit_option
@data_option
@environment_option
@json_flag
@verbosity_options
def generations_command(
    inventory: str,
    limit: Sequence[str],
    data: Sequence[str],
    environments: Sequence[str],
    as_json: bool,
    verbosity: int,
) -> None:
    """List the generations of each environment, and what changed between them.

    The one in use comes first, then those that `fleetwheel rollback` goes back to, the nearest
    first: `--data generation=ID` names one. INVENTORY and exit status are those of
    `fleetwheel facts`.
    """
    scope = Scope(inventory, limit, read_data(data, environments=environments), verbosity)
    found = {answer.name: _listed(answer, scope.environments) for answer in answers(scope)}
    if as_json:
        hosts = [{"name": name, **_document(listed)} for name, listed in found.items()]
        click.echo(json.dumps({"hosts": hosts}, indent=2))
    else:
        _print(found, ", ".join(scope.environments))
    if any(isinstance(listed, str) for listed in found.values()):
        raise SystemExit(SILENT)


def _listed(answer: HostSnapshot, environments: Collection[str]) -> list[ListedGeneration] | str:
    """Return the generations of a host, or why nobody knows them; ``environments`` are meant."""
    if answer.installation is None:
        return answer.error
    if answer.installation.distrusted:
        return answer.installation.distrusted
    try:
        found = generations_of(parse_state(answer.installation.record), answer.installation)
    except FleetwheelError as error:
        return str(error)
    return [each for each in found if each.environment in (environments or (each.environment,))]


def _document(listed: list[ListedGeneration] | str) -> dict[str, Any]:
    if isinstance(listed, str):
        return {"error": listed}
    return {"generations": [each.to_json() for each in listed]}


def _print(found: dict[str, list[ListedGeneration] | str], meant: str) -> None:
    """Print the generations of each host below its name; its name and a sentence without any."""
    console = new_console(highlight=False)
    for i, (host, listed) in enumerate(found.items()):
        if isinstance(listed, str):
            lines = [f"{host}: not known: {listed}"]
        elif listed:
            lines = [host, *_lines(listed)]
        else:
            lines = [f"{host}: nothing was deployed {f'in {meant} ' if meant else ''}here"]
        text = printable("\n".join([""] * bool(i) + lines))
        console.print(text, markup=False, soft_wrap=True)


def _lines(listed: Sequence[ListedGeneration]) -> Iterator[str]:
    """Yield a line for each generation, and indented below it what changed and was asked for."""
    name_width, id_width, state_width = (
        max(map(len, column))
        for column in zip(*((e.environment, e.generation, e.state) for e in listed), strict=True)
    )
    indent, before = " " * (name_width + 4), None
    for each in listed:
        first = before is None or before.environment != each.environment
        name, since = each.environment if first else "", each.deployed_at
        cells = f"{name:{name_width}}  {each.generation:{id_width}}  {each.state:{state_width}}"
        yield f"  {cells}  {since:%Y-%m-%d %H:%M}" if since else f"  {cells}".rstrip()
        if each.changes:
            yield f"{indent}  {each.changes}"
        if each.request and (first or before is None or before.request != each.request):
            yield f"{indent}  asked for: {_asked(each.request)}"
        before = each


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
