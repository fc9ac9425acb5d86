"""The command line: ``fleetwheel``."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.filesize import decimal
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
from fleetwheel.driver_states import EXPLANATIONS
from fleetwheel.errors import FleetwheelError
from fleetwheel.gpu_names import capability, nearest
from fleetwheel.matrix import Matrix, load_matrix, numbers
from fleetwheel.outlook import Outlook, outlook
from fleetwheel.profile import (
    Driver,
    DriverState,
    Gpu,
    OperatingSystem,
    Profile,
    Python,
)
from fleetwheel.recorded import Answer, load, read, save
from fleetwheel.report import printable
from fleetwheel.request import Request
from fleetwheel.wheel import Wheel

REFUSED = 3
"""Exit status where no wheel set serves the host."""


SILENT = 4
"""Exit status where some hosts could not be reached, or did not answer."""


UNBROKEN = ("driver", "state", "free disk", "last release")
"""Columns of short words, which stay on one line."""


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


HOST_OPTIONS = (
    click.option("--os", "system", type=click.Choice(["linux", "windows"]), default="linux"),
    click.option("--arch", type=click.Choice(["x86_64", "aarch64"]), default="x86_64"),
    click.option("--wsl", is_flag=True, help="Linux under Windows, whose driver counts."),
    click.option("--driver", metavar="VERSION", help="Version of the NVIDIA driver."),
    click.option("--gpu", "gpus", multiple=True, metavar="NAME-OR-CC...", help="None: a CPU host."),
    click.option("--python", "pythons", multiple=True, metavar="3.12...", default=["3.12"]),
    click.option("--glibc", default="2.35", metavar="VERSION"),
)
HOST_NAMES = {"system", "arch", "wsl", "driver", "gpus", "pythons", "glibc"}


def host_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command line describe a host; ``_host`` reads it."""
    for option in reversed(HOST_OPTIONS):
        command = option(command)
    return command


def _given() -> set[str]:
    """Return the parameters that stand on the command line."""
    context = click.get_current_context()
    source = context.get_parameter_source
    return {name for name in context.params if source(name) is ParameterSource.COMMANDLINE}


def _host(
    system: OperatingSystem,
    arch: str,
    wsl: bool,
    driver: str | None,
    gpus: Sequence[str],
    pythons: Sequence[str],
    glibc: str,
) -> Profile:
    """Return the host that a command line describes."""
    return Profile(
        os=system,
        arch=arch,
        wsl=wsl,
        glibc=_version("--glibc", glibc) if system == "linux" else None,
        pythons=tuple(_python(python) for python in pythons),
        driver=_driver(driver, gpus),
        gpus=tuple(_gpu(index, gpu) for index, gpu in enumerate(_split(gpus))),
    )


def _recorded(path: Path, asked: Request) -> tuple[Profile, Request]:
    """Return the profile of a recorded host, and its request where the command line is silent."""
    given = _given()
    if given & HOST_NAMES:
        raise FleetwheelError("--profile says what the host is: leave --os to --glibc out")
    answer = read(path)
    if answer.profile is None:
        raise FleetwheelError(f"--profile {path}: holds no profile of a host")
    said = {name: getattr(asked, name) for name in given & set(Request.model_fields)}
    return answer.profile, answer.settings.request.model_copy(update=said)


@main.command("choose", cls=Spreading)
@host_options
@click.option("--profile", metavar="FILE", help="A host that `facts --save` has recorded.")
@click.option("--torch", metavar="SPEC", help='"2.14.1", "2.14" or ">=2.10,<2.13".')
@click.option("--accelerator", default="auto", metavar="auto|cpu|cuda|cuNNN")
@click.option("--packages", multiple=True, metavar="REQUIREMENT...")
@click.option("--offline", is_flag=True, help="Decide by the matrix alone.")
@click.option("--explain", "explaining", is_flag=True, help="Every release and variant.")
@click.option("--json", "as_json", is_flag=True)
def choose_command(
    profile: str | None,
    torch: str | None,
    accelerator: str,
    packages: Sequence[str],
    offline: bool,
    explaining: bool,
    as_json: bool,
    **described: Any,
) -> None:
    """Say which wheels a host would get, and why.

    Exits with 0 where there is a choice, 3 where there is none, and 2 on bad usage.
    """
    request = Request(torch=torch, accelerator=accelerator, packages=tuple(_split(packages)))
    if profile:
        host, request = _recorded(Path(profile), request)
    else:
        host = _host(**described)
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


@main.command("facts")
@click.argument("inventory")
@click.option("--limit", multiple=True, metavar="HOST-OR-GROUP", help="Ask these alone.")
@click.option(
    "--save", "save_to", type=click.Path(path_type=Path), metavar="DIR", help="Record each host."
)
@click.option("--json", "as_json", is_flag=True)
def facts_command(
    inventory: str, limit: Sequence[str], save_to: Path | None, as_json: bool
) -> None:
    """Say what every host of an inventory is: system, GPUs, driver, free disk.

    INVENTORY is what pyinfra takes, such as inventory.py or @local, or a directory that --save
    has written. Exits with 0 where all hosts answered, 4 where some did not, 2 on bad usage.
    """
    answers = _answers(inventory, limit)
    if save_to:
        _save(save_to, answers)
    if as_json:
        click.echo(json.dumps({"hosts": [answer.document() for answer in answers]}, indent=2))
    else:
        _print_facts(answers)
    if not all(answer.state for answer in answers):
        raise SystemExit(SILENT)


