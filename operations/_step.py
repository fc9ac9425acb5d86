"""A step of an operation: what goes wrong in it fails its host alone, and is printed here."""

from collections.abc import Callable
from typing import Literal

from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State

from fleetwheel.errors import FleetwheelError, NotBegunError, unforeseen
from fleetwheel.operations import _report
from fleetwheel.reporting.report import HostReport
from fleetwheel.smoke.result import SmokeTestError
from fleetwheel.terminal import printable


def step(about: HostReport, function: Callable[..., None], *arguments: object) -> FunctionCommand:
    """
    Return a command that calls ``function(host, *arguments)``.

    + about: the host's line in the report, for a step that fails
    + function: raises FleetwheelError or OSError where it fails, and pyinfra runs nothing after it
    """
    return FunctionCommand(_attempt, [about, function, arguments], {})


def _attempt(
    state: State,
    host: Host,
    about: HostReport,
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> bool:
    try:
        function(host, *arguments)
    except (FleetwheelError, OSError) as error:
        return fail(host, about, error)
    except Exception as error:
        return fail(host, about, unforeseen(error))
    return True


def fail(host: Host, about: HostReport, error: FleetwheelError | OSError) -> Literal[False]:
    """Report a step that failed; always false, for pyinfra."""
    status = "not begun" if isinstance(error, NotBegunError) else "failed"
    changes: dict[str, object] = {"status": status, "why": str(error)}
    if isinstance(error, SmokeTestError):
        changes["smoke"] = error.document
    _report.record(about.model_copy(update=changes))
    logger.error(f"{host.print_prefix}{printable(str(error))}")
    return False
