"""The command line: ``fleetwheel``."""

import json
import re
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fleetwheel import __version__
from fleetwheel.choice import (
    Choice,
    Refusal,
    Rejection,
    candidate_variants,
    choose,
    explain,
    family,
)
from fleetwheel.errors import FleetwheelError
from fleetwheel.gpu_names import capability, nearest
from fleetwheel.matrix import Matrix, load_matrix, numbers
from fleetwheel.profile import Driver, DriverState, Gpu, OperatingSystem, Profile, Python
from fleetwheel.request import Request
from fleetwheel.wheel import Wheel

REFUSED = 3
"""Exit status where no wheel set serves the host."""


class Group(click.Group):
    """Prints what a person has to mend, and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except FleetwheelError as error:
            click.echo(f"fleetwheel: {error}", err=True)
            ctx.exit(2)


class Spreading(click.Command):
    """Takes several values after one option: ``--gpu A B`` is ``--gpu A --gpu B``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        several = {name for p in self.params if getattr(p, "multiple", False) for name in p.opts}
        spread: list[str] = []
        option, bare = "", False
        for arg in args:
            if arg.startswith("-"):
                option, bare = arg.partition("=")[0], "=" not in arg
            elif option in several and not bare:
                spread.append(option)
            else:
                bare = False
            spread.append(arg)
        return super().parse_args(ctx, spread)


@click.group(cls=Group)
@click.version_option(__version__)
def main() -> None:
    """Put working PyTorch on many machines, and prove that it works."""


@main.command("choose", cls=Spreading)
@click.option("--os", "system", type=click.Choice(["linux", "windows"]), default="linux")
@click.option("--arch", type=click.Choice(["x86_64", "aarch64"]), default="x86_64")
@click.option("--wsl", is_flag=True, help="Linux under Windows, whose driver counts.")
@click.option("--driver", metavar="VERSION", help="Version of the NVIDIA driver.")
@click.option("--gpu", "gpus", multiple=True, metavar="NAME-OR-CC...", help="None: a CPU host.")
@click.option("--python", "pythons", multiple=True, metavar="3.12...", default=["3.12"])
@click.option("--glibc", default="2.35", metavar="VERSION")
@click.option("--torch", metavar="SPEC", help='"2.14.1", "2.14" or ">=2.10,<2.13".')
@click.option("--accelerator", default="auto", metavar="auto|cpu|cuda|cuNNN")
@click.option("--packages", multiple=True, metavar="REQUIREMENT...")
@click.option("--offline", is_flag=True, help="Decide by the matrix alone.")
@click.option("--explain", "explaining", is_flag=True, help="Every release and variant.")
@click.option("--json", "as_json", is_flag=True)
def choose_command(
    system: OperatingSystem,
    arch: str,
    wsl: bool,
    driver: str | None,
    gpus: Sequence[str],
    pythons: Sequence[str],
    glibc: str,
    torch: str | None,
    accelerator: str,
    packages: Sequence[str],
    offline: bool,
    explaining: bool,
    as_json: bool,
) -> None:
    """Say which wheels a host would get, and why.

    Exits with 0 where there is a choice, 3 where there is none, and 2 on bad usage.
    """
    profile = Profile(
        os=system,
        arch=arch,
        wsl=wsl,
        glibc=_version("--glibc", glibc) if system == "linux" else None,
        pythons=tuple(_python(python) for python in pythons),
        driver=_driver(driver, gpus),
        gpus=tuple(_gpu(index, gpu) for index, gpu in enumerate(_split(gpus))),
    )
    request = Request(torch=torch, accelerator=accelerator, packages=tuple(_split(packages)))
    matrix = load_matrix()
    wheels = None if offline else _survey(profile, request, matrix)
    found = choose(profile, request, matrix, wheels)
    table = explain(profile, request, matrix, wheels) if explaining else []
    if as_json:
        explained = {"explained": [row.model_dump() for row in table]} if explaining else {}
        click.echo(json.dumps(_document(found) | explained, indent=2))
    else:
        _show(found)
        _show_table(table)
    if isinstance(found, Refusal):
        raise SystemExit(REFUSED)


def _split(values: Sequence[str]) -> list[str]:
    """Return values given one by one or with commas; the commas of ``numpy>=1,<2`` stay."""
    return [part.strip() for value in values for part in re.split(r",\s*(?=\w)", value)]


def _version(option: str, text: str) -> str:
    try:
        numbers(text)
    except ValueError as error:
        raise FleetwheelError(f"{option}: {error}") from error
    return text


def _driver(version: str | None, gpus: Sequence[str]) -> Driver:
    if not gpus:
        return Driver(state=DriverState.NO_GPU)
    if version is None:
        raise FleetwheelError("--gpu needs --driver: the driver decides as much as the GPU does")
    return Driver(state=DriverState.OK, version=_version("--driver", version))


def _python(text: str) -> Python:
    match = re.fullmatch(r"(3\.[0-9]{1,2})(\.[0-9]{1,3})?(t?)", text)
    if match is None:
        raise FleetwheelError(f"--python: {text!r} is no Python version", hint="write 3.12")
    minor, patch, free_threaded = match.groups()
    return Python(path="", version=minor + (patch or ".0"), free_threaded=bool(free_threaded))


def _gpu(index: int, text: str) -> Gpu:
    if re.fullmatch(r"[0-9]{1,2}\.[0-9]", text):
        return Gpu(index=index, name=f"GPU {index}", compute_capability=text)
    found = capability(text)
    if found is None:
        alike = nearest(text)
        hint = f"did you mean {' or '.join(alike)}? " if alike else ""
        raise FleetwheelError(
            f"--gpu: the compute capability of {text!r} is not known",
            hint=f"{hint}A compute capability such as 8.9 works as well",
        )
    return Gpu(index=index, name=text, compute_capability=found)


def _survey(profile: Profile, request: Request, matrix: Matrix) -> tuple[Wheel, ...]:
    """Return what pip's sources and the official indexes hold; warnings go to standard error."""
    from fleetwheel.sources import configured_sources, official_source
    from fleetwheel.survey import survey

    official = [official_source(name) for name in candidate_variants(profile, request, matrix)]
    found = survey([*configured_sources(), *official], family(request))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return found.wheels


def _index(choice: Choice) -> str:
    """Return where the torch family comes from, without credentials."""
    from fleetwheel.sources import official_source

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
