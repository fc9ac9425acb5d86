"""What commands say beside their results: on standard error, as much as is asked for."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from fleetwheel.errors import DETAIL, FleetwheelError
from fleetwheel.terminal import printable

LOGGER = logging.getLogger("pyinfra")
"""pyinfra's own, and the parent of fleetwheel's."""
QUIET = -1
LEVELS = {QUIET: logging.WARNING, 0: logging.INFO}
"""What is printed at a verbosity; at all others it is ``DETAIL``."""


class ToStderr(logging.Handler):
    """Prints what is logged; text of hosts is shown, never interpreted."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        click.echo(printable(click.unstyle(record.getMessage())), err=True)


def verbosity_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--quiet`` and ``--verbose`` to a command, which gets them as ``verbosity``.

    It is -1, 0, 1 or more. This stands below the other decorators of a command.
    """

    @click.option("--quiet", "-q", is_flag=True, help="Print only the result and what is wrong.")
    @click.option(
        "--verbose", "-v", count=True, help="Also print what is asked and done; -vv: commands too."
    )
    @wraps(command)
    def with_verbosity(*arguments: Any, quiet: bool, verbose: int, **options: Any) -> None:
        if quiet and verbose:
            raise FleetwheelError(
                "--quiet and --verbose contradict each other", hint="leave one out"
            )
        verbosity = QUIET if quiet else verbose
        LOGGER.handlers = [ToStderr()]
        LOGGER.setLevel(LEVELS.get(verbosity, DETAIL))
        command(*arguments, verbosity=verbosity, **options)

    return with_verbosity


def warn(text: str) -> None:
    """Say what somebody should look at, though the command goes on."""
    click.echo(f"warning: {printable(text)}", err=True)
