"""The connection to a host: its loss is noticed, whatever waits on it, and has one name."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from paramiko import SSHException, Transport
from pyinfra.api import Host

from fleetwheel.errors import FleetwheelError

SILENCE = 45
"""Seconds without a sign of life from the host's kernel after which it counts as cut off."""
KEEPALIVE = {
    (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): 15,
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): 10,
    (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 3,
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): SILENCE * 1000,
}


def watch(host: Host) -> None:
    """Have this machine's kernel end the connection of a host that was cut off.

    pyinfra's deadlines cover the output of a command, but neither its start nor a transfer, and
    paramiko would wait an hour. What jumps over another host has that end's deadlines alone.
    """
    transport = _transport(host)
    if transport is None or not transport.is_active():
        return
    transport.channel_timeout = SILENCE
    if isinstance(transport.sock, socket.socket):
        for (level, name), value in KEEPALIVE.items():
            if option := getattr(socket, name, None):
                transport.sock.setsockopt(level, option, value)


def _transport(host: Host) -> Transport | None:
    client = getattr(host.connector, "client", None)
    return client.get_transport() if client else None


@contextmanager
def noticed(host: Host) -> Iterator[None]:
    """Raise FleetwheelError for a connection that is lost in the block."""
    watch(host)
    try:
        yield
    except (EOFError, SSHException) as error:
        raise _lost() from error
    except OSError as error:
        if _ended(host):
            raise _lost() from error
        raise
    if _ended(host):
        raise _lost()


def _ended(host: Host) -> bool:
    transport = _transport(host)
    return transport is not None and not transport.is_active()


def _lost() -> FleetwheelError:
    return FleetwheelError(
        f"the connection was lost: the host closed it, or was silent for {SILENCE} s",
        hint="run again when the host can be reached",
    )
