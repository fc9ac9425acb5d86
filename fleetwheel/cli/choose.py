"""`fleetwheel choose`: which wheels a host would get, and why."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fleetwheel.choice import (
    Choice,
    Refusal,
    Rejection,
    candidate_variants,
    choose,
    explain,
    family,
)
from fleetwheel.cli._host import HOST_NAMES, Spreading, described, given, host_options, split
from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix import Matrix, load_matrix
from fleetwheel.profile import Profile
from fleetwheel.recorded import read
from fleetwheel.request import Request
from fleetwheel.wheel import Wheel

REFUSED = 3
"""Exit status where no wheel set serves the host."""


@click.command("choose", cls=Spreading)
@host_options
@click.option(
    "--profile",
    type=click.Path(),
    metavar="FILE",
    help="A host that `facts --save` has recorded, instead of --os to --glibc.",
)
@click.option("--torch", metavar="SPEC", help='"2.14.1", "2.14" or ">=2.10,<2.13".')
@click.option(
    "--accelerator",
    default="auto",
    metavar="auto|cpu|cuda|cuNNN",
    help="auto: CUDA where there is a GPU.",
)
@click.option(
    "--packages", multiple=True, metavar="REQUIREMENT...", help="Such as torchvision or numpy>=2."
)
@click.option("--offline", is_flag=True, help="Decide by the matrix alone.")
@click.option("--explain", "explaining", is_flag=True, help="Every release and variant.")
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
def choose_command(
    profile: str | None,
    torch: str | None,
    accelerator: str,
    packages: Sequence[str],
    offline: bool,
    explaining: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say which wheels a host would get, and why.

    Exits with 0 where there is a choice, 3 where there is none, and 2 on bad usage.
    """
    request = Request(torch=torch, accelerator=accelerator, packages=tuple(split(packages)))
    if profile:
        host, request = _recorded(Path(profile), request)
    else:
        host = described(**options)
    matrix = load_matrix()
    wheels = None if offline else _survey(host, request, matrix)
    found = choose(host, request, matrix, wheels)
    table = explain(host, request, matrix, wheels) if explaining else []
    if as_json:
        explained = {"explained": [row.model_dump() for row in table]} if explaining else {}
        click.echo(json.dumps(_document(found) | explained, indent=2))
    else:
        _show(found)
        _show_table(table)
    if isinstance(found, Refusal):
        raise SystemExit(REFUSED)


def _recorded(path: Path, asked: Request) -> tuple[Profile, Request]:
    """Return the profile of a recorded host, and its request where the command line is silent."""
    said = given()
    if said & HOST_NAMES:
        raise FleetwheelError("--profile says what the host is: leave --os to --glibc out")
    answer = read(path)
    if answer.profile is None:
        raise FleetwheelError(f"--profile {path}: holds no profile of a host")
    asked_for = {name: getattr(asked, name) for name in said & set(Request.model_fields)}
    return answer.profile, answer.settings.request.model_copy(update=asked_for)


def _survey(profile: Profile, request: Request, matrix: Matrix) -> tuple[Wheel, ...]:
    """Return what pip's sources and the official indexes hold; warnings go to standard error."""
    from fleetwheel.wheels.sources import configured_sources, official_source
    from fleetwheel.wheels.survey import survey

    official = [official_source(name) for name in candidate_variants(profile, request, matrix)]
    found = survey([*configured_sources(), *official], family(request))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return found.wheels


def _index(choice: Choice) -> str:
    """Return where the torch family comes from, without credentials."""
    from fleetwheel.wheels.sources import official_source

    return (choice.source or official_source(choice.variant)).redacted


def _document(found: Choice | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refused": True, "reasons": found.reasons, "unlocks": found.unlocks}
    return {
        "torch": found.torch,
        "variant": found.variant,
        "packages": found.packages,
        "index": _index(found),
        "reasons": found.reasons,
        "rejected": [rejection.model_dump() for rejection in found.rejected],
    }


def _show(found: Choice | Refusal) -> None:
    """Print a choice or a refusal for a person."""
    if isinstance(found, Refusal):
        _print_lines("refused", found.reasons)
        _print_lines("what would change it:", found.unlocks)
        return
    family = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    place = f"for Python {found.python.minor}, from {_index(found)}"
    _print_lines(family, [place, *found.reasons])
    _print_lines("rejected:", [f"{r.torch}+{r.variant} {r.reason}" for r in found.rejected])


def _print_lines(heading: str, lines: Sequence[str]) -> None:
    if lines:
        click.echo("\n  ".join([heading, *lines]))


def _show_table(rows: Sequence[Rejection]) -> None:
    """Print every release and variant, and what came of it."""
    if not rows:
        return
    table = Table("torch", "variant", "verdict", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.torch, row.variant, escape(row.reason))
    Console(highlight=False).print(table)
