"""One answer per host and run to everything that fleetwheel asks; dropped after a change."""

import re
from collections.abc import Callable, Generator, Iterable
from threading import Lock as Mutex
from typing import Any, TypeVar

import gevent
from pyinfra import host, logger, state
from pyinfra.api import FactBase
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.facts import get_fact

from fleetwheel.connection.keepalive import SILENCE_S, watch
from fleetwheel.deploy.preflight import refuse_distrusted
from fleetwheel.errors import FleetwheelError, SudoPasswordError, unforeseen
from fleetwheel.facts.host import Host, KeptHost
from fleetwheel.host.profile import HostState, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _node, _report

T = TypeVar("T")
Steps = Callable[[Settings, HostState], Generator[PyinfraCommand]]

_answers: dict[str, HostState] = {}
_mutexes: dict[str, Mutex] = {}


def host_state(settings: Settings) -> HostState | None:
    """Return what the host is and has; None when it gave no usable answer.

    Raises SudoPasswordError.
    """
    with _mutexes.setdefault(host.name, Mutex()):
        if host.name not in _answers:
            answer = ask_host(settings)
            if answer is None:
                return None
            _answers[host.name] = answer
            _node.note_program(host, answer.installation)
        return _answers[host.name]


def answered(settings: Settings) -> HostState:
    """Return what the host is and has. Raises FleetwheelError with what was logged of it if not."""
    _report.keep_errors()
    before = _report.errors_of(host.name)
    facts = host_state(settings)
    if facts is None:
        raise no_answer("\n".join(_report.errors_of(host.name)[len(before) :]))
    return facts


def with_answer(settings: Settings, steps: Steps) -> Generator[PyinfraCommand]:
    """Yield the steps for what the host has answered."""
    yield from alone(_answered_steps(settings, steps))


def _answered_steps(settings: Settings, steps: Steps) -> Generator[PyinfraCommand]:
    facts = answered(settings)
    refuse_distrusted(facts.installation)
    yield from steps(settings, facts)


def alone(steps: Iterable[PyinfraCommand]) -> Generator[PyinfraCommand]:
    """Yield the steps of an operation; what goes wrong in planning them fails this host alone."""
    try:
        yield from steps
    except (FleetwheelError, OSError, ConnectError) as error:
        yield _report.failed(error, last_profile())
    except PyinfraError:  # no host is left
        raise
    except Exception as error:
        yield _report.failed(unforeseen(error), last_profile())


def ask_host(settings: Settings) -> HostState | None:
    """Ask by the question that the host keeps, or else by a whole one; None without an answer.

    Raises SudoPasswordError.
    """
    watch(host.connector)
    found = _within_limit(KeptHost, settings)
    return _within_limit(Host, settings) if found == "absent" else found


def _within_limit(kind: type[FactBase[T]], settings: Settings) -> T | None:
    limit = settings.fact_timeout
    try:
        with gevent.Timeout(limit + SILENCE_S):
            return fact(kind, root=settings.root, trust=settings.trust, _timeout=limit)
    except EOFError:  # pyinfra asks for a password
        raise SudoPasswordError from None
    except gevent.Timeout:
        logger.error(f"{host.print_prefix}no answer within {limit + SILENCE_S} s")
        return None


def fact(kind: type[FactBase[T]], **arguments: Any) -> T | None:
    """Return a fact of the host of the moment; None where it cannot be read.

    pyinfra's own way to ask ends the run with a traceback where this is the last host.
    """
    found: T | None = get_fact(state, host, kind, kwargs=arguments, apply_failed_hosts=False)
    return found


def no_answer(said: str) -> FleetwheelError:
    """Return the failure of a host that gave no answer, from what was logged of it."""
    if re.search(r"\bsudo: (command )?not found", said):
        return FleetwheelError(
            "the host has no sudo", hint="install it there; or log in as root, with sudo: false"
        )
    if "No space left on device" in said:
        return FleetwheelError(
            said, hint="free some space there, in /tmp too", what="a disk of the host is full"
        )
    lines = [line for line in said.splitlines() if "could not load fact" not in line]
    return FleetwheelError("\n".join(lines) or "its facts cannot be read")


def last_profile() -> Profile | None:
    """Return what the host was when it was last asked; None where it was not, or has changed."""
    answer = _answers.get(host.name)
    return answer.profile if answer else None


def forget_host_state() -> None:
    """Drop the answer, because the host was changed."""
    _answers.pop(host.name, None)
