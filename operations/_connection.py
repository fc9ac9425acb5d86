"""The loss of a connection has one name, wherever it is noticed."""

from collections.abc import Iterator
from contextlib import contextmanager

from paramiko import ChannelException, SSHException
from pyinfra.api import Host
from pyinfra.api.exceptions import PyinfraError

from fleetwheel.connection.keepalive import SILENCE_S, transport_of, watch
from fleetwheel.errors import FleetwheelError


@contextmanager
def noticed(host: Host) -> Iterator[None]:
    """Raise FleetwheelError for a connection that is lost in the block."""
    watch(host.connector)
    try:
        yield
    except ChannelException as error:
        raise FleetwheelError(
            "sshd on the host opens no further session on this connection",
            hint="raise MaxSessions in its sshd_config; 2 are enough",
        ) from error
    except (EOFError, SSHException) as error:
        raise _lost() from error
    except (OSError, PyinfraError) as error:
        if _ended(host):
            raise _lost() from error
        raise
    if _ended(host):
        raise _lost()


def _ended(host: Host) -> bool:
    transport = transport_of(host.connector)
    return transport is not None and not transport.is_active()


def _lost() -> FleetwheelError:
    return FleetwheelError(
        f"the connection was lost: the host closed it, or was silent for {SILENCE_S} s",
        hint="run again when the host can be reached",
    )
