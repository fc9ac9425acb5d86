"""One of deploys/ on the hosts of an inventory, as pyinfra runs it, but never asking by itself."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pyinfra.api import State
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra_cli.exceptions import CliError, UnexpectedExternalError
from pyinfra_cli.util import load_deploy_file

from fleetwheel.cli._options import Scope
from fleetwheel.cli.fleet import prepare, refuse_unknown_environments
from fleetwheel.errors import FleetwheelError
from fleetwheel.operations import _report
from fleetwheel.project import SKELETON
from fleetwheel.reporting import report
from fleetwheel.reporting.report import Kind, Report
from fleetwheel.terminal import new_console


@dataclass(frozen=True)
class Deploy:
    """A file of deploys/, the kind of its report, and the data that it alone takes."""

    name: str
    kind: Kind = "deploy"
    asks: bool = True
    """Whether it changes what is in use, so that a person is asked first."""

    @property
    def path(self) -> Path:
        """The project directory's own file, else the one that fleetwheel brings."""
        own = Path("deploys", f"{self.name}.py")
        return own if own.is_file() else SKELETON / own


Confirm = Callable[[Report], bool]
"""Is given what would change, and says whether that shall be done."""


def run(deploy: Deploy, scope: Scope, confirm: Confirm) -> tuple[Report, bool]:
    """Return what a deploy did on every host, and whether it was carried out.

    Where nothing would change there is nothing to confirm. Raises FleetwheelError as ``prepare``
    does, and where the deploy file itself fails.
    """
    state, hosts = prepare(scope)
    if deploy.name != "remove":  # which takes away what no inventory names
        refuse_unknown_environments(hosts, scope)
    _report.keep_errors()
    signal.signal(signal.SIGINT, lambda number, frame: _interrupted(deploy.kind))
    try:
        _plan(state, deploy)
        planned = _report.finished(deploy.kind)
        changes = any("would change" in host.statuses for host in planned.hosts)
        if changes and not confirm(planned):
            return planned, False
        if changes:
            state.set_stage(StateStage.Execute)
            _going_on(run_ops, state)
        return _report.finished(deploy.kind), True
    finally:
        disconnect_all(state)


def _plan(state: State, deploy: Deploy) -> None:
    """Connect to every host and find out what would change on it."""
    state.set_stage(StateStage.Connect)
    _going_on(connect_all, state)
    state.set_stage(StateStage.Prepare)
    try:
        load_deploy_file(state, str(deploy.path))
    except UnexpectedExternalError as error:
        raise FleetwheelError(f"{deploy.path}: {error.exception}") from error
    except (CliError, PyinfraError) as error:
        raise FleetwheelError(f"{deploy.path}: {error}") from error


def _going_on(step: Callable[[State], None], state: State) -> None:
    """Take a step of all hosts; pyinfra raises where none is left, which the table says better."""
    try:
        step(state)
    except PyinfraError:
        if state.active_hosts:
            raise


def _interrupted(kind: Kind) -> NoReturn:
    """End at once, as Ctrl-C is meant; what runs on hosts ends when nobody reads its output."""
    report.print_table(_report.finished(kind, _report.INTERRUPTED), new_console(stderr=True))
    sys.stderr.flush()
    os._exit(130)
