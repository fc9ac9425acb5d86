"""`fleetwheel choose`: which wheels a host would get, and why."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.markup import escape
from rich.table import Table

from fleetwheel import terminal
from fleetwheel.choice.answer import narrowed, refusal_of, ways_out
from fleetwheel.choice.choose import Choice, Refusal, Rejection, choose, explain_candidates, family
from fleetwheel.choice.own_project import FORMATS
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Blocker, Target, read_target
from fleetwheel.cli._host import HOST_NAMES, Spreading, described_host, given, host_options, split
from fleetwheel.cli._options import json_flag
from fleetwheel.cli._stderr import verbosity_options, warn
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.inventory.recorded import read_snapshot
from fleetwheel.matrix.matrix import Matrix, load_matrix
from fleetwheel.terminal import new_console

if TYPE_CHECKING:
    from fleetwheel.lock.constraints import Constraint
    from fleetwheel.sources.wheel import Source

REFUSED = 3
"""Exit status where no wheel set serves the host."""


@click.command("choose", cls=Spreading)
@host_options
@click.option(
    "--profile",
    type=click.Path(),
    metavar="FILE",
    help="A host that `fleetwheel facts --save` has recorded, instead of --os to --glibc.",
)
@click.option(
    "--torch",
    metavar="SPEC",
    help='Release: "2.14.1", "2.14" or ">=2.10,<2.13". Left out: the newest that runs.',
)
@click.option(
    "--accelerator",
    default="auto",
    metavar="auto|cpu|cuda|cuNNN",
    show_default=True,
    help="auto takes CUDA where there is a GPU.",
)
@click.option(
    "--packages",
    multiple=True,
    metavar="REQUIREMENT...",
    help="What to install beside torch, such as torchvision or numpy>=2.",
)
@click.option(
    "--smoke",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="none: the host only holds the environment, and may get CUDA wheels without a GPU.",
)
@click.option(
    "--offline", is_flag=True, help="Ask no wheel source; decide by the matrix of releases alone."
)
@click.option(
    "--explain",
    "explaining",
    is_flag=True,
    help="Also show what became of every release and variant.",
)
@json_flag
@click.option(
    "--format",
    "project_format",
    type=click.Choice(list(FORMATS)),
    help="Print the lines that your own project needs: for pyproject.toml, or a file for -r.",
)
@verbosity_options
def choose_command(
    profile: str | None,
    torch: str | None,
    accelerator: str,
    packages: Sequence[str],
    smoke: str,
    offline: bool,
    explaining: bool,
    as_json: bool,
    project_format: str | None,
    verbosity: int,
    **options: Any,
) -> None:
    """Say which wheels a host would get, and why.

    The host is the one that the options describe, not this machine. Exits with 0 where there is a
    choice, 3 where there is none, and 1 on bad usage.
    """
    if project_format and (as_json or explaining):
        raise FleetwheelError("--format prints its lines alone: leave --json and --explain out")
    request = Request(torch=torch, accelerator=accelerator, packages=tuple(split(packages)))
    if profile:
        host, request = _recorded(Path(profile), request)
    else:
        host = described_host(**options)
        if all(python.free_threaded for python in host.pythons):  # the one that is meant
            request = request.model_copy(update={"python": host.pythons[0].minor})
    decide = _offline if offline else _online
    seen = decide(host, request, load_matrix(), smoke != "none")
    if project_format and isinstance(seen.found, Choice):
        terminal.echo(FORMATS[project_format](seen.found, _source(seen.found)))
    elif as_json:
        rows = {"explained": [row.model_dump() for row in seen.rows]} if explaining else {}
        click.echo(json.dumps(_document(seen.found) | rows, indent=2))
    else:
        _show(seen.found, err=project_format is not None)
        _show_table(seen.rows if explaining else ())
    if isinstance(seen.found, Refusal):
        raise SystemExit(REFUSED)


class _Seen(NamedTuple):
    """What a host gets, and every release and variant with what came of it."""

    found: Choice | Refusal
    rows: Sequence[Rejection]


def _offline(host: Profile, request: Request, matrix: Matrix, tested: bool) -> _Seen:
    """Decide by the matrix alone."""
    target = read_target(host, request, tested=tested)
    if isinstance(target, Blocker):
        return _Seen(refusal_of(target, host, request, matrix, None), ())
    found = choose(target, matrix, None)
    own = narrowed(target, found, host, matrix) or target
    found = choose(own, matrix, None)
    unchecked = f"not checked offline: {', '.join(own.requirements)}"
    noted = found.model_copy(update={"reasons": (*found.reasons, unchecked)})
    return _Seen(noted if own.requirements else found, explain_candidates(own, matrix, None))


def _online(host: Profile, request: Request, matrix: Matrix, tested: bool) -> _Seen:
    """Decide by what pip's sources and the official indexes hold, as a deploy does."""
    from fleetwheel.lock.constraints import configured_constraints
    from fleetwheel.lock.supply import supply

    constraints = configured_constraints()
    kept_to = [constraint.requirement for constraint in constraints]
    read = partial(read_target, constraints=kept_to, tested=tested)
    target = read(host, request)
    targets = [target] if isinstance(target, Target) else ways_out(host, request, matrix, read)
    there = supply(targets, matrix)
    for warning in there.warnings:
        warn(warning)
    if isinstance(target, Blocker):
        return _Seen(refusal_of(target, host, request, matrix, there.stock, read), ())
    found = _made(target, request, matrix, constraints)
    own = narrowed(target, found, host, matrix)
    if own:
        found = _made(own, request, matrix, constraints)
    return _Seen(found, explain_candidates(own or target, matrix, there.stock))


