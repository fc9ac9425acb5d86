"""The options that several commands have: the same words and the same meaning in each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from fleetwheel.errors import FleetwheelError

Hosts = Sequence[tuple[str, dict[str, Any]]]
"""Names with their data."""
INVENTORY = "inventory.py"


def _named(context: click.Context, parameter: click.Parameter, inventory: str) -> str:
    if inventory == "-":
        raise FleetwheelError(
            "- is no inventory", hint="a --json without FILE prints to standard output by itself"
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


def read_data(
    words: Sequence[str], *deploys: Path, environments: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what ``--data`` and ``--environment`` say, checked before any host is asked.

    ``deploys`` are the files that run: what they read of a host's data may be given too.
    """
    if environments:
        words = [*words, f"environment={','.join(environments)}"]
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
