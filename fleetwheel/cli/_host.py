"""A host that the options of a command line describe."""

import re
from collections.abc import Callable, Sequence

import click
from click.core import ParameterSource

from fleetwheel.cli import _gpus
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.driver_version import from_windows
from fleetwheel.host.profile import Driver, DriverState, OperatingSystem, Profile, Python
from fleetwheel.matrix.matrix import numbers

SEVERAL = ("gpus", "pythons", "packages")
"""What can stand several times behind its option."""


class Spreading(click.Command):
    """Takes several values after one option: ``--gpu A B`` is ``--gpu A --gpu B``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        several = {name for p in self.params if p.name in SEVERAL for name in p.opts}
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


HOST_OPTIONS = (
    click.option(
        "--os",
        "system",
        type=click.Choice(["linux", "windows"]),
        default="linux",
        show_default=True,
        help="System of the host.",
    ),
    click.option(
        "--arch",
        type=click.Choice(["x86_64", "aarch64"]),
        default="x86_64",
        show_default=True,
        help="Processor of the host.",
    ),
    click.option(
        "--wsl", is_flag=True, help="The host is Linux under Windows, whose driver counts."
    ),
    click.option(
        "--driver",
        metavar="VERSION",
        help="Version of the NVIDIA driver; a branch such as 580 stands for its newest.",
    ),
    click.option(
        "--cuda",
        metavar="VERSION",
        help="Newest CUDA that the driver runs, as nvidia-smi shows it; it decides on Jetson.",
    ),
    click.option(
        "--gpu",
        "gpus",
        multiple=True,
        metavar="NAME-OR-CC...",
        help='GPUs, such as "GTX 1080" or a compute capability such as 8.9. Left out: a CPU host.',
    ),
    click.option(
        "--python",
        "pythons",
        multiple=True,
        metavar="VERSION...",
        default=["3.12"],
        help="Python versions that the host has.  [default: 3.12]",
    ),
    click.option(
        "--glibc",
        default="2.35",
        metavar="VERSION",
        help="Version of glibc, on Linux.  [default: 2.35]",
    ),
)
HOST_NAMES = {"system", "arch", "wsl", "driver", "cuda", "gpus", "pythons", "glibc"}


def host_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command line describe a host; ``described`` reads it."""
    for option in reversed(HOST_OPTIONS):
        command = option(command)
    return command


def given() -> set[str]:
    """Return the parameters that stand on the command line."""
    context = click.get_current_context()
    source = context.get_parameter_source
    return {name for name in context.params if source(name) is ParameterSource.COMMANDLINE}


def described_host(
    system: OperatingSystem,
    arch: str,
    wsl: bool,
    driver: str | None,
    cuda: str | None,
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
        driver=_driver(driver, cuda, gpus, windows=system == "windows" or wsl),
        gpus=_gpus.named_gpus(split(gpus)),
    )


def split(values: Sequence[str]) -> list[str]:
    """Return values given one by one or with commas; the commas of ``numpy>=1,<2`` stay."""
    return [part.strip() for value in values for part in re.split(r",\s*(?=\w)", value)]


def _version(option: str, text: str) -> str:
    try:
        numbers(text)
    except ValueError as error:
        raise FleetwheelError(f"{option}: {error}") from error
    return text


def _driver(version: str | None, cuda: str | None, gpus: Sequence[str], windows: bool) -> Driver:
    if not gpus:
        return Driver(state=DriverState.NO_GPU)
    if version is None:
        raise FleetwheelError("--gpu needs --driver: the driver decides as much as the GPU does")
    newest = _version("--cuda", cuda) if cuda else None
    return Driver(state=DriverState.OK, version=_driver_version(version, windows), cuda=newest)


def _driver_version(text: str, windows: bool) -> str:
    plain = from_windows(text)
    if plain is None:
        return _version("--driver", text)
    if not windows:
        raise FleetwheelError(
            f"--driver: {text!r} is how Windows writes {plain}, and this host runs Linux",
            hint=f"write --driver {plain}, or add --os windows or --wsl",
        )
    return plain


def _python(text: str) -> Python:
    match = re.fullmatch(r"(3\.[0-9]{1,2})(\.[0-9]{1,3})?(t?)", text)
    if match is None:
        raise FleetwheelError(f"--python: {text!r} is no Python version", hint="write 3.12")
    minor, patch, free_threaded = match.groups()
    return Python(path="", version=minor + (patch or ".0"), free_threaded=bool(free_threaded))
