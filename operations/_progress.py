"""A line now and then about what takes long on a host, where a person watches."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
from pyinfra import logger
from pyinfra.api import Host

from fleetwheel.operations import _commands
from fleetwheel.terminal import printable

INTERVAL_S = 5
"""Seconds between two looks."""


@contextmanager
def shown(host: Host, path: str) -> Iterator[None]:
    """Log what a file on the host says, each time that it says something new.

    Only where standard error is a terminal: it costs a command per look.
    """
    if not sys.stderr.isatty():
        yield
        return
    watching = gevent.spawn(_watch, host, path)
    try:
        yield
    finally:
        watching.kill()


def _watch(host: Host, path: str) -> None:
    last = ""
    while True:
        time.sleep(INTERVAL_S)
        with suppress(Exception):  # a look that fails is no news, and the build goes on
            said = _read(host, path)
            if said and said != last:
                logger.info(f"{host.print_prefix}{said}")
                last = said


def _read(host: Host, path: str) -> str:
    _, output = host.run_shell_command(_commands.read_file(host, path), _timeout=INTERVAL_S)
    return printable(output.stdout.strip())