def _made(
    target: Target,
    request: Request,
    matrix: Matrix,
    constraints: "Sequence[Constraint]",
) -> Choice | Refusal:
    """Return the choice; what is asked for beside torch has its say, so that takes a lock."""
    from fleetwheel.lock.failures import NoSolutionError
    from fleetwheel.lock.making import kept_to, make
    from fleetwheel.lock.supply import supply

    if not target.requirements:
        found = choose(target, matrix, supply([target], matrix).stock)
        notes = kept_to(constraints, family(target))
        return found.model_copy(update={"reasons": (*found.reasons, *notes)})
    try:
        made = make(target, request, lambda needed: supply([needed], matrix), matrix, constraints)
    except NoSolutionError as error:
        return Refusal(reasons=(str(error.args[0]),), unlocks=(error.hint,))
    return made if isinstance(made, Refusal) else made.choice


def _recorded(path: Path, asked: Request) -> tuple[Profile, Request]:
    """Return the profile of a recorded host, and its request where the command line is silent."""
    said = given()
    if said & HOST_NAMES:
        raise FleetwheelError("--profile says what the host is: leave --os to --glibc out")
    answer = read_snapshot(path)
    if answer.profile is None:
        raise FleetwheelError(f"--profile {path}: holds no profile of a host")
    asked_for = {name: getattr(asked, name) for name in said & set(Request.model_fields)}
    return answer.profile, answer.settings.request.model_copy(update=asked_for)


def _source(choice: Choice) -> "Source":
    """Return where the torch family comes from."""
    from fleetwheel.sources.configured import official_source

    return choice.source or official_source(choice.variant)


def _document(found: Choice | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refused": True, "reasons": found.reasons, "unlocks": found.unlocks}
    return {
        "torch": found.torch,
        "variant": str(found.variant),
        "packages": found.packages,
        "index": _source(found).redacted,
        "reasons": found.reasons,
        "rejected": [rejection.model_dump() for rejection in found.rejected],
    }


def _show(found: Choice | Refusal, *, err: bool = False) -> None:
    """Print a choice or a refusal for a person; ``err``: beside what goes into a file."""
    if isinstance(found, Refusal):
        _print_lines("refused", found.reasons, err=err)
        _print_lines("what would change it:", found.unlocks, err=err)
        return
    family = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    place = f"for Python {found.python.minor}, from {_source(found).redacted}"
    _print_lines(family, [place, *found.reasons])
    _print_lines("rejected:", [f"{r.torch}+{r.variant} {r.reason}" for r in found.rejected])


def _print_lines(heading: str, lines: Sequence[str], *, err: bool = False) -> None:
    if lines:
        terminal.echo("\n  ".join([heading, *lines]), err=err)


def _show_table(rows: Sequence[Rejection]) -> None:
    """Print every release and variant, and what came of it."""
    if not rows:
        return
    table = Table("torch", "variant", "verdict", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.torch, row.variant, escape(row.reason))
    new_console(highlight=False).print(table)
