"""What the hosts of an inventory answer, for the commands that take one."""

from collections.abc import Sequence
from pathlib import Path

import click

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.recorded import HostSnapshot, load_snapshots
from fleetwheel.terminal import printable

limit_option = click.option(
    "--limit",
    multiple=True,
    metavar="HOST,GROUP,...",
    help="These alone: names, groups, patterns, or facts of the last report, as in driver<580.",
)
SILENT = 4
"""Exit status where some hosts could not be reached, or did not answer."""


def answers(inventory: str, limit: Sequence[str]) -> list[HostSnapshot]:
    """Return what the hosts say, or said when they were recorded."""
    if Path(inventory).is_dir() or inventory.endswith(".json"):
        if limit:
            raise FleetwheelError("--limit is for an inventory, not for recorded hosts")
        return load_snapshots(Path(inventory))
    from fleetwheel.cli.fleet import gather

    return gather(inventory, limit, warn)


def warn(text: str) -> None:
    click.echo(f"warning: {printable(text)}", err=True)
