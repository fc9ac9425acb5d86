"""Sending files to a host: wheels by rsync over the system's ssh, or else by SFTP."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import gevent
from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.connectors.ssh import SSHConnector

from fleetwheel.connection.keepalive import SILENCE_S
from fleetwheel.errors import FleetwheelError
from fleetwheel.operations._connection import noticed
from fleetwheel.operations._probe import connector_arguments
from fleetwheel.reporting.table import printable

RSYNC_FLAGS = ("--partial", "--chmod=F644", f"--timeout={SILENCE_S}")
"""What was sent before a link broke stays, and only the rest is sent."""
PLAIN = re.compile(r"[\w@%+=:,./~-]*", re.ASCII)
"""What pyinfra may put into rsync's command line, which it does not quote."""


def upload(source: str | IO[str] | IO[bytes], path: str) -> FunctionCommand:
    """
    Return the sending of a file, which can fail for this host alone.

    + source: path on this machine, or what is open for reading
    + path: where to on the host

    pyinfra's own FileUploadCommand ends the run for every host when a connection breaks in it.
    """
    return FunctionCommand(_try_file, [source, path], {})


def _try_file(state: State, host: Host, source: str | IO[str] | IO[bytes], path: str) -> bool:
    try:
        file(host, source, path)
    except FleetwheelError as error:
        logger.error(f"{host.print_prefix}{printable(str(error))}")
        return False
    return True


def file(host: Host, source: str | IO[str] | IO[bytes], path: str) -> None:
    """Send a file; FleetwheelError when it does not get there."""
    try:
        with noticed(host):
            sent = host.put_file(source, path, **connector_arguments(host))
    except (OSError, PyinfraError) as error:
        raise _unsent(path, error) from error
    if not sent:
        raise _unsent(path, "it cannot be written")


def _unsent(path: str, why: object) -> FleetwheelError:
    return FleetwheelError(
        f"sending {path} failed: {why}", hint="check the host's network, disk and permissions"
    )


def send(host: Host, directory: str, files: Mapping[str, Path], timeout: int) -> None:
    """
    Copy files into a directory of the host, under the names that they have here.

    + directory: a directory that exists on the host
    + files: name to path on the controller
    + timeout: seconds for all of them

    Raises FleetwheelError when they do not get there.
    """
    late = FleetwheelError(
        f"sending {len(files)} wheels took longer than {timeout} s",
        hint="raise install_timeout; where both ends have rsync, the next run goes on from there",
    )
    try:
        with noticed(host), gevent.Timeout(timeout, late):
            if not _rsync(host, directory, files):
                _upload(host, directory, files)
    except (OSError, PyinfraError) as error:
        raise FleetwheelError(
            f"sending wheels failed: {error}", hint="check the host's network and disk"
        ) from error


def _rsync(host: Host, directory: str, files: Mapping[str, Path]) -> bool:
    """Send with rsync, which resumes; false where it is not to be had at both ends."""
    names = [*map(str, files.values()), directory, *_reached_by(host)]
    if not isinstance(host.connector, SSHConnector) or not all(map(PLAIN.fullmatch, names)):
        return False
    arguments = {
        key: value for key, value in connector_arguments(host).items() if key.startswith("_sudo")
    }
    sources = " ".join(shlex.quote(str(path)) for path in files.values())
    try:
        host.check_can_rsync()
        host.rsync(sources, f"{directory}/", RSYNC_FLAGS, **arguments)
    except (NotImplementedError, OSError) as error:
        logger.debug(f"{host.print_prefix}no rsync: {error}")
        return False
    return True


def _reached_by(host: Host) -> list[str]:
    keys = ("ssh_hostname", "ssh_user", "ssh_key", "ssh_known_hosts_file", "ssh_config_file")
    return [host.name, *(str(host.data.get(key) or "") for key in keys)]


def _upload(host: Host, directory: str, files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        logger.info(f"{host.print_prefix}sending {name}")
        if not host.put_file(str(path), f"{directory}/{name}", **connector_arguments(host)):
            raise OSError(f"{name} cannot be written")
