"""The form of every fact that asks a host the questions of fleetwheel.collectors."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.context import ctx_host

from fleetwheel.collectors import batch, program, script, sections
from fleetwheel.connection.winssh import is_windows
from fleetwheel.errors import unforeseen
from fleetwheel.host.profile import HostState
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.inventory.recorded import replayed

T = TypeVar("T")


def question(
    *sections: str, root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
) -> StringCommand:
    """Return the command that asks the host of the moment these sections.

    On Linux values reach it as positional parameters, on Windows as variables.
    """
    if on_windows():
        return StringCommand(batch(*sections, root=root or "", gpu_seconds=gpu_timeout))
    return StringCommand(*_parameters(root, gpu_timeout, trust), "\n", script(*sections))


def short_question(
    root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
) -> StringCommand:
    """Return the line that asks everything of a host that keeps the program for hosts."""
    if on_windows():
        return StringCommand(program.short_batch_question(root or "", gpu_timeout))
    return StringCommand(*_parameters(root, gpu_timeout, trust), ";", program.short_question())


def _parameters(root: str | None, gpu_timeout: int, trust: Trust) -> Iterator[str | QuoteString]:
    yield "set --"
    values = (root or "", str(gpu_timeout), "", " ".join(trust.users), " ".join(trust.groups))
    yield from map(QuoteString, values)


def on_windows() -> bool:
    """Return whether the host of the moment is a Windows one."""
    return ctx_host.isset() and is_windows(host)


def read_answer(parse: Callable[..., T], output: list[str], *names: str) -> T:
    """Parse these sections of an answer.

    Any exception but FactProcessError would end the run for every host.
    """
    try:
        found = sections(output, *names)
        return parse(*(found[name] for name in names))
    except ValueError as error:
        raise FactProcessError(str(error)) from error
    except Exception as error:
        raise FactProcessError(str(unforeseen(error))) from error


def read_replay(output: list[str]) -> HostState | None:
    """Return the state of a host that is replayed; None where a real host answered."""
    try:
        return replayed(output)
    except ValueError as error:
        raise FactProcessError(f"the recorded host cannot be read: {error}") from error
