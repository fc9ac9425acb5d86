"""A step of an operation: what goes wrong in it fails its host alone, and is printed here."""

from collections.abc import Callable
from typing import Literal

from pyinfra.api import FunctionCommand, Host, State

from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.operations import _report
from fleetwheel.operations._host_state import last_profile
from fleetwheel.reporting.report import EnvironmentReport, HostReport
from fleetwheel.smoke.result import SmokeTestError


def step(
    about: HostReport | None, function: Callable[..., None], *arguments: object
) -> FunctionCommand:
    """
    Return a command that calls ``function(host, *arguments)``.

    + about: the host's line in the report, for a step that fails; None leaves the line as it is
    + function: raises FleetwheelError or OSError where it fails, and pyinfra runs nothing after it
    """
    return FunctionCommand(_attempt, [about, function, arguments], {})


def environment_step(
    about: EnvironmentReport, function: Callable[..., None], *arguments: object
) -> FunctionCommand:
    """
    Return a command that calls ``function(host, *arguments)`` unless the environment has failed.

    + about: the environment's line in the report, for a step that fails
    + function: as for ``step``; what it raises fails this environment, and others go on
    """
    return FunctionCommand(_attempt_in_environment, [about, function, arguments], {})


def _attempt_in_environment(
    state: State,
    host: Host,
    about: EnvironmentReport,
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> Literal[True]:
    if _report.environment_status(host.name, about.name) in _report.NOT_WELL:
        return True
    try:
        function(host, *arguments)
    except (FleetwheelError, OSError) as error:
        environment_failed(host, about, error)
    except Exception as error:
        environment_failed(host, about, unforeseen(error))
    return True


def environment_failed(
    host: Host, about: EnvironmentReport, error: FleetwheelError | OSError
) -> None:
    """Report that an environment failed, was refused or not begun; the host fails at the end."""
    changes = _report.ended_by(error)
    if isinstance(error, SmokeTestError):
        changes["smoke"] = error.document
    _report.fail_environment(host, about.model_copy(update=changes))


def _attempt(
    state: State,
    host: Host,
    about: HostReport | None,
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> bool:
    try:
        function(host, *arguments)
    except (FleetwheelError, OSError) as error:
        return _fail(host, about, error)
    except Exception as error:
        return _fail(host, about, unforeseen(error))
    return True


def _fail(host: Host, about: HostReport | None, error: FleetwheelError | OSError) -> Literal[False]:
    """Report a step that failed; always false, for pyinfra."""
    _report.log_failure(host, str(error))
    if about is None:
        return False
    profile = last_profile() or about.profile
    ended = _report.ended_by(error) | {"status": "failed"}
    _report.record(about.model_copy(update={**ended, "profile": profile}))
    return False
