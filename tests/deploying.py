"""A deploy on a pretended host: pyinfra is real, and so are activation and record under a root."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.api import Config, Host, Inventory, State, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operation import add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_inventory, ctx_state

from fleetwheel.deploy import record as records
from fleetwheel.node import activate, remove, uninstall
from fleetwheel.operations import _report
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._steps import plan_steps

CHECK = {"name": "matmul float32", "passed": True, "error": 1e-7, "bound": 2e-5, "ms": 3.1}
DEVICE = {
    "device": "cpu",
    "name": "CPU",
    "status": "passed",
    "summary": "cpu: passed",
    "fault": None,
    "seed": 1,
    "import_s": 1.0,
    "seconds": 2.0,
    "checks": [CHECK],
}
FAULT = {
    "name": "wrong-values",
    "meaning": "the device computes wrong values",
    "repair": "test again",
    "error": "relative error 0.5 is above 0.1",
}
PASSED = {"schema": "fleetwheel.smoke/1", "passed": True, "devices": [DEVICE]}
BUSY = {**PASSED, "passed": False, "devices": [{**DEVICE, "status": "skipped", "checks": []}]}
BROKEN = {**DEVICE, "status": "failed", "fault": FAULT}
FAILED: dict[str, Any] = {**PASSED, "passed": False, "devices": [BROKEN]}


class FakeProbe:
    """Answers in the place of a host's Python; what would take uv or torch is made up."""

    def __init__(self) -> None:
        self.smoke: dict[str, Any] = PASSED
        self.missing: list[list[str]] = []
        """The wheels that builds name, one after the other, before one succeeds."""
        self.errors: dict[str, Exception] = {}
        """What an action ends with; ``build 2`` is the second build."""
        self.calls: list[str] = []

    def document(
        self, host: Host, python: str, action: str, input: dict[str, Any], timeout: int
    ) -> dict[str, Any]:
        """Stand for the function of this name in operations/_probe.py."""
        if action == "place":
            return {"ok": True}
        self.calls.append(action)
        named = f"{action} {self.calls.count(action)}"
        for name in (action, named):
            if name in self.errors:
                raise self.errors[name]
        if action == "smoke":
            return self.smoke
        return {"ok": True, **self._done(action, input)}

    def _done(self, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if action == "build":
            if self.missing:
                return {"missing": self.missing.pop(0)}
            add_generation(Path(arguments["root"]), arguments["id"])
        modules = dict.fromkeys(("activate", "note_test", "drop_bytecode"), activate)
        modules |= dict.fromkeys(("removal", "remove"), remove)
        modules |= dict.fromkeys(("leftovers", "uninstall"), uninstall)
        if action in modules:
            done: dict[str, Any] = getattr(modules[action], action)(**arguments)
            return done
        return {}


def add_generation(root: Path, id: str) -> None:
    """Make what activation takes for a complete generation."""
    (root / "envs" / id).mkdir(parents=True)
    for name in ("pyvenv.cfg", "RECORD"):
        (root / "envs" / id / name).touch()


def left(root: Path) -> tuple[str, records.State]:
    """Return what is in use on a host, and its state."""
    text = (root / "state.json").read_text()
    return (root / "current").resolve().name, records.parse_state(text)


@contextmanager
def hosts(*names: str, **data: Any) -> Iterator[State]:
    """Give pyinfra these hosts, to which it is connected."""
    quick = {"fake_delay": 0, "fake_delay_jitter": 0}
    inventory = Inventory(([(name, {**quick, **data}) for name in names], {}))
    state = State(inventory, Config())
    state.set_stage(StateStage.Prepare)
    with ctx_state.use(state), ctx_inventory.use(inventory):
        connect_all(state)
        yield state


@operation(is_idempotent=False)
def deploy(deployment: Deployment, transfer: Transfer | None) -> Generator[PyinfraCommand]:
    """Do what a deployment takes."""
    _report.note_profile(host.name, deployment.facts.profile)
    yield from plan_steps(deployment, transfer)
    yield _report.fail_at_end()


def carried_out(
    state: State, operation: Callable[..., Any], *arguments: object, **options: Any
) -> bool:
    """Carry an operation out as pyinfra does, and return whether it went well."""
    add_op(state, operation, *arguments, **options)
    state.set_stage(StateStage.Execute)
    try:
        run_ops(state)
    except PyinfraError:  # no host is left
        return False
    return not any(state.get_results_for_host(host).error_ops for host in state.inventory)
