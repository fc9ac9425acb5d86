"""What config.py sets up for pyinfra's command line: no host hurts another, or the terminal."""

import os
import sys
from typing import Any

import click
import pyinfra
import pyinfra_cli.cli
from pyinfra import config
from pyinfra.api.output import set_echo, set_formatter
from pyinfra_cli.log import LogFormatter

from fleetwheel import terminal
from fleetwheel.connection import client, names


def guard() -> None:
    """
    Clean what is printed, connect within bounds, and ask nobody where nobody is.

    Where something other than pyinfra's command line runs config.py, nothing happens.
    """
    context = click.get_current_context(silent=True)
    if not pyinfra.is_cli or context is None:
        return
    terminal.clean_logs()
    set_echo(terminal.echo)
    if os.environ.get("NO_COLOR"):
        _leave_colours_out(context)
    client.install_client()
    names.install_resolver(context.params["parallel"] or config.PARALLEL)
    if context.params["dry"] and not sys.stdin.isatty():
        # All that a dry run asks is whether to go on without the hosts that failed.
        vars(pyinfra_cli.cli)["input"] = lambda: ""


def _leave_colours_out(context: click.Context) -> None:
    """Have pyinfra respect NO_COLOR (no-color.org), which it does not by itself."""
    context.color = False
    set_formatter(_plain)
    LogFormatter.level_to_format.clear()


def _plain(text: str, *styles: Any, **more: Any) -> str:
    return text
