"""One answer per host and run to everything that fleetwheel asks; dropped after a change."""

from collections.abc import Callable, Generator
from threading import Lock as Mutex
from traceback import format_exception

import gevent
from pyinfra import host, logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError

from fleetwheel.connection.keepalive import SILENCE_S, watch
from fleetwheel.deploy.preflight import refuse_distrusted
from fleetwheel.errors import FleetwheelError, SudoPasswordError
from fleetwheel.facts.host import Host
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report

Steps = Callable[[Settings, HostState], Generator[PyinfraCommand]]

_answers: dict[str, HostState] = {}
_mutexes: dict[str, Mutex] = {}


def host_state(settings: Settings) -> HostState | None:
    """Return what the host is and has; None when it gave no usable answer.

    Raises SudoPasswordError.
    """
    with _mutexes.setdefault(host.name, Mutex()):
        if host.name not in _answers:
            answer = _answer(settings)
            if answer is None:
                return None
            _answers[host.name] = answer
        return _answers[host.name]


def with_answer(settings: Settings, steps: Steps) -> Generator[PyinfraCommand]:
    """Yield the steps for what the host has answered; what keeps it from them fails it alone."""
    facts = None
    try:
        facts = host_state(settings)
        if facts is None:
            raise FleetwheelError("its facts cannot be read")
        refuse_distrusted(facts.installation)
        yield from steps(settings, facts)
    except (FleetwheelError, OSError) as error:
        yield _report.failed(error, facts.profile if facts else None)
    except PyinfraError:
        raise
    except Exception as error:  # a bug that one host's answer brings out ends no other host's run
        logger.debug(f"{host.print_prefix}{''.join(format_exception(error))}")
        why = f"{type(error).__name__}: {error} (--debug shows where)"
        yield _report.failed(why, facts.profile if facts else None)


def _answer(settings: Settings) -> HostState | None:
    watch(host.connector)
    limit = settings.fact_timeout
    try:
        with gevent.Timeout(limit + SILENCE_S):
            found: HostState | None = host.get_fact(
                Host, root=settings.root, trust=settings.trust, _timeout=limit
            )
            return found
    except EOFError:  # pyinfra asks for a password
        raise SudoPasswordError from None
    except gevent.Timeout:
        logger.error(f"{host.print_prefix}no answer within {limit + SILENCE_S} s")
        return None


def forget_host_state() -> None:
    """Drop the answer, because the host was changed."""
    _answers.pop(host.name, None)
