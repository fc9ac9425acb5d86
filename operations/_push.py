"""Sending files to a host: by rsync over the system's ssh, by SFTP, or on standard input."""

import re
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import IO

import gevent
from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, QuoteString, StringCommand
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.util import get_file_io
from pyinfra.connectors.ssh import SSHConnector

from fleetwheel.connection.keepalive import SILENCE_S
from fleetwheel.errors import FleetwheelError
from fleetwheel.operations._commands import SHARED
from fleetwheel.operations._connection import noticed
from fleetwheel.operations._probe import connector_arguments
from fleetwheel.operations._step import step

RSYNC_FLAGS = ("--partial", "--chmod=F644", f"--timeout={SILENCE_S}")
"""What was sent before a link broke stays, and only the rest is sent."""
PLAIN = re.compile(r"[\w@%+=:,./~-]*", re.ASCII)
"""What pyinfra may put into rsync's command line, which it does not quote."""

BECOMES = ("_sudo", "_su_user", "_doas", "_dzdo")
"""pyinfra's arguments by which commands run as another user than the one who logs in."""
PIECE_BYTES = 12 << 20
"""Bytes of a file that one command gets on its standard input."""


def upload(source: str | IO[str] | IO[bytes], path: str) -> FunctionCommand:
    """
    Return the sending of a file, which can fail for this host alone.

    + source: path on this machine, or what is open for reading
    + path: where to on the host

    pyinfra's own FileUploadCommand ends the run for every host when a connection breaks in it.
    """
    return step(None, file, source, path)


def put_text(text: str, path: str, mode: str) -> Iterator[PyinfraCommand]:
    """Yield what puts a text in the place of a file of a Linux host, in one step."""
    new = f"{path}.new"
    yield StringCommand("rm -f", QuoteString(new))  # it may be another user's
    yield upload(StringIO(text), new)
    yield StringCommand("chmod", mode, QuoteString(new))
    yield StringCommand("mv -fT", QuoteString(new), QuoteString(path))


def file(host: Host, source: str | IO[str] | IO[bytes], path: str) -> None:
    """Send a file; FleetwheelError when it does not get there."""
    try:
        with noticed(host):
            sent = _put(host, source, path)
    except (OSError, PyinfraError) as error:
        raise _unsent(path, error) from error
    if not sent:
        raise _unsent(path, "it cannot be written")


def _put(host: Host, source: str | IO[str] | IO[bytes], path: str) -> bool:
    """Send a file to where the user who acts on the host writes it; whether it got there.

    For another user than the one who logs in, pyinfra would have it lie in /tmp under a name that
    everybody can foresee, and so make before it does.
    """
    arguments = connector_arguments(host)
    if not any(arguments.get(key) for key in BECOMES):
        return host.put_file(source, path, **arguments)
    place = QuoteString(path)
    write = StringCommand(SHARED, "rm -f", place, "&& set -C && base64 -d >", place)
    for piece in _pieces(source):
        done, output = host.run_shell_command(write, **(arguments | {"_stdin": piece}))
        if not done:
            raise OSError("\n".join(output.stderr_lines[-3:]) or "it cannot be written")
        write = StringCommand("base64 -d >>", place)
    return True


def _pieces(source: str | IO[str] | IO[bytes]) -> Iterator[str]:
    """Yield a file in base64, at least one piece of it: pyinfra sends text alone."""
    with get_file_io(source) as file:
        yield b64encode(file.read(PIECE_BYTES)).decode()
        while piece := file.read(PIECE_BYTES):
            yield b64encode(piece).decode()


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
        if not _put(host, str(path), f"{directory}/{name}"):
            raise OSError(f"{name} cannot be written")
