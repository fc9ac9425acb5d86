"""pyinfra's connector for Windows hosts behind OpenSSH: ``@winssh/HOST``.

All that reaches a host (keys, host keys, jump hosts, retries) is pyinfra's SSH connector. What is
added here is how a command runs.

A command is the text of a batch file: ``%NAME%`` is a variable, ``%%`` one percent sign, and a
QuoteString is quoted for cmd and for the program. One short line in which no percent or exclamation
mark needs a batch file goes to cmd as it is; everything else is uploaded, run and removed. Nothing
is left to the default shell of sshd, which is cmd or PowerShell.
"""

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO, IOBase
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import Any

import gevent
from paramiko import Channel, Message, SFTPClient, SSHException, Transport
from paramiko.common import cMSG_CHANNEL_REQUEST
from pyinfra import logger
from pyinfra.api.command import MaskString, QuoteString, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.hiddenvalue import HiddenValue
from pyinfra.api.host import Host
from pyinfra.api.output import echo
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import DataMeta
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import (
    CommandOutput,
    OutputLine,
    read_output_buffers,
    write_stdin,
)
from typing_extensions import override

from fleetwheel.connection import batch
from fleetwheel.connection.batch import sftp_path
from fleetwheel.connection.bounds import received
from fleetwheel.connection.deadline import deadline
from fleetwheel.connection.quoting import for_cmd
from fleetwheel.errors import FleetwheelError

QUESTION = "echo %OS%:$PSHOME"
"""A line that cmd, PowerShell and POSIX shells answer differently."""
ANSWER_S = 60
"""The first command of a user may have to make the profile."""
SPOOL = 1 << 20
"""Bytes of a fetched file that are kept in memory."""
LEFT_S = 86400
"""A batch file of this age was left by a connection that dropped: no command runs for so long."""
HELD_S, HELD_PAUSE_S = 10, 0.5
"""For so long a file is tried to be replaced that somebody has open; and the time between tries."""
QUIET_S = 5
"""After a command's end its output counts as whole when nothing came for so long."""
END_S = 5
"""A process that was told to end and has not ended by then is left, with its connection."""
UNKNOWN = {
    "_sudo": "sudo",
    "_su_user": "su",
    "_doas": "doas",
    "_dzdo": "dzdo",
    "_get_pty": "terminals for commands",
}
"""What pyinfra can be asked for and Windows has not."""


