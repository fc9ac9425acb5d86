"""`fleetwheel init`: a project directory, in which pyinfra is run."""

from pathlib import Path

import click

from fleetwheel.project import create


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
def init_command(directory: Path) -> None:
    """Write a project directory, in which pyinfra is run.

    It holds inventory.py, config.py, deploys and a place for your hosts: what you edit. All else
    comes from the installed fleetwheel. A directory that already has such files is refused.
    """
    written = create(directory)
    click.echo(
        f"{len(written)} files in {directory}. Your hosts go into {directory}/inventory/; then\n"
        f"  cd {directory}\n"
        "  pyinfra inventory.py deploys/torch.py"
    )
