"""`fleetwheel init`: a project directory, in which pyinfra is run."""

from pathlib import Path

import click

from fleetwheel.project import create
from fleetwheel.upgrade import upgrade

EDITED = 3


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--upgrade", "upgrading", is_flag=True, help="Bring a directory to this version.")
def init_command(directory: Path, upgrading: bool) -> None:
    """Write a project directory, in which pyinfra is run.

    It holds deploys, facts, operations, templates and a place for your inventory.
    Nothing that is there is overwritten; a directory that holds such files is refused.

    With --upgrade, files that you have not edited are replaced by those of this version. Of the
    edited ones a diff is printed, and they stay: remove one and run this again to get the new one.
    Your inventory, locks and reports are not touched. Exits with 3 where edited files stayed.
    """
    if upgrading:
        _upgrade(directory)
        return
    written = create(directory)
    click.echo(
        f"{len(written)} files in {directory}. Your hosts go into {directory}/inventory/; then\n"
        f"  cd {directory}\n"
        "  pyinfra inventory.py deploys/torch.py"
    )


def _upgrade(directory: Path) -> None:
    done = upgrade(directory)
    for name in done.written:
        click.echo(f"written: {name}")
    for name in done.removed:
        click.echo(f"removed: {name}")
    for name, diff in done.edited.items():
        click.echo(f"left as it is, edited: {name}\n{diff}")
    counts = f"{len(done.written)} written, {len(done.removed)} removed, {len(done.edited)} left"
    click.echo(f"{directory}: {counts}")
    if done.edited:
        raise SystemExit(EDITED)
