"""The form of every fact that asks a host the questions of fleetwheel.collectors."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from pyinfra import host
from pyinfra.api import FactBase, QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import get_fact
from pyinfra.context import ctx_host
from typing_extensions import override

from fleetwheel.collectors import batch, places_batch, program, script, sections
from fleetwheel.collectors.places import Places, parse_places
from fleetwheel.connection.winssh import is_windows
from fleetwheel.errors import unforeseen
from fleetwheel.host.profile import HostState
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.inventory.recorded import replayed

T = TypeVar("T")
PLACES_S = 60
"""PowerShell takes seconds to start on a machine at work."""


def question(
    *sections: str, root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
) -> StringCommand:
    """Return the command that asks the host of the moment these sections.

    On Linux values reach it as positional parameters, on Windows as variables.
    """
    if on_windows():
        places = windows_places(root, trust)
        text = batch(*sections, places=places, root=root or "", gpu_seconds=gpu_timeout)
        return StringCommand(text)
    return StringCommand(*_parameters(root, gpu_timeout, trust), "\n", script(*sections))


def short_question(
    root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
) -> StringCommand:
    """Return the line that asks everything of a host that keeps the program for hosts."""
    if on_windows():
        places = windows_places(root, trust)
        return StringCommand(program.short_batch_question(places, root or "", gpu_timeout))
    return StringCommand(*_parameters(root, gpu_timeout, trust), ";", program.short_question())


def windows_places(root: str | None, trust: Trust) -> Places:
    """Ask the Windows host of the moment what may be run and read there; nothing without an answer.

    That is a command of its own: cmd cannot tell whom it may believe, and the rest waits for it.
    """
    asked = {"root": root, "trust": trust, "_timeout": PLACES_S}
    found = get_fact(host.state, host, WindowsPlaces, kwargs=asked, apply_failed_hosts=False)
    return found if isinstance(found, Places) else Places()


def _parameters(root: str | None, gpu_timeout: int, trust: Trust) -> Iterator[str | QuoteString]:
    yield "set --"
    values = (root or "", str(gpu_timeout), "", " ".join(trust.users), " ".join(trust.groups))
    yield from map(QuoteString, values)


def on_windows() -> bool:
    """Return whether the host of the moment is a Windows one."""
    return ctx_host.isset() and is_windows(host)


class WindowsPlaces(FactBase[Places]):
    """
    Returns what of a Windows host may be run and read, and what others could change.

    + root: the root directory; ``C:\\ProgramData\\fleetwheel`` by default
    + trust: whom the host believes besides SYSTEM, administrators and the asking user

    .. code:: python

        {
            "user": "S-1-5-21-1004336348-1177238915-682003330-1001",
            "distrusted": "",
            "pythons": ["C:\\Program Files\\Python312\\python.exe"],
            "smi": "C:\\Windows\\System32\\nvidia-smi.exe",
            "skipped_pythons": [
                "C:\\Python311\\python.exe: Authenticated Users can write to C:\\Python311"
            ],
            "skipped_smi": [],
        }
    """

    @override
    def command(self, root: str | None = None, trust: Trust = NOBODY) -> StringCommand:
        self.trust = trust
        return StringCommand(places_batch(root or ""))

    @override
    def process(self, output: list[str]) -> Places:
        return read_answer(lambda found: parse_places(found, self.trust), output, "places")


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
