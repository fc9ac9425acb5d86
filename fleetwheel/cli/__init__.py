"""The command line: ``fleetwheel``, one module a command."""

import importlib
import logging
from typing import Any

import click
from gevent import monkey

from fleetwheel import __version__, terminal
from fleetwheel.errors import LOG, FleetwheelError

COMMANDS = ("add", "choose", "drift", "facts", "init", "outlook", "report")


class Group(click.Group):
    """Imports the command that is run, and prints what a person has to mend, with exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        if name not in COMMANDS:
            return None
        found = getattr(importlib.import_module(f"fleetwheel.cli.{name}"), f"{name}_command")
        return found if isinstance(found, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except FleetwheelError as error:
            terminal.echo(f"fleetwheel: {error}", err=True)
            ctx.exit(2)


@click.group(cls=Group)
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Print where an error of fleetwheel itself comes from.")
def commands(debug: bool) -> None:
    """Put working PyTorch on many machines, and prove that it works.

    Deploys are pyinfra's: `pyinfra inventory.py deploys/torch.py`, in the root of a clone or in a
    directory that `fleetwheel init` wrote.
    """
    terminal.clean_logs()
    if debug:
        LOG.setLevel(logging.DEBUG)
        LOG.addHandler(logging.StreamHandler())


def main() -> None:
    """Run the command line, in a process whose sockets and threads give way to each other.

    pyinfra works on all hosts in one thread, by gevent. gevent has to take the place of sockets,
    ssl and threads before anything else imports them, so it does that here, at the entry point, as
    pyinfra's own command does at its own. Nothing above imports them, and no other module has to
    mind the order of its imports.
    """
    monkey.patch_all()
    commands()
