"""`fleetwheel init`: a project directory, in which pyinfra is run."""

from collections.abc import Sequence
from pathlib import Path

import click

from fleetwheel.cli._stderr import QUIET, verbosity_options
from fleetwheel.errors import DETAIL, LOG
from fleetwheel.project import create


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
@verbosity_options
def init_command(directory: Path, verbosity: int) -> None:
    """Write a project directory, in which pyinfra is run.

    It holds inventory.py, config.py, deploys and a place for your hosts: what you edit. All else
    comes from the installed fleetwheel. A directory that already has such files is refused.
    """
    written = create(directory)
    for name in written:
        LOG.log(DETAIL, "wrote %s", directory / name)
    if verbosity != QUIET:
        _explain(directory, written)


def _explain(directory: Path, written: Sequence[str]) -> None:
    click.echo(
        f"{len(written)} files in {directory}. Your hosts go into {directory}/inventory/; then\n"
        f"  cd {directory}\n"
        "  pyinfra inventory.py deploys/torch.py"
    )
