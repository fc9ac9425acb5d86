"""pyinfra's SSH client within bounds: for hosts, jump hosts and Windows hosts alike."""

from collections.abc import Iterator
from contextlib import ExitStack
from random import uniform
from typing import Any

import gevent
import pyinfra.connectors.ssh
import pyinfra.connectors.sshuserclient.client
from gevent.lock import BoundedSemaphore
from paramiko import MissingHostKeyPolicy, SSHException
from pyinfra.connectors.base import DataMeta
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.sshuserclient.client import AskPolicy, SSHClient, StrictPolicy
from typing_extensions import override

from fleetwheel.connection.bounds import BoundedTransport
from fleetwheel.terminal import single_line

AT_ONCE = 8
"""Logins under way at one address: sshd's MaxStartups drops some from the tenth on."""
PAUSES_S = (1.0, 3.0, 6.0)
"""Seconds before each further attempt where sshd hung up without a word of SSH."""
CHECKING = "ssh_strict_host_key_checking"

_logins: dict[tuple[str, int], BoundedSemaphore] = {}


class UnknownKeyPolicy(MissingHostKeyPolicy):
    """Refuses a host whose key is not known, and says what helps."""

    def __init__(self, *, jump: bool) -> None:
        self.jump = jump

    @override
    def missing_host_key(self, client: object, hostname: str, key: object) -> None:
        if self.jump:
            raise SSHException(
                f"known_hosts has no key of the jump host {hostname}: connect to that one first,"
                " with ssh"
            )
        raise SSHException(
            f"known_hosts has no key of {hostname}; `fleetwheel add HOST` shows its keys and adds"
            " them, also for a host that is in the inventory"
        )


class BoundedClient(SSHClient):
    """A client that waits its turn, tries again where sshd is busy, and asks nobody."""

    _turn: ExitStack

    @override
    def connect(self, hostname: str, *arguments: Any, **options: Any) -> None:
        """Connect and log in; SSHException in one line where that fails."""
        for pause in PAUSES_S:
            try:
                self._connect(hostname, *arguments, **options)
                return
            except (SSHException, EOFError, ConnectionError):
                if not self._was_turned_away():
                    raise
            gevent.sleep(pause * uniform(0.5, 1.5))  # noqa: S311
        self._connect(hostname, *arguments, **options)

    def _connect(self, hostname: str, *arguments: Any, **options: Any) -> None:
        options["transport_factory"] = BoundedTransport
        try:
            with ExitStack() as self._turn:
                super().connect(hostname, *arguments, **options)  # type: ignore[no-untyped-call]
        except (SSHException, EOFError, ConnectionError) as error:
            if transport := self.get_transport():
                transport.close()
            raise _in_one_line(error) from None
        if isinstance(transport := self.get_transport(), BoundedTransport):
            transport.bounded.trust()

    @override
    def set_missing_host_key_policy(self, policy: Any) -> None:
        """Set a policy; where pyinfra would ask, as for jump hosts, it shows no fingerprint."""
        if isinstance(policy, (AskPolicy, StrictPolicy)):
            policy = UnknownKeyPolicy(jump=isinstance(policy, AskPolicy))
        super().set_missing_host_key_policy(policy)

    def _families_and_addresses(self, hostname: str, port: int) -> Iterator[tuple[Any, Any]]:
        """Wait for a turn at the address; paramiko asks for it only where it connects itself."""
        turns = _logins.setdefault((hostname, port), BoundedSemaphore(AT_ONCE))
        self._turn.enter_context(turns)
        found: Iterator[tuple[Any, Any]] = super()._families_and_addresses(hostname, port)  # type: ignore[misc]
        return found

    def _was_turned_away(self) -> bool:
        """Whether the other end hung up before it said that it speaks SSH."""
        transport = self.get_transport()
        return (
            isinstance(transport, BoundedTransport)
            and transport.bounded.hung_up
            and not transport.remote_version
        )


def _in_one_line(error: Exception) -> Exception:
    """Return an error with no more than a line of what the other end said."""
    if type(error) in (SSHException, EOFError):
        said = str(error).removeprefix("Error reading SSH protocol banner")
        return SSHException(single_line(said) or "it hung up before it spoke SSH")
    return error


def install_client() -> None:
    """Have pyinfra connect within bounds from now on, and to hosts alone whose key is known.

    pyinfra has no place to name a client, or another default.
    """
    pyinfra.connectors.ssh.SSHClient = BoundedClient  # type: ignore[misc]
    pyinfra.connectors.sshuserclient.client.SSHClient = BoundedClient  # type: ignore[misc]
    strict = DataMeta("SSH strict host key checking", "yes")
    SSHConnector.data_meta = SSHConnector.data_meta | {CHECKING: strict}
