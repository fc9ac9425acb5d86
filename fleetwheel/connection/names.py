"""Names of hosts, looked up so that one whose name hangs keeps nobody else waiting."""

import _socket
import socket
from typing import Any

import gevent
from gevent import get_hub
from gevent.resolver.thread import Resolver
from gevent.threadpool import ThreadPool

NAME_S = 10
"""How long one name may take."""


class PatientResolver(Resolver):  # type: ignore[misc]  # gevent has no types
    """gevent's resolver, with a thread for every host; an address needs none."""

    def __init__(self, hub: Any, threads: int) -> None:
        super().__init__(hub)
        self.pool = ThreadPool(threads, hub=hub)

    def getaddrinfo(self, *arguments: Any, **options: Any) -> Any:
        """Return what socket.getaddrinfo does; a name that hangs raises socket.gaierror."""
        numeric = _numeric(*arguments, **options)
        if numeric is not None:
            return numeric
        late = socket.gaierror(
            socket.EAI_AGAIN, f"the name service did not answer within {NAME_S} s"
        )
        with gevent.Timeout(NAME_S, late):
            return super().getaddrinfo(*arguments, **options)


def _numeric(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> Any:
    """Return the answer for an address in numbers, which nobody has to be asked for."""
    try:
        return _socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except OSError:
        return None


def install_resolver(threads: int) -> None:
    """Have every host of a run look its name up by itself."""
    hub = get_hub()
    hub.resolver = PatientResolver(hub, threads)
