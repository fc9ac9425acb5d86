"""Sample values that many tests start from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetwheel import drift
from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import Target, read_target
from fleetwheel.deploy.plan import Plan, plan
from fleetwheel.deploy.record import Record, State, smoke_pass
from fleetwheel.host.profile import (
    Driver,
    DriverState,
    Generation,
    Gpu,
    HostState,
    Installation,
    Profile,
    Python,
)
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.reporting.report import Drift
from fleetwheel.sources.wheel import Source

PYTHON = Python(path="/usr/bin/python3.11", version="3.11.7")
CPU_HOST = Profile(os="linux", arch="x86_64", glibc="2.36", pythons=(PYTHON,), boot_id="boot-1")
RTX_4090 = Gpu(
    index=0,
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4090",
    compute_capability="8.9",
    memory_total_mib=24564,
)
GPU_HOST = CPU_HOST.model_copy(
    update={
        "driver": Driver(state=DriverState.OK, version="580.95.05", cuda="13.0"),
        "gpus": (RTX_4090,),
    }
)
REQUEST = Request()


def target_of(profile: Profile, request: Request = REQUEST) -> Target:
    """Return the target of a host that nothing blocks."""
    target = read_target(profile, request)
    assert isinstance(target, Target), target
    return target


def choice(source: Source | None = None, torch: str = "2.13.0+cpu") -> Choice:
    """Return a choice of CPU wheels."""
    return Choice(
        torch=torch.split("+")[0],
        variant="cpu",
        packages={"torch": torch},
        requirements=("numpy",),
        python=PYTHON,
        source=source or Source(name="wheels", url="/wheels", layout="flat"),
        reasons=("the host has no NVIDIA GPU",),
    )


def host(
    profile: Profile = CPU_HOST,
    *,
    current: str | None = None,
    generations: tuple[Generation, ...] = (),
    record: str = "",
    root: Path | str = "/opt/fleetwheel",
) -> HostState:
    """Return a host with this much under its root."""
    installation = Installation(
        root=str(root),
        user="root",
        exists=bool(generations),
        writable=True,
        free_bytes=10**12,
        current=current,
        generations=generations,
        record=record,
    )
    return HostState(profile=profile, installation=installation)


def lock_with(packages: dict[str, str]) -> Lock:
    """Return the lock of CPU_HOST with these packages."""
    text = 'lock-version = "1.0"\ncreated-by = "tests"\n'
    for name, version in packages.items():
        url = f"https://example.org/{name}-{version}-py3-none-any.whl"
        text += f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
        text += f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    return locking.lock_of(text, choice(), target_of(CPU_HOST), REQUEST)


def record_of(lock: Lock, generation: str, profile: Profile = CPU_HOST) -> Record:
    """Return the record that a deploy of a lock leaves, its smoke test passed."""
    return Record(
        generation=generation,
        request=lock.origin.request,
        lock=lock.name,
        choice=lock.choice,
        driver=profile.driver,
        gpus=profile.gpus,
        smoke=smoke_pass(generation, profile, {"passed": True}),
        deployed_at=datetime.now(UTC),
    )


def state_of(default: Record | None = None, **others: Record) -> State:
    """Return the state of a host with these records, by the names of their environments."""
    return State(environments={**({"default": default} if default else {}), **others})


def differences(
    record: Record | None, lock: Lock | None, there: HostState, settings: Settings, matrix: Matrix
) -> tuple[Drift, ...]:
    """Return all drift of a host whose one environment is "default"."""
    return (
        *drift.host_differences(record, there, settings, matrix),
        *drift.environment_differences("default", record, lock, there, settings, matrix),
    )


def planned(lock: Lock, python: Python, there: HostState, of: Record | None, **given: Any) -> Plan:
    """Return the plan of the environment "default" of a host that has no other one."""
    found = state_of(of) if of else State()
    return plan(lock, python, there, found, environment="default", **given)
