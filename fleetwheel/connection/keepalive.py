"""Noticing that the connection to a host is lost, whatever waits on it."""

import socket

from paramiko import SSHClient, Transport

SILENCE_S = 45
"""Seconds without a sign of life from the host's kernel after which it counts as cut off."""
OPTIONS = {
    (socket.SOL_SOCKET, "SO_KEEPALIVE"): 1,
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE"): 15,
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL"): 10,
    (socket.IPPROTO_TCP, "TCP_KEEPCNT"): 3,
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"): SILENCE_S * 1000,
}
"""Level and name of a socket's option: not every system has them all."""


def watch(connector: object) -> None:
    """Have this machine's kernel end the connection of a pyinfra connector to a host cut off.

    pyinfra's deadlines cover the output of a command, but neither its start nor a transfer, and
    paramiko would wait an hour. What jumps over another host has that end's deadlines alone.
    """
    transport = transport_of(connector)
    if transport is None or not transport.is_active():
        return
    transport.channel_timeout = SILENCE_S  # type: ignore[attr-defined]  # the stubs lack it
    link = getattr(transport.sock, "link", transport.sock)
    if isinstance(link, socket.socket):
        for (level, name), value in OPTIONS.items():
            if option := getattr(socket, name, None):
                link.setsockopt(level, option, value)


def transport_of(connector: object) -> Transport | None:
    """Return what carries a connector's SSH; None for one that has none."""
    client = getattr(connector, "client", None)
    return client.get_transport() if isinstance(client, SSHClient) else None
