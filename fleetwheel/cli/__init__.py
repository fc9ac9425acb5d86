"""The command line: ``fleetwheel``, one module a command."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import click
from gevent import monkey

from fleetwheel import __version__, terminal
from fleetwheel.errors import LOG, FleetwheelError

COMMANDS = (
    *("add", "bootstrap-windows", "choose", "drift", "facts", "generations", "init", "outlook"),
    *("report", "schema"),
)
DEPLOYS = ("deploy", "mirror", "onboard", "remove", "rollback", "schedule", "smoke")
"""Those that run a file of deploys/."""
FAILED = 1
"""Exit status where the run itself failed, bad usage included: 2 and more say what was found."""


class Group(click.Group):
    """Imports the command that is run, and prints what a person must act on, with exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS + DEPLOYS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        if name in DEPLOYS:
            return cast(
                click.Command, importlib.import_module("fleetwheel.cli.deploys").command(name)
            )
        if name not in COMMANDS:
            return None
        name = name.replace("-", "_")
        found = getattr(importlib.import_module(f"fleetwheel.cli.{name}"), f"{name}_command")
        return cast(click.Command, found)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the options before the command."""
        with _failing():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _failing():
            return super().invoke(ctx)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.show()
        raise SystemExit(FAILED) from error
    except FleetwheelError as error:
        terminal.echo(f"fleetwheel: {error}", err=True)
        raise SystemExit(FAILED) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Print where an error of fleetwheel itself comes from.")
def commands(debug: bool) -> None:
    """Put working PyTorch on many machines, and prove that it works.

    `fleetwheel deploy` runs what `pyinfra inventory.py deploys/torch.py` runs, with exit codes for
    scripts: in the root of a clone, or in a directory that `fleetwheel init` wrote.
    """
    terminal.clean_logs()
    if debug:
        LOG.setLevel(logging.DEBUG)


def main() -> None:
    """Run the command line, in a process whose sockets and threads give way to each other.

    pyinfra works on all hosts in one thread, by gevent. gevent has to take the place of sockets,
    ssl and threads before anything else imports them, so it does that here, at the entry point, as
    pyinfra's own command does at its own. Nothing above imports them, and no other module has to
    mind the order of its imports.
    """
    monkey.patch_all()
    commands()