class WinSSHConnector(SSHConnector):
    """Run commands with cmd on a Windows host, and move files by SFTP."""

    data_meta = SSHConnector.data_meta | {
        "ssh_strict_host_key_checking": DataMeta("SSH strict host key checking", "yes")
    }
    shell: str
    """``cmd`` or ``powershell``: sshd's default shell."""
    sftp: SFTPClient | None = None
    abandoned = False
    """Whether the connection was closed, to be made anew by what needs it next."""
    swept = False
    """Whether this connection looked for batch files that an earlier one left."""

    @override
    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield f"@winssh/{name}", {"ssh_hostname": name}, []

    @override
    def connect(self) -> None:
        super().connect()
        self.sftp, self.abandoned, self.swept = None, False, False
        try:
            _, answer = self._execute(QUESTION, ANSWER_S)
        except (OSError, SSHException) as error:
            raise ConnectError(f"No command can be run ({error or 'no answer'})") from error
        self.shell = default_shell(answer.stdout)

    @override
    def disconnect(self) -> None:
        super().disconnect()
        if self.client is not None:
            self.client.close()

    @override
    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        """Run a command; one that outlives ``_timeout`` is ended, and its children with it.

        Raises TimeoutError then, and SSHException where the connection drops. What Windows has not,
        such as sudo, is a failed command that says so.
        """
        try:
            _refuse_unknown(arguments)
            lines = command_lines(command, arguments)
            shown = "\n".join(command_lines(command, arguments, masked=True))
            logger.debug("Running command on %s: %s", self.host.name, shown)
            self._note(f">>> {shown}", print_input)
            code, output = self._run(
                lines, arguments.get("_timeout"), arguments.get("_stdin"), print_output
            )
        except FleetwheelError as error:
            return False, self._said(str(error), print_output)
        if code >= 0x80000000:
            output.combined_lines += self._said(f"exit status {code:#x}, a crash", print_output)
        return code in (arguments.get("_success_exit_codes") or [0]), output

    @override
    def put_file(
        self,
        filename_or_io: str | IOBase,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Send a file; the one that is there stays until all has arrived."""
        path = sftp_path(remote_filename)
        partial = f"{path}.{secrets.token_hex(4)}.part"
        if self._refused(arguments, print_output):
            return False
        try:
            with (
                get_file_io(filename_or_io) as file,  # type: ignore[arg-type]
                self._transfer(path, arguments.get("_timeout")) as sftp,
            ):
                sftp.putfo(file, partial)
                _replace(sftp, partial, path)
        except (OSError, SSHException):
            self._remove(partial)
            raise
        self._note(f"file uploaded: {remote_filename}", print_output)
        return True

    @override
    def get_file(
        self,
        remote_filename: str,
        filename_or_io: str | IOBase,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Fetch a file; a local one of that name stays until all has arrived."""
        path = sftp_path(remote_filename)
        if self._refused(arguments, print_output):
            return False
        with (
            SpooledTemporaryFile(max_size=SPOOL) as content,
            self._transfer(path, arguments.get("_timeout")) as sftp,
        ):
            sftp.getfo(path, content)
            content.seek(0)
            with get_file_io(filename_or_io, "wb") as file:  # type: ignore[arg-type]
                shutil.copyfileobj(content, file)
        self._note(f"file downloaded: {remote_filename}", print_output)
        return True

    def _run(self, lines: list[str], seconds: int | None, *more: Any) -> tuple[int, CommandOutput]:
        """Run the lines of a batch file by the shortest way that gives them their meaning."""
        if self.shell == "cmd" and (line := batch.one_line(lines)):
            return self._execute(line, seconds, *more)
        name = f"{secrets.token_hex(8)}.cmd"
        words, content = batch.batch_file(lines)
        start = batch.start(self.shell, name, words)
        path = f"{sftp_path(batch.TEMP)}/{name}"
        self._upload(path, content, seconds)
        try:
            return self._execute(start, seconds, *more)
        finally:
            self._remove(path)

    def _remove(self, path: str) -> None:
        """Remove a file of ours, if the host lets us."""
        with suppress(OSError, SSHException), self._transfer(path, END_S) as sftp:
            sftp.remove(path)

    def _upload(self, path: str, content: bytes, seconds: int | None) -> None:
        """Put a batch file where such files go; a new profile has no such directory yet."""
        with self._transfer(path, seconds) as sftp:
            try:
                sftp.putfo(BytesIO(content), path, confirm=False)
            except FileNotFoundError:
                for directory in reversed(PurePosixPath(path).parents[:-1]):
                    with suppress(OSError):
                        sftp.mkdir(str(directory))
                sftp.putfo(BytesIO(content), path, confirm=False)
            if not self.swept:
                self.swept = True
                with suppress(OSError):
                    _sweep(sftp, path)

    def _execute(
        self, line: str, seconds: int | None, stdin: Any = None, print_output: bool = False
    ) -> tuple[int, CommandOutput]:
        """Give sshd one line; return the exit code, unsigned and 32 bits wide, and the output."""
        channel = self._session(seconds)
        try:
            with told_as_dropped(), deadline(seconds):
                channel.exec_command(line)
                buffer = channel.makefile_stdin("wb")
                # A program may end before it has read everything.
                with suppress(OSError):
                    if stdin:
                        write_stdin(stdin, buffer)
                    buffer.close()
                with _closed_when_quiet(channel):
                    output = read_output_buffers(
                        _text_lines(channel.makefile("rb")),
                        _text_lines(channel.makefile_stderr("rb")),
                        timeout=None,
                        print_output=print_output,
                        print_prefix=self.host.print_prefix,
                    )
                code = channel.recv_exit_status()
        except TimeoutError:
            self._end(channel)
            raise
        finally:
            channel.close()
        if code < 0:
            raise SSHException("the connection dropped before the command ended")
        return code, output

    def _session(self, seconds: int | None) -> Channel:
        with told_as_dropped():
            return self._transport().open_session(timeout=seconds or None)

    def _end(self, channel: Channel) -> None:
        """End a process: for sshd on Windows every signal does, and its job takes the children.

        One that stays all the same is left behind with its connection.
        """
        message = Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string("KILL")
        with suppress(OSError, SSHException), deadline(END_S):
            self._transport()._send_user_message(message)  # type: ignore[attr-defined]
            channel.status_event.wait()
        if channel.exit_status < 0:
            logger.warning(f"{self.host.print_prefix}the command may still run: it did not end")
            self._abandon()

    def _abandon(self) -> None:
        self.abandoned = True
        if self.client is not None:
            self.client.close()

    def _transport(self) -> Transport:
        if self.abandoned:
            try:
                self.connect()
            except ConnectError as error:
                raise SSHException(f"no new connection: {error}") from error
        transport = self.client.get_transport() if self.client is not None else None
        if transport is None:
            raise SSHException("not connected")
        return transport

    @contextmanager
    def _transfer(self, path: str, seconds: int | None) -> Iterator[SFTPClient]:
        """Give the SFTP client; what goes wrong names the path, and drops the client.

        After ``seconds`` the connection is closed: paramiko cannot be interrupted in any other way.
        """
        transport = self._transport()
        late = gevent.spawn_later(seconds, self._abandon) if seconds else None
        try:
            if self.sftp and getattr(self.sftp.get_channel(), "closed", True):
                self.sftp = None
            self.sftp = sftp = self.sftp or SFTPClient.from_transport(transport)
            if sftp is None:
                raise SSHException("the host has no SFTP")
            yield sftp
        except (OSError, EOFError, SSHException) as error:
            self.sftp = None
            if self.abandoned:
                raise TimeoutError(f"{path}: not done within {seconds} s") from error
            raise SSHException(f"{path}: {error or 'the connection dropped'}") from error
        finally:
            if late is not None:
                late.kill()

    def _refused(self, arguments: Mapping[str, Any], print_output: bool) -> bool:
        try:
            _refuse_unknown(arguments)
        except FleetwheelError as error:
            logger.error(f"{self.host.print_prefix}{error}")
            return True
        return False

    def _said(self, words: str, print_output: bool) -> CommandOutput:
        """Return words as a command's standard error."""
        for line in words.splitlines() if print_output else ():
            echo(f"{self.host.print_prefix}{line}", err=True)
        return CommandOutput([OutputLine("stderr", line) for line in words.splitlines()])

    def _note(self, words: str, print_output: bool) -> None:
        if print_output:
            echo(f"{self.host.print_prefix}{words}", err=True)


def _replace(sftp: SFTPClient, new: str, path: str) -> None:
    """Rename a file over another; Windows refuses that while somebody has the other one open."""
    until = time.monotonic() + HELD_S
    while True:
        try:
            sftp.posix_rename(new, path)
            return
        except OSError as error:
            if time.monotonic() >= until or not _is_there(sftp, path):
                raise OSError(
                    f"it cannot be replaced, a program may have it open: {error}"
                ) from error
        gevent.sleep(HELD_PAUSE_S)


def _is_there(sftp: SFTPClient, path: str) -> bool:
    with suppress(OSError):
        sftp.stat(path)
        return True
    return False


def _sweep(sftp: SFTPClient, new: str) -> None:
    """Remove the files beside a new one that are old beside it: it tells the host's own time."""
    directory = str(PurePosixPath(new).parent)
    oldest = (sftp.stat(new).st_mtime or 0) - LEFT_S
    for file in sftp.listdir_attr(directory):
        if file.st_mtime and file.st_mtime < oldest:
            with suppress(OSError):
                sftp.remove(f"{directory}/{file.filename}")


def is_windows(host: Host) -> bool:
    """Return whether pyinfra reaches this host as a Windows one."""
    return isinstance(host.connector, WinSSHConnector)


@contextmanager
def told_as_dropped() -> Iterator[None]:
    """Raise SSHException for what paramiko passes on when a connection ends.

    An EOFError would end pyinfra's run for every host.
    """
    try:
        yield
    except TimeoutError:
        raise
    except (EOFError, OSError) as error:
        raise SSHException(f"the connection dropped ({error or 'no more data'})") from error


def command_lines(
    command: StringCommand, arguments: Mapping[str, Any], *, masked: bool = False
) -> list[str]:
    """Return a command, and before it what its arguments set, as lines of a batch file."""
    env = arguments.get("_env") or {}
    variables = {name: _plain(value, masked) for name, value in env.items()}
    before = batch.batch_settings(variables, arguments.get("_chdir"))
    return [*before, _plain(command, masked)]


def _plain(bit: Any, masked: bool) -> str:
    """Return a part of pyinfra's command as cmd reads it, or as a log may show it."""
    if isinstance(bit, QuoteString):
        return for_cmd(_plain(bit.obj, masked))
    if isinstance(bit, StringCommand):
        return str(bit.separator).join(_plain(part, masked) for part in bit.bits)
    if isinstance(bit, MaskString) and masked:
        return "*MASKED*"
    return bit.unmask() if isinstance(bit, HiddenValue) and not masked else str(bit)


def default_shell(answer: str) -> str:
    """Return which shell gave this answer to QUESTION: ``cmd`` or ``powershell``.

    What a profile prints comes before it. Raises ConnectError for another shell.
    """
    answer = answer.strip().rpartition("\n")[2]
    if answer.startswith("Windows_NT:"):
        return "cmd"
    if answer.startswith("%OS%:") and len(answer) > len("%OS%:"):
        return "powershell"
    raise ConnectError(
        f"This is no Windows host, or its default shell is neither cmd nor PowerShell ({answer!r})"
    )


def _refuse_unknown(arguments: Mapping[str, Any]) -> None:
    for name, what in UNKNOWN.items():
        if arguments.get(name):
            raise FleetwheelError(
                f"{name} is set for this host, and Windows has no {what}",
                hint='connect as an administrator, with "sudo: false" in the inventory',
            )


def _text_lines(stream: Any) -> Iterator[str]:
    """Return the lines of an output; what is not UTF-8 is replaced."""
    for line in stream:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


@contextmanager
def _closed_when_quiet(channel: Channel) -> Iterator[None]:
    """Close a channel whose command has ended while a child of it keeps the output open.

    One that breaks away from sshd's job lives on, and sshd waits for it without a limit
    (PowerShell/Win32-OpenSSH#2452). What came in before can still be read.
    """
    watch = gevent.spawn(_close_when_quiet, channel)
    try:
        yield
    finally:
        watch.kill()


def _close_when_quiet(channel: Channel) -> None:
    channel.status_event.wait()
    before, now = -1, received(channel)
    while before != now:
        gevent.sleep(QUIET_S)
        before, now = now, received(channel)
    channel.close()
