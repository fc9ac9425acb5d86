"""An SSH connection on which the other end can neither keep this one waiting nor fill its memory.

paramiko reads whatever comes, in a loop that lets nobody else in while there is more, and waits for
most answers without a limit. Here a stranger, who has not logged us in yet, gets ``STRANGER_BYTES``
and the seconds of each phase; a host gets ``OUTPUT_BYTES`` and ``OUTPUT_LINES`` for a command.
"""

import time
from dataclasses import dataclass
from typing import Any

import gevent
from paramiko import Channel, ChannelException, SSHException, Transport
from pyinfra.connectors.ssh import SSHConnector
from typing_extensions import override

from fleetwheel.connection.deadline import deadline
from fleetwheel.connection.keepalive import SILENCE_S

STRANGER_BYTES = 256 * 1024
"""All that is read before the login: it needs some 10 KB, with many keys and a banner 40."""
PROOF_S = 20
"""From the first byte until the host has shown its key."""
LOGIN_S = 60
"""For the login; the owner of a key may have to touch it."""
PACKET_BYTES = 256 * 1024
"""The longest packet, as in OpenSSH; paramiko asks for data in packets of 32 KiB."""
UNREAD_BYTES = 16 * 2**20
"""What may wait to be read: eight times the window that each channel gives."""
BREATH_BYTES = 2**20
"""How much comes in before others have their turn."""
OUTPUT_BYTES = 32 * 2**20
"""What a command may print: everything that is asked of a host is cut at half of that there."""
OUTPUT_LINES = 100_000
"""pyinfra keeps some 200 bytes for each line, and logs each line of a command that fails."""
LINE_BYTES = 4 * 2**20
"""paramiko copies a line for every piece of it that comes in."""
CUT = b"\n[the rest was not read: it is more than anybody asked for]\n"


class Link:
    """The socket below a transport, or what a jump host has opened in its place."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self.hung_up = False
        """Whether the other end closed it."""
        self.transport: BoundedTransport | None = None
        self._left: float = STRANGER_BYTES
        self._since_breath = 0
        self.phase("shown its host key", PROOF_S)

    def phase(self, awaited: str, seconds: float) -> None:
        """Begin what has to end within some seconds."""
        self._awaited, self._seconds = awaited, seconds
        self._end = time.monotonic() + seconds

    def trust(self) -> None:
        """Take off the limits for strangers."""
        self._left = self._end = float("inf")

    def recv(self, size: int) -> bytes:
        """Return what has come in; SSHException where it is too much or too late."""
        if size > PACKET_BYTES:
            raise SSHException(f"it sent a packet of {size} bytes")
        if time.monotonic() > self._end:
            raise SSHException(f"it has not {self._awaited} within {self._seconds} s")
        try:
            data: bytes = self.link.recv(size)
        except ConnectionError:
            self.hung_up = True
            raise
        self.hung_up = not data
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise SSHException(f"it sent {STRANGER_BYTES} bytes and has not {self._awaited}")
        self._since_breath += size
        if self._since_breath > BREATH_BYTES:
            self._since_breath = 0
            if self.transport and self.transport.unread() > UNREAD_BYTES:
                raise SSHException("it sends more than it was asked for")
            gevent.sleep(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)


class BoundedTransport(Transport):
    """A transport with a limit for every phase."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        self.bounded = Link(sock)
        super().__init__(self.bounded, *arguments, **options)  # type: ignore[arg-type]
        self.bounded.transport = self
        self.channel_timeout = SILENCE_S

    @override
    def start_client(self, event: Any = None, timeout: float | None = None) -> None:
        """Wait for the host's key; paramiko takes the end of ``timeout`` for success."""
        super().start_client(event)
        self.bounded.phase("let us log in", LOGIN_S)

    @override
    def open_channel(self, *arguments: Any, **options: Any) -> Channel:
        """Open a channel; where sshd has no room, first close SFTP, then wait for what ends."""
        for pause in (0.1, 0.4, 1.0, None):
            try:
                channel = super().open_channel(*arguments, **options)
                break
            except ChannelException:
                if pause is None:
                    raise
            self._close_files()
            gevent.sleep(pause)
        channel.__class__ = BoundedChannel  # paramiko has no other place to say so
        return channel

    def unread(self) -> int:
        """Return how many bytes wait in all channels."""
        channels = self._channels.values()  # type: ignore[attr-defined]
        buffers = [buffer for c in channels for buffer in (c.in_buffer, c.in_stderr_buffer)]
        return sum(map(len, buffers))

    def _close_files(self) -> None:
        """Close the channels of SFTP, and have pyinfra open another when it needs one."""
        for channel in self._channels.values():  # type: ignore[attr-defined]
            if isinstance(channel, BoundedChannel) and channel.subsystem:
                channel.close()
        SSHConnector.get_file_transfer_connection.cache.clear()


@dataclass
class Tally:
    """What one stream of a command has brought."""

    size: int = 0
    lines: int = 0
    line: int = 0
    """Bytes since the last line break."""

    @property
    def full(self) -> bool:
        """Whether no more is read."""
        return self.size > OUTPUT_BYTES or self.lines > OUTPUT_LINES or self.line > LINE_BYTES

    def add(self, data: bytes) -> None:
        """Count what came in."""
        self.size += len(data)
        self.lines += data.count(b"\n")
        _, found, rest = data.rpartition(b"\n")
        self.line = len(rest) if found else self.line + len(data)


def received(channel: Channel) -> int:
    """Return how many bytes of output and errors a command has brought."""
    tallies = channel.tallies if isinstance(channel, BoundedChannel) else None
    waiting = len(channel.in_buffer) + len(channel.in_stderr_buffer)
    return waiting + sum(tally.size for tally in tallies or ())


class BoundedChannel(Channel):
    """A channel on which nothing is waited for without end, and no command's output is endless."""

    subsystem = False
    tallies: tuple[Tally, Tally] | None = None
    """Of the output and the errors of a command."""

    @override
    def exec_command(self, command: Any) -> None:
        """Start a command; TimeoutError where the host does not say that it did."""
        self.tallies = Tally(), Tally()
        with deadline(SILENCE_S):
            super().exec_command(command)

    @override
    def invoke_subsystem(self, subsystem: Any) -> None:
        """Start SFTP, whose answers are waited for as long as a host may be silent."""
        self.subsystem = True
        self.settimeout(SILENCE_S)
        with deadline(SILENCE_S):
            super().invoke_subsystem(subsystem)

    @override
    def send(self, s: Any) -> int:
        """Send; TimeoutError where the host takes nothing."""
        with deadline(SILENCE_S):
            return super().send(s)

    @override
    def recv(self, nbytes: int) -> bytes:
        """Return what has come in; behind the limit nothing comes any more."""
        return self._counted(super().recv(nbytes), 0)

    @override
    def recv_stderr(self, nbytes: int) -> bytes:
        """Return what has come in as ``recv`` does."""
        return self._counted(super().recv_stderr(nbytes), 1)

    @override
    def recv_exit_status(self) -> int:
        """Return the exit status; -1 where the host does not give it after all output."""
        self.status_event.wait(SILENCE_S)
        return self.exit_status

    def _counted(self, data: bytes, stream: int) -> bytes:
        """Return what a stream brought; the end, for one that has brought too much."""
        if self.tallies is None:
            return data
        tally = self.tallies[stream]
        if tally.full:
            return b""
        tally.add(data)
        if not tally.full:
            return data
        self.close()
        return data + CUT
