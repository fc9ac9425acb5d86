"""The hosts of an inventory, and what they answer: pyinfra, set up as its own command does it."""

import difflib
import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import gevent
from click import ClickException
from pyinfra import logger
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory
from pyinfra_cli.util import exec_file

from fleetwheel.cli._options import Scope
from fleetwheel.cli._stderr import ToStderr, warn
from fleetwheel.connection import client, names
from fleetwheel.connection.keepalive import watch
from fleetwheel.errors import DETAIL, FleetwheelError, unforeseen, words_of
from fleetwheel.inventory.command_line import select
from fleetwheel.inventory.load import group_of
from fleetwheel.inventory.recorded import HostSnapshot
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _drift_check, _host_state
from fleetwheel.operations._environments import environments_of_host
from fleetwheel.operations._report import cause_unreachable
from fleetwheel.reporting import history
from fleetwheel.reporting.cause import cause_of
from fleetwheel.reporting.report import HostReport

T = TypeVar("T")
CONNECT_S = 180
"""A connection that takes longer is given up; behind a jump host of many it has to wait."""

MOST_LINES, LONGEST = 50, 4000
"""Lines, and characters of each, that are kept of what is said about one host: its output too."""


class Heard(logging.Handler):
    """Keeps what pyinfra warns of about each host, and prints the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.details = ToStderr()
        self.lines: dict[object, list[str]] = defaultdict(list)
        """The words of each greenlet."""
        self.main = gevent.getcurrent()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep or print one message."""
        if record.levelno < logging.WARNING:
            self.details.emit(record)
        elif gevent.getcurrent() is self.main:
            warn(record.getMessage())
        elif len(lines := self.lines[gevent.getcurrent()]) < MOST_LINES:
            lines.append(record.getMessage()[:LONGEST])

    def about(self, host: Host) -> str:
        """Return what was said in this greenlet, without the name of its host."""
        lines = self.lines.pop(gevent.getcurrent(), [])
        return "\n".join(line.removeprefix(host.print_prefix).strip() for line in lines)


def gather(scope: Scope) -> list[HostSnapshot]:
    """Ask every host what it is, all at once; a host that fails says why.

    Raises FleetwheelError as ``prepare`` does.
    """

    def failed(host: Host, settings: Settings, error: Exception) -> HostSnapshot:
        return HostSnapshot(name=host.name, settings=settings, error=words_of(error))

    return _visit(scope, _answer, failed)


def check_drift(scope: Scope, *, deep: bool) -> list[HostReport]:
    """Look for drift on every host, all at once; as ``gather`` in all else."""

    def look(host: Host, settings: Settings) -> HostReport:
        return HostReport.model_validate(_drift_check.look(settings, deep))

    def failed(host: Host, settings: Settings, error: Exception) -> HostReport:
        there = host.connected
        cause = cause_of("failed", error) if there else cause_unreachable(error)
        return HostReport(
            name=host.name,
            group=group_of(host.groups),
            status="failed" if there else "unreachable",
            why=words_of(error),
            cause=cause,
            trust=settings.trust,
        )

    return _visit(scope, look, failed)


def _visit(
    scope: Scope,
    look: Callable[[Host, Settings], T],
    failed: Callable[[Host, Settings, Exception], T],
) -> list[T]:
    """Connect to every host and return what ``look`` finds there, or what ``failed`` makes of it.

    ``look`` runs in the context of its host, and may raise what pyinfra raises.
    """
    heard = Heard()
    logger.handlers, logger.propagate = [heard], False
    logger.setLevel(DETAIL if scope.verbosity > 0 else logging.WARNING)
    state, hosts = prepare(scope)
    refuse_unknown_environments(hosts, scope)
    state.set_stage(StateStage.Prepare)
    visits = [state.pool.spawn(_one, host, heard, look, failed) for host in hosts]
    gevent.joinall(visits)
    return [visit.get() for visit in visits]


def prepare(scope: Scope) -> tuple[State, list[Host]]:
    """Read config.py and the inventory, and return the hosts that are meant, in their order.

    Raises FleetwheelError where the inventory cannot be used, or names no host.
    """
    inventory, shown, data = scope.inventory, scope.shown, dict(scope.data)
    sys.path.insert(0, str(Path.cwd()))
    client.install_client()
    state, config = State(), Config()
    state.cwd = str(Path.cwd())
    state.print_noop_info = state.print_fact_info = scope.verbosity > 0
    state.print_input = state.print_output = scope.verbosity > 1
    ctx_state.set(state)
    ctx_config.set(config)
    try:
        if Path("config.py").exists():
            exec_file("config.py")
        if isinstance(inventory, str):
            found = make_inventory(inventory, cwd=state.cwd, override_data=data)
        else:
            found = Inventory((list(inventory), {}), override_data=data)
    except ClickException as error:
        raise FleetwheelError(f"{shown}: {error.message}") from error
    except (PyinfraError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise FleetwheelError(f"{shown}: {str(error).removeprefix(f'{shown}: ')}") from error
    ctx_inventory.set(found)
    hosts = _limited(found, scope.limit) if scope.limit else list(found)
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


def refuse_unknown_environments(hosts: Sequence[Host], scope: Scope) -> None:
    """Raise FleetwheelError for the name of an environment that none of these hosts is to have."""
    known = {name for host in hosts for name in environments_of_host(host)}
    for name in Settings.from_data(scope.data).environment:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            raise FleetwheelError(
                f"no host has an environment {name}",
                hint=f"did you mean {near[0]}?"
                if near
                else f"there are {', '.join(sorted(known))}",
            )


def _limited(inventory: Inventory, limit: Sequence[str]) -> list[Host]:
    names = {host.name: host.groups for host in inventory}
    chosen = select(names, limit, lambda: history.last_profiles(Path("reports")))
    return [host for host in inventory if host.name in chosen]


def _one(
    host: Host,
    heard: Heard,
    look: Callable[[Host, Settings], T],
    failed: Callable[[Host, Settings, Exception], T],
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
        return failed(host, settings, TimeoutError(f"no connection within {CONNECT_S} s"))
    except (ConnectError, OSError) as error:
        return failed(host, settings, error)
    except (PyinfraError, FleetwheelError) as error:
        said = heard.about(host)
        return failed(host, settings, _host_state.no_answer(said) if said else error)
    except Exception as error:
        return failed(host, settings, unforeseen(error))
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
