"""The keys by which a host proves who it is, asked of the host as pyinfra would reach it."""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from paramiko import PKey, ProxyCommand, SSHException, Transport
from paramiko.ssh_exception import IncompatiblePeer

from fleetwheel.connection import client, known_hosts
from fleetwheel.connection.bounds import BoundedTransport
from fleetwheel.errors import FleetwheelError
from fleetwheel.terminal import single_line

CONNECT_S = 10
ALGORITHMS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""What is asked for one after the other: a connection shows one key."""


class Offer(NamedTuple):
    """What a host shows of itself before anybody logs in."""

    name: str
    """As known_hosts has it."""
    known_hosts: tuple[Path, ...]
    """The files that pyinfra reads for this host; new keys go into the first."""
    keys: tuple[PKey, ...]
    windows: bool


class Way(NamedTuple):
    """Where a connection goes, after the SSH configuration was read."""

    host: str
    port: int
    known_hosts: tuple[Path, ...]
    socket: Any
    """What a jump host has opened, if there is one."""


def offered_keys(name: str, data: Mapping[str, Any]) -> Offer:
    """Return what a host offers; nothing is believed, and nobody logs in to it.

    ``data`` is pyinfra's data of the host. Jump hosts of the SSH configuration are logged in to.
    Raises FleetwheelError where the host cannot be reached.
    """
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    client.install_client()
    keys: list[PKey] = []
    windows = False
    try:
        for algorithms in ALGORITHMS:
            way = _way(data.get("ssh_hostname") or name, data)
            with _transport(way) as transport, suppress(IncompatiblePeer):
                transport.get_security_options().key_types = algorithms
                transport.start_client()
                keys.append(transport.get_remote_server_key())
                windows |= "OpenSSH_for_Windows" in transport.remote_version
    except (OSError, SSHException, EOFError) as error:
        why = getattr(error, "strerror", None) or single_line(str(error)) or "it hung up"
        raise FleetwheelError(f"cannot be reached: {why}") from error
    if not keys:
        raise FleetwheelError("has no ED25519, ECDSA or RSA host key")
    entry = known_hosts.entry_name(way.host, way.port)
    return Offer(entry, way.known_hosts, tuple(keys), windows)


def _way(host: str, data: Mapping[str, Any]) -> Way:
    """Return where pyinfra would connect to, by the host's data and the SSH configuration."""
    said = {"timeout": CONNECT_S}
    if data.get("ssh_port"):
        said["port"] = int(data["ssh_port"])
    name, found, _, _, paths, *_ = client.BoundedClient().parse_config(  # type: ignore[no-untyped-call]
        host, said, ssh_config_file=data.get("ssh_config_file"), strict_host_key_checking="yes"
    )
    if isinstance(found.get("sock"), ProxyCommand):
        found["sock"].close()
        raise FleetwheelError(
            "is behind a ProxyCommand, through which paramiko loses parts of long commands",
            hint="ProxyJump in the SSH configuration does the same and works",
        )
    named = data.get("ssh_known_hosts_file")
    files = (named,) if named else paths
    port = said.get("port") or found["port"]
    return Way(name, port, tuple(Path(path).expanduser() for path in files), found.get("sock"))


@contextmanager
def _transport(way: Way) -> Iterator[Transport]:
    address = way.host, way.port
    connected = way.socket or socket.create_connection(address, CONNECT_S)
    transport = BoundedTransport(connected)
    try:
        yield transport
    finally:
        transport.close()
        connected.close()
