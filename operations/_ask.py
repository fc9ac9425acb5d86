"""One answer per host and run to everything that fleetwheel asks; dropped after a change."""

from threading import Lock as Mutex

from pyinfra import host

from facts.host import Host
from fleetwheel.profile import HostState
from fleetwheel.settings import Settings
from operations._connection import watch

_answers: dict[str, HostState] = {}
_mutexes: dict[str, Mutex] = {}


def ask(settings: Settings) -> HostState | None:
    """Return what the host is and has; None when it gave no usable answer."""
    with _mutexes.setdefault(host.name, Mutex()):
        if host.name not in _answers:
            watch(host)
            answer = host.get_fact(Host, root=settings.root, _timeout=settings.fact_timeout)
            if answer is None:
                return None
            _answers[host.name] = answer
        return _answers[host.name]


def forget() -> None:
    """Drop the answer, because the host was changed."""
    _answers.pop(host.name, None)
