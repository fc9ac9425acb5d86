"""One answer per host and run to everything that fleetwheel asks; dropped after a change."""

from threading import Lock as Mutex

import gevent
from pyinfra import host, logger

from facts.host import Host
from fleetwheel.keepalive import SILENCE, watch
from fleetwheel.profile import HostState
from fleetwheel.settings import Settings

_answers: dict[str, HostState] = {}
_mutexes: dict[str, Mutex] = {}


def ask(settings: Settings) -> HostState | None:
    """Return what the host is and has; None when it gave no usable answer."""
    with _mutexes.setdefault(host.name, Mutex()):
        if host.name not in _answers:
            answer = _answer(settings)
            if answer is None:
                return None
            _answers[host.name] = answer
        return _answers[host.name]


def _answer(settings: Settings) -> HostState | None:
    watch(host.connector)
    limit = settings.fact_timeout
    try:
        with gevent.Timeout(limit + SILENCE):
            found: HostState | None = host.get_fact(Host, root=settings.root, _timeout=limit)
            return found
    except gevent.Timeout:
        logger.error(f"{host.print_prefix}no answer within {limit + SILENCE} s")
        return None


def forget() -> None:
    """Drop the answer, because the host was changed."""
    _answers.pop(host.name, None)
