"""SSH servers that mean harm, in threads of this process: strangers, and hosts that log us in."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from paramiko import RSAKey, ServerInterface, Transport
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED, cMSG_CHANNEL_DATA
from paramiko.message import Message

CLIPBOARD = b"\x1b]52;c;aGk=\x07"
BANNER = b"SSH-2.0-OpenSSH_9.2\r\n"
Talk = Callable[[socket.socket], None]
KEY = RSAKey.generate(2048)


def silence(link: socket.socket) -> None:
    link.recv(1)
    time.sleep(60)


def a_byte_a_second(link: socket.socket) -> None:
    for _ in range(60):
        link.sendall(b"S")
        time.sleep(0.2)


def an_endless_line(link: socket.socket) -> None:
    while True:
        link.sendall(b"x" * 65536)


def endless_lines(link: socket.socket) -> None:
    while True:
        link.sendall((CLIPBOARD + b" hello\r\n") * 100)


def a_line_that_steers(link: socket.socket) -> None:
    """As many lines as paramiko reads; it puts the last one into its error."""
    link.sendall((CLIPBOARD + b" hello\r\n") * 101)
    time.sleep(60)


def a_huge_packet(link: socket.socket) -> None:
    link.sendall(BANNER + struct.pack(">I", 2**31 - 4))
    while True:
        link.sendall(b"x" * 65536)


def silence_after_the_banner(link: socket.socket) -> None:
    link.sendall(BANNER)
    time.sleep(60)


def a_disconnect(link: socket.socket) -> None:
    """SSH_MSG_DISCONNECT with a text that steers a terminal."""
    words = CLIPBOARD + b"\r\n[healthy] Connected" * 3
    body = b"\x01" + struct.pack(">II", 2, len(words)) + words + struct.pack(">I", 0)
    padding = 8 - (len(body) + 5) % 8 + 8
    packet = struct.pack(">IB", len(body) + padding + 1, padding) + body + b"\0" * padding
    link.sendall(BANNER + packet)
    time.sleep(60)


def busy(link: socket.socket) -> None:
    """As sshd does beyond its MaxStartups."""
    link.recv(100)
    link.sendall(b"Exceeded MaxStartups\r\n")


@contextmanager
def serving(*talks: Talk) -> Iterator[int]:
    """Give the port of a server that talks so, the last way to all further connections."""
    left = list(talks)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    link, _ = server.accept()
                    talk = left.pop(0) if len(left) > 1 else left[0]
                    threading.Thread(target=_talk, args=(talk, link), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def _talk(talk: Talk, link: socket.socket) -> None:
    with link, suppress(OSError):
        talk(link)


class Host(ServerInterface):
    """Lets everyone in, and does ``behave`` for a command."""

    def __init__(self, behave: Callable[[Any], None] | None) -> None:
        self.behave = behave

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        if self.behave is None:
            time.sleep(60)
            return False
        threading.Thread(target=_quietly, args=(self.behave, channel), daemon=True).start()
        return True


def _quietly(behave: Callable[[Any], None], channel: Any) -> None:
    time.sleep(0.1)  # the command is to have been accepted
    with suppress(Exception):
        behave(channel)


def host(behave: Callable[[Any], None] | None) -> Talk:
    """Return a host that logs us in, and then behaves so; None never answers a command."""

    def talk(link: socket.socket) -> None:
        transport = Transport(link)
        transport.add_server_key(KEY)
        transport.start_server(server=Host(behave))
        transport.join(60)

    return talk


def well(channel: Any) -> None:
    channel.sendall(b"well\n")
    channel.send_exit_status(0)
    channel.close()


def endless_output(channel: Any) -> None:
    while True:
        channel.sendall(b"y\n" * 16384)


def an_endless_output_line(channel: Any) -> None:
    while True:
        channel.sendall(b"y" * 32768)


def no_exit_status(channel: Any) -> None:
    channel.sendall(b"well\n")
    channel.shutdown_write()
    time.sleep(60)


def more_than_the_window(channel: Any) -> None:
    """Sends on, whatever this end has room for."""
    while True:
        message = Message()
        message.add_byte(cMSG_CHANNEL_DATA)
        message.add_int(channel.remote_chanid)
        message.add_string(b"y" * 32000)
        channel.transport._send_message(message)
