"""A connection to a host that is cut off: this machine's kernel is told when to end it."""

import socket
import sys
from types import SimpleNamespace

import pytest
from paramiko import SSHClient, Transport

from fleetwheel.connection.keepalive import watch

EXPECTED = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack some of these options")
def test_what_is_cut_off_is_noticed_in_45_seconds() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as link,
    ):
        watch(connector_over(link))
        said = {name: option(link, name) for name in EXPECTED}
        unacknowledged_ms = option(link, "TCP_USER_TIMEOUT")
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert said == EXPECTED
    assert said["TCP_KEEPIDLE"] + said["TCP_KEEPINTVL"] * said["TCP_KEEPCNT"] == 45
    assert unacknowledged_ms == 45_000  # what was sent and stays unanswered, as in a transfer


def option(link: socket.socket, name: str) -> int:
    return link.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def connector_over(link: socket.socket) -> SimpleNamespace:
    """Return what watch() takes for a connector of pyinfra: its SSH has come up."""
    client, transport = SSHClient(), Transport(link)
    transport.active = True
    client._transport = transport  # type: ignore[attr-defined]
    return SimpleNamespace(client=client)
