"""An SSH server that runs commands in a Wine prefix as sshd on Windows runs them."""

import argparse
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

from tests.rig.windows import prefix as wine
from tests.rig.windows.commandline import CMD, LONGEST, POWERSHELL, command_line
from tests.rig.windows.sftp import Files

BLOCK = 1 << 16
STALL_SECONDS = 5


class Machine:
    """The machine behind the server: its files and its default shell."""

    def __init__(self, directory: Path, shell: str) -> None:
        self.directory = directory
        self.prefix = directory / "prefix"
        self.drive = self.prefix / "drive_c"
        self.shell = shell
        users = (path.name for path in (self.drive / "users").iterdir())
        self.home = f"C:/users/{next(name for name in users if name != 'Public')}"
        self.numbers = itertools.count(1)


class Connection(paramiko.ServerInterface):
    """What one client may do."""

    def __init__(
        self, transport: paramiko.Transport, machine: Machine, password: str, key: paramiko.PKey
    ) -> None:
        self.transport = transport
        self.machine = machine
        self.password = password
        self.key = key
        self.running: dict[int, Path] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == self.password else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key == self.key else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, number: int) -> int:
        unknown = paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED if kind == "session" else unknown

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(
            target=self._execute, args=(channel, command.decode()), daemon=True
        ).start()
        return True

    def signal(self, channel: paramiko.Channel) -> None:
        """Any signal ends the process; the job that its handle keeps open ends its children."""
        if run := self.running.get(channel.get_id()):
            (run / "kill").touch()

    def written(self, size: int) -> None:
        """Do what ``drop-after`` and ``stall-after`` say, when their bytes are used up."""
        self._count("drop-after", size, self.transport.close)
        self._count("stall-after", size, lambda: time.sleep(STALL_SECONDS))

    def _count(self, name: str, size: int, act: Callable[[], None]) -> None:
        limit = self.machine.directory / name
        if limit.exists() and self.transport.is_active():  # one that was given up counts no more
            left = int(limit.read_text()) - size
            limit.write_text(str(left))
            if left < 0:
                limit.unlink()
                act()

    def _execute(self, channel: paramiko.Channel, command: str) -> None:
        line = command_line(self.machine.shell, command)
        if len(line) > LONGEST[self.machine.shell]:
            channel.sendall_stderr(b"The command line is too long.\r\n")
            channel.send_exit_status(1)
        else:
            self._run(channel, line)
        with suppress(OSError):
            channel.close()

    def _run(self, channel: paramiko.Channel, line: str) -> None:
        """Run a line. As in sshd, its status goes out when it has ended, its output to the end."""
        run = self.machine.drive / "rig" / f"{os.getpid()}-{next(self.machine.numbers)}"
        run.mkdir()
        (run / "line").write_text(line, encoding="utf-8")
        process = launch(self.machine.prefix, run)
        self.running[channel.get_id()] = run
        feed = (channel, process.stdin, self.written)
        threading.Thread(target=_feed, args=feed, daemon=True).start()
        errors = threading.Thread(target=_pump, args=(process.stderr, channel.sendall_stderr))
        output = threading.Thread(target=_pump, args=(process.stdout, channel.sendall))
        errors.start()
        output.start()
        status = process.wait()
        del self.running[channel.get_id()]
        code = run / "code"
        with suppress(OSError):
            if not code.exists():
                words = f"rig: launch.exe ended without a code: {status}\r\n"
                channel.sendall_stderr(words.encode())
            channel.send_exit_status(int(code.read_text()) if code.exists() else 255)
        errors.join()
        output.join()


def handle_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Handle a channel's request; paramiko's own way does not know "signal"."""
    start = message.packet.tell()
    if message.get_text() == "signal":
        channel.transport.server_object.signal(channel)
        return
    message.packet.seek(start)
    channel._handle_request(message)


def launch(prefix: Path, run: Path) -> subprocess.Popen[bytes]:
    """Start launch.exe with three pipes: on Wine 8, Python dies of a regular file as stream."""
    return subprocess.Popen(
        [wine.WINE, "launch.exe", rf"C:\rig\{run.name}"],
        env=wine.environment(prefix) | {"SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22"},
        cwd=prefix / "drive_c",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _feed(channel: paramiko.Channel, stdin: IO[bytes], written: Callable[[int], None]) -> None:
    with suppress(OSError), stdin:
        while data := channel.recv(BLOCK):
            written(len(data))
            stdin.write(data)
            stdin.flush()


def _pump(stream: IO[bytes], send: Callable[[bytes], None]) -> None:
    with suppress(OSError), stream:
        while data := os.read(stream.fileno(), BLOCK):
            send(data)


def serve(listener: socket.socket, machine: Machine, password: str, directory: Path) -> None:
    """Answer connections until the process ends."""
    host_key = paramiko.Ed25519Key.from_private_key_file(directory / "host")
    user_key = paramiko.Ed25519Key.from_private_key_file(directory / "id")
    while True:
        client, _ = listener.accept()
        transport = paramiko.Transport(client)
        transport.local_version = "SSH-2.0-OpenSSH_for_Windows_9.8"
        transport.add_server_key(host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
        connection = Connection(transport, machine, password, user_key)
        with suppress(paramiko.SSHException, EOFError):
            transport.start_server(event=threading.Event(), server=connection)


def main() -> None:
    """Serve a rig's directory, and print the port when it is ready."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--shell", choices=["cmd", "powershell"], default="cmd")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    paramiko.Transport._channel_handler_table[MSG_CHANNEL_REQUEST] = handle_request
    machine = Machine(arguments.directory, CMD if arguments.shell == "cmd" else POWERSHELL)
    with socket.create_server(("127.0.0.1", arguments.port)) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener, machine, sys.stdin.readline().strip(), arguments.directory)


if __name__ == "__main__":
    main()
