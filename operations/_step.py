"""A step of an operation: what goes wrong in it fails its host alone, and is printed here."""

from collections.abc import Callable
from typing import Literal

from pyinfra.api import FunctionCommand, Host, State

from fleetwheel.errors import FleetwheelError, NotBegunError, unforeseen
from fleetwheel.operations import _report
from fleetwheel.operations._host_state import last_profile
from fleetwheel.reporting.report import HostReport
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
    status = "not begun" if isinstance(error, NotBegunError) else "failed"
    profile = last_profile() or about.profile
    changes: dict[str, object] = {"status": status, "why": str(error), "profile": profile}
    if isinstance(error, SmokeTestError):
        changes["smoke"] = error.document
    _report.record(about.model_copy(update=changes))
    return False
