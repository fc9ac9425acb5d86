"""The options that several commands have: the same words and the same meaning in each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import environment_name
from fleetwheel.inventory.load import VARIABLE

Hosts = Sequence[tuple[str, dict[str, Any]]]
"""Names with their data."""
INVENTORY = "inventory.py"
ENVIRONMENT = "environment="
"""Before names of environments, in ``--data``."""


def _named(context: click.Context, parameter: click.Parameter, inventory: str) -> str:
    if inventory == "-":
        raise FleetwheelError(
            "- is not an inventory",
            hint="a --json without FILE prints to standard output by itself",
        )
    if not all(inventory.split(",")):
        raise FleetwheelError(
            f"{inventory!r} names a host without a name",
            hint="no comma at either end; one host alone is @ssh/HOST",
        )
    if not inventory.startswith("@") and Path(inventory).suffix in (".yaml", ".yml"):
        raise FleetwheelError(
            f"{inventory}: pyinfra takes no YAML here",
            hint=f"put it into inventory/, or run with {VARIABLE}={inventory} inventory.py",
        )
    return inventory


inventory_argument = click.argument(
    "inventory", type=click.Path(), default=INVENTORY, callback=_named
)
limit_option = click.option(
    "--limit",
    multiple=True,
    metavar="HOST,GROUP,...",
    help="Only these hosts: names, groups, patterns, or facts of the last report (driver<580).",
)
data_option = click.option(
    "--data",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting for all hosts; can be given again.",
)
environment_option = click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME",
    help="Only this environment of each host; can be given again.",
)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@dataclass(frozen=True)
class Scope:
    """Which hosts a command is for, and what it says of all of them."""

    inventory: str | Hosts
    """What pyinfra takes, or hosts by themselves."""
    limit: Sequence[str] = ()
    """What ``select`` takes."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What comes before everything that the inventory says."""
    verbosity: int = 0

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that the command is for; none where it is for all."""
        from fleetwheel.inventory.settings import Settings

        return Settings.from_data(self.data).environment

    @property
    def shown(self) -> str:
        """The inventory, for messages."""
        if isinstance(self.inventory, str):
            return self.inventory
        return ", ".join(name for name, _ in self.inventory)


def file_option(name: str, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return an option that names a file to write, for ``write_output``."""
    path = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
    text = f"Write {what}; - is standard output."
    return click.option(f"--{name}", f"{name}_file", type=path, metavar="FILE", help=text)


def with_environments(words: Sequence[str], environments: Sequence[str]) -> list[str]:
    """Return what ``--data`` says, with all names of environments in one last ``environment=``.

    Raises FleetwheelError for what is not the name of an environment.
    """
    said = [word.removeprefix(ENVIRONMENT) for word in words if word.startswith(ENVIRONMENT)]
    others = [word for word in words if not word.startswith(ENVIRONMENT)]
    names = [
        *_environment_names("--data environment", said),
        *_environment_names("--environment", environments),
    ]
    return [*others, f"{ENVIRONMENT}{','.join(dict.fromkeys(names))}"] if names else others


def _environment_names(option: str, texts: Sequence[str]) -> list[str]:
    """Return the names in texts such as ``a,b``, or in lists of JSON."""
    parts = [part.strip(' "') for text in texts for part in text.strip("[] ").split(",")]
    names = [part for part in parts if part]
    if texts and not names:
        raise FleetwheelError(f"{option}: names no environment", hint="leave it out for all")
    try:
        return [environment_name(name) for name in names]
    except ValueError as error:
        raise FleetwheelError(f"{option}: {error}") from None


def read_data(
    words: Sequence[str], *deploys: Path, environments: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what ``--data`` and ``--environment`` say, checked before any host is asked.

    ``deploys`` are the files that run: what they read of a host's data may be given too.
    """
    words = with_environments(words, environments)
    if not words:
        return {}
    from fleetwheel.inventory.command_line import checked_data, data_value
    from fleetwheel.operations._command_line import known_names

    for word in words:
        if "=" not in word:
            raise FleetwheelError(f"--data {word}: is not KEY=VALUE")
    pairs = (word.split("=", 1) for word in words)
    data = {key: data_value(value) for key, value in pairs}
    return checked_data(data, known_names(deploys))
