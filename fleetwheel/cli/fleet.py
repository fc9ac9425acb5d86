"""The hosts of an inventory, and what they answer: pyinfra, set up as its own command does it."""

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gevent
from click import ClickException
from pyinfra import logger
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory
from pyinfra_cli.util import exec_file

from fleetwheel.connection import client, names
from fleetwheel.connection.keepalive import watch
from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.inventory.command_line import select
from fleetwheel.inventory.load import group_of
from fleetwheel.inventory.recorded import HostSnapshot
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _drift_check, _host_state
from fleetwheel.reporting import history
from fleetwheel.reporting.report import HostReport, Status

T = TypeVar("T")
Hosts = Sequence[tuple[str, dict[str, Any]]]
"""Names with their data."""

CONNECT_S = 180
"""A connection that takes longer is given up; behind a jump host of many it has to wait."""

MOST_LINES, LONGEST = 50, 4000
"""Lines, and characters of each, that are kept of what is said about one host: its output too."""


class Heard(logging.Handler):
    """Keeps what pyinfra logs about each host; the rest goes to ``warn``."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.warn = warn
        self.lines: dict[object, list[str]] = defaultdict(list)
        """The words of each greenlet."""
        self.main = gevent.getcurrent()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        if gevent.getcurrent() is self.main:
            self.warn(record.getMessage())
        elif len(lines := self.lines[gevent.getcurrent()]) < MOST_LINES:
            lines.append(record.getMessage()[:LONGEST])

    def about(self, host: Host) -> str:
        """Return what was said in this greenlet, without the name of its host."""
        lines = self.lines.pop(gevent.getcurrent(), [])
        return "\n".join(line.removeprefix(host.print_prefix).strip() for line in lines)


def gather(
    inventory: str | Hosts, limit: Sequence[str], warn: Callable[[str], None]
) -> list[HostSnapshot]:
    """Ask every host of an inventory what it is, all at once; a host that fails says why.

    ``inventory`` is what pyinfra takes, or hosts by themselves; ``limit`` names hosts or groups,
    ``*`` included.
    Raises FleetwheelError outside a project directory, and where there is no host to ask.
    """

    def failed(host: Host, settings: Settings, error: str) -> HostSnapshot:
        return HostSnapshot(name=host.name, settings=settings, error=error)

    return _visit(inventory, limit, warn, _answer, failed)


def check_drift(
    inventory: str, limit: Sequence[str], warn: Callable[[str], None], *, deep: bool
) -> list[HostReport]:
    """Look for drift on every host of an inventory, all at once; as ``gather`` in all else."""

    def look(host: Host, settings: Settings) -> HostReport:
        return HostReport.model_validate(_drift_check.look(settings, deep))

    def failed(host: Host, settings: Settings, error: str) -> HostReport:
        status: Status = "failed" if host.connected else "unreachable"
        return HostReport(
            name=host.name,
            group=group_of(host.groups),
            status=status,
            why=error,
            trust=settings.trust,
        )

    return _visit(inventory, limit, warn, look, failed)


def _visit(
    inventory: str | Hosts,
    limit: Sequence[str],
    warn: Callable[[str], None],
    look: Callable[[Host, Settings], T],
    failed: Callable[[Host, Settings, str], T],
) -> list[T]:
    """Connect to every host and return what ``look`` finds there, or what ``failed`` makes of it.

    ``look`` runs in the context of its host, and may raise what pyinfra raises.
    """
    heard = Heard(warn)
    logger.handlers, logger.propagate = [heard], False
    state, hosts = prepare(inventory, limit, {})
    state.set_stage(StateStage.Prepare)
    visits = [state.pool.spawn(_one, host, heard, look, failed) for host in hosts]
    gevent.joinall(visits)
    return [visit.get() for visit in visits]


def prepare(
    inventory: str | Hosts, limit: Sequence[str], data: Mapping[str, Any]
) -> tuple[State, list[Host]]:
    """Read config.py and the inventory, and return the hosts that are meant, in their order.

    ``data`` is for every host and comes before what the inventory says.
    """
    if isinstance(inventory, str) and not all(inventory.split(",")):
        raise FleetwheelError(
            f"{inventory!r} names a host without a name",
            hint="no comma at either end; one host alone is @ssh/HOST",
        )
    sys.path.insert(0, str(Path.cwd()))
    shown = inventory if isinstance(inventory, str) else ", ".join(name for name, _ in inventory)
    client.install_client()
    state, config = State(), Config()
    state.cwd = str(Path.cwd())
    ctx_state.set(state)
    ctx_config.set(config)
    try:
        if Path("config.py").exists():
            exec_file("config.py")
        if isinstance(inventory, str):
            found = make_inventory(inventory, cwd=state.cwd, override_data=dict(data))
        else:
            found = Inventory((list(inventory), {}), override_data=dict(data))
    except ClickException as error:
        raise FleetwheelError(f"{shown}: {error.message}") from error
    except (PyinfraError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise FleetwheelError(f"{shown}: {error}") from error
    ctx_inventory.set(found)
    hosts = _limited(found, limit) if limit else list(found)
    state.init(found, config, initial_limit=hosts)
    names.install_resolver(config.PARALLEL or len(found))
    if not hosts and shown.endswith(".py") and not Path(shown).exists():
        raise FleetwheelError(
            f"there is no {shown} here", hint="`fleetwheel init DIR` writes one; or name hosts"
        )
    if not hosts:
        raise FleetwheelError(
            f"{shown} names no host",
            hint="INVENTORY is what pyinfra takes: inventory.py, @local, @ssh/HOST, or A,B",
        )
    return state, hosts


def _limited(inventory: Inventory, limit: Sequence[str]) -> list[Host]:
    names = {host.name: host.groups for host in inventory}
    chosen = select(names, limit, lambda: history.last_profiles(Path("reports")))
    return [host for host in inventory if host.name in chosen]


def _one(
    host: Host,
    heard: Heard,
    look: Callable[[Host, Settings], T],
    failed: Callable[[Host, Settings, str], T],
) -> T:
    """Connect to one host and look at it."""
    settings = Settings()
    try:
        settings = Settings.from_data(host.data.dict())
        with gevent.Timeout(CONNECT_S):
            host.connect(show_errors=False, raise_exceptions=True)
        watch(host.connector)
        with ctx_host.use(host):
            return look(host, settings)
    except gevent.Timeout:
        return failed(host, settings, f"no connection within {CONNECT_S} s")
    except (ConnectError, OSError) as error:
        return failed(host, settings, str(error))
    except (PyinfraError, FleetwheelError) as error:
        said = heard.about(host)
        return failed(host, settings, str(_host_state.no_answer(said) if said else error))
    except Exception as error:
        return failed(host, settings, str(unforeseen(error)))
    finally:
        if host.connected:
            host.disconnect()


def _answer(host: Host, settings: Settings) -> HostSnapshot:
    found = _host_state.ask_host(settings)
    if found is None:
        raise FleetwheelError("it gave no answer")
    return HostSnapshot(
        name=host.name,
        settings=settings,
        profile=found.profile,
        installation=found.installation,
    )