@main.command("outlook", cls=Spreading)
@click.argument("inventory", required=False)
@host_options
@click.option("--limit", multiple=True, metavar="HOST-OR-GROUP", help="Ask these alone.")
@click.option("--json", "as_json", is_flag=True)
def outlook_command(
    inventory: str | None, limit: Sequence[str], as_json: bool, **described: Any
) -> None:
    """Say which hosts the newest PyTorch no longer serves, and what would keep them.

    By the matrix alone, whichever release the inventory pins today. INVENTORY and exit status are
    those of `fleetwheel facts`; without INVENTORY, the options describe one host.
    """
    if inventory and _given() & HOST_NAMES:
        raise FleetwheelError("give an inventory, or describe one host, not both")
    if inventory:
        answers = _answers(inventory, limit)
    else:
        answers = [Answer(name="the host", profile=_host(**described))]
    matrix = load_matrix()
    seen = {
        answer.name: outlook(answer.profile, answer.settings.request, matrix)
        for answer in answers
        if answer.profile
    }
    if as_json:
        hosts = [
            {"name": a.name, **(seen[a.name].model_dump() if a.profile else {"error": a.error})}
            for a in answers
        ]
        click.echo(json.dumps({"hosts": hosts}, indent=2))
    else:
        _print_outlook(answers, seen)
    if len(seen) < len(answers):
        raise SystemExit(SILENT)


def _print_outlook(answers: Sequence[Answer], seen: Mapping[str, Outlook]) -> None:
    """Print how many hosts the newest release serves, and a row for each of the others."""
    served = [found for found in seen.values() if found.served]
    for newest in {found.newest for found in seen.values()}:
        click.echo(f"torch {newest}, the newest release, serves {len(served)} of {len(answers)}")
    rows = [(a.name, *_outlook_row(a, seen.get(a.name))) for a in answers]
    _print_rows(
        ("host", "last release", "why", "what would keep it"), [row for row in rows if row[1]]
    )


def _outlook_row(answer: Answer, found: Outlook | None) -> tuple[str, str, str]:
    if found is None:
        return "no answer", answer.error, ""
    if found.served:
        return "", "", ""
    return found.last or "none", "\n".join(found.reasons), "\n".join(found.keeps)


def _answers(inventory: str, limit: Sequence[str]) -> list[Answer]:
    """Return what the hosts say, or said when they were recorded."""
    if Path(inventory).is_dir() or inventory.endswith(".json"):
        if limit:
            raise FleetwheelError("--limit is for an inventory, not for recorded hosts")
        return load(Path(inventory))
    from fleetwheel.fleet import gather

    return gather(inventory, limit, _warn)


def _warn(text: str) -> None:
    click.echo(f"warning: {printable(text)}", err=True)


def _save(directory: Path, answers: Sequence[Answer]) -> None:
    try:
        written = save(directory, answers)
    except OSError as error:
        raise click.ClickException(f"--save {directory}: {error.strerror}") from error
    click.echo(f"recorded {len(written)} of {len(answers)} hosts in {directory}", err=True)


def _print_facts(answers: Sequence[Answer]) -> None:
    """Print one row for each host; text from hosts is shown, never interpreted."""
    rows = [(answer.name, *_facts_row(answer)) for answer in answers]
    _print_rows(("host", "system", "GPUs", "driver", "state", "free disk", "why"), rows)


def _facts_row(answer: Answer) -> tuple[str, ...]:
    state = answer.state
    if state is None:
        return "-", "-", "-", "no answer", "-", answer.error
    profile, free = state.profile, state.installation.free_bytes
    broken = profile.driver.state not in (DriverState.OK, DriverState.NO_GPU)
    return (
        profile.distribution or f"{profile.os} {profile.arch}",
        _gpus(profile) or "-",
        profile.driver.version or "-",
        profile.driver.state.value,
        "-" if free is None else decimal(free),
        EXPLANATIONS[profile.driver.state].meaning if broken else "",
    )


def _gpus(profile: Profile) -> str:
    """Return ``2 x RTX 4090``, or what the PCI bus shows where the driver shows nothing."""
    names = [gpu.name.removeprefix("NVIDIA ") for gpu in profile.gpus]
    names = names or [f"PCI {device}" for device in profile.installed_driver.devices]
    return "\n".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


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


def _print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns in which nothing stands are left out."""
    if not rows:
        return
    kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i in kept:
        table.add_column(headings[i], overflow="fold", no_wrap=headings[i] in UNBROKEN)
    for row in rows:
        table.add_row(*(escape(printable(row[i])) for i in kept))
    Console(highlight=False).print(table)


def _show_table(rows: Sequence[Rejection]) -> None:
    """Print every release and variant, and what came of it."""
    if not rows:
        return
    table = Table("torch", "variant", "verdict", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.torch, row.variant, escape(row.reason))
    Console(highlight=False).print(table)
