"""The smoke test as the controller sees it: what is expected of a host, and what it found."""

from collections.abc import Sequence
from typing import Any, Literal

from packaging.version import Version
from pydantic import Field, ValidationError, model_validator

from fleetwheel.choice.compatibility import dotted
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import joined, selected_gpus
from fleetwheel.connection import untrusted_json
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import DriverSystem, Matrix
from fleetwheel.node import faults
from fleetwheel.value import Value

Level = Literal["quick", "full"]
STAGES: dict[Level, int] = {"quick": 2, "full": 5}
"""Waits for children, one after the other: two looks at the GPUs, each alone, and two together."""
TIMES: dict[Level, int] = {"quick": 1, "full": 4}
"""How much longer than ``smoke_timeout`` a level may take."""
GRACE_S = 10
"""Seconds that children get to end after their deadline, in each stage."""


class Check(Value):
    """One operation on one device, compared with a reference."""

    name: str
    """Such as ``matmul float16``."""
    passed: bool
    unsupported: bool = False
    """The GPU is too old for the type, and its library says so: neither passed nor a fault."""
    error: float | None
    """Largest relative error; None when the result held NaN or infinity."""
    bound: float
    ms: float


class Measurement(Value):
    """How fast a device was at the full level."""

    name: str
    """Such as ``memory bandwidth`` or ``matmul bfloat16``."""
    value: float
    unit: Literal["GB/s", "TFLOP/s"]
    promised: float | None
    """What the GPU's highest clocks would give, where NVML tells enough."""
    fraction: float | None


class FoundFault(Value):
    """An error with its name, what it means and its repair (see ``node/faults.py``)."""

    name: str
    meaning: str
    repair: str
    error: str

    def at(self, place: str) -> FleetwheelError:
        """Return it for the person who must act; ``place`` names the device, if there is one."""
        first = self.error.strip().partition("\n")[0]
        return FleetwheelError(
            f"{place}{self.meaning} ({first})", hint=self.repair, what=self.meaning
        )


class DeviceResult(Value):
    """What one device did."""

    device: str
    """``cpu``, ``cuda:0``, or ``cuda:0/mig:1`` for a MIG instance."""
    name: str
    uuid: str | None = None
    capability: str | None = None
    memory_total_mib: int | None = None
    status: Literal["passed", "failed", "skipped"]
    """Skipped: other processes hold the GPU, or the memory that the test needs."""
    summary: str
    fault: FoundFault | None
    seed: int
    import_s: float | None
    seconds: float
    checks: tuple[Check, ...]
    measured: tuple[Measurement, ...] = ()

    @model_validator(mode="after")
    def _passed_means_checked(self) -> "DeviceResult":
        tried = [check for check in self.checks if not check.unsupported]
        good = bool(tried) and all(check.passed for check in tried) and not self.fault
        if self.status == "passed" and not good:
            raise ValueError(f"{self.device} is said to have passed, but its checks differ")
        return self


class SmokeResult(Value):
    """The JSON document of node/smoke/run.py; one that contradicts itself is refused."""

    format: Literal["fleetwheel.smoke/1"] = Field(alias="schema")
    passed: bool
    level: Level = "quick"
    torch: str | None = None
    cuda: str | None = None
    python: str = ""
    imports: tuple[str, ...] = ()
    """Projects that every device's process imported first, where they have a module."""
    faults: tuple[FoundFault, ...] = ()
    """What is wrong with the host or the environment, whatever the device."""
    warnings: tuple[str, ...] = ()
    others: str = ""
    """Why another user of the host cannot start it, where root tests what is there for all."""
    devices: tuple[DeviceResult, ...] = ()
    together: tuple[DeviceResult, ...] = ()
    """What several devices did at once: copies between them, and an all-reduce over them."""
    seconds: float = 0

    @model_validator(mode="after")
    def _passed_means_tested(self) -> "SmokeResult":
        states = {device.status for device in self.devices}
        failed = "failed" in states | {part.status for part in self.together}
        good = not self.faults and "passed" in states and not failed
        if self.passed != good:
            raise ValueError("the verdict does not follow from faults and devices")
        return self

    def found(self) -> list[FleetwheelError]:
        """Return what is wrong with the host and its devices, each with what mends it.

        Of parts that failed alike, such as all copies between GPUs, the first speaks for all.
        """
        found = [fault.at("") for fault in self.faults]
        found += [d.fault.at(f"{d.device} {d.name}: ") for d in self.devices if d.fault]
        alike: dict[tuple[str, str], list[tuple[DeviceResult, FoundFault]]] = {}
        for part in self.together:
            if part.fault:
                alike.setdefault((part.name, part.fault.name), []).append((part, part.fault))
        for (first, fault), *others in alike.values():
            more = f" (and {len(others)} more)" if others else ""
            found.append(fault.at(f"{first.device} {first.name}{more}: "))
        return found

    def __str__(self) -> str:
        """What is wrong, for the person who must act; a line per device when nothing is."""
        found = [str(error) for error in self.found()]
        return "\n".join(found or [device.summary for device in self.devices])


class SmokeTestError(FleetwheelError):
    """What fails in a smoke test or after it, with the test's document for the report."""

    def __init__(self, message: str, document: dict[str, Any], *, hint: str = "") -> None:
        faults = [] if passed(document) else faults_of(document)
        found = {error.what: error.remedy for error in faults}
        what = f"smoke test: {'; '.join(found)}" if found else ""
        remedy = "; ".join(dict.fromkeys(filter(None, found.values())))
        super().__init__(message, hint=hint, what=what, remedy=remedy)
        self.document = document


def time_limit(smoke_timeout: int, level: Level) -> int:
    """Return the seconds that a whole run may take at a level."""
    return TIMES[level] * smoke_timeout


def device_deadline(timeout_s: int, level: Level = "quick") -> int:
    """Return the seconds that each device gets so that a whole run ends within ``timeout_s``."""
    return max(timeout_s // STAGES[level] - GRACE_S, 1)


def uuids(profile: Profile, request: Request) -> list[str] | None:
    """Return which GPUs to test: those that the inventory wants served; None for all."""
    if request.gpus is None:
        return None
    return [gpu.uuid for gpu in selected_gpus(profile.gpus, request) if gpu.uuid] or None


def imported_first(lock: Lock) -> list[str]:
    """Return the projects that a team's file names: they are to be imported."""
    target = lock.origin.target
    named = target.team.named if target and target.team else ()
    return [name for name in named if name in lock.packages]


def expectation(
    lock: Lock,
    matrix: Matrix,
    device_deadline_s: int = 120,
    *,
    level: Level = "quick",
    gpus: Sequence[str] | None = None,
    min_fraction: float | None = None,
) -> dict[str, Any]:
    """Return the input of node/smoke/run.py: what lock and matrix promise (docs/smoke-test.md)."""
    variant, origin, packages = lock.choice.variant, lock.origin, lock.packages
    torch = packages["torch"]
    build = matrix.build(Version(torch), variant, (origin.os, origin.arch))
    system: DriverSystem = "windows" if origin.os == "windows" else "linux"
    needs = matrix.cuda.get(variant)
    return {
        "packages": packages,
        "imports": imported_first(lock),
        "variant": str(variant),
        "cuda": joined(variant.version) or None,
        "arch_list": build.arch_list if build and build.sm else None,
        "level": level,
        "device_deadline_s": device_deadline_s,
        "accelerator": variant.runtime,
        "gpus": gpus,
        "min_fraction": min_fraction,
        "words": faults.words(
            torch if "+" in torch else f"{torch}+{variant}",
            dotted(needs.driver[system]) if needs else None,
        ),
    }


def parse_smoke(stdout: str) -> SmokeResult:
    """Return the result that a host printed; FleetwheelError when there is none to be believed."""
    document = untrusted_json.last(stdout.splitlines())
    if document is not None:
        return result_of(document)
    raise FleetwheelError(
        f"the smoke test printed no result: {stdout.strip()[-500:] or 'nothing at all'}",
        hint="run it on the host with the environment's own Python (docs/smoke-test.md)",
    )


def result_of(document: dict[str, Any]) -> SmokeResult:
    """Return a host's document as a typed value; FleetwheelError when it is not one."""
    if "error" in document:
        raise FleetwheelError(str(document["error"]), hint=str(document.get("hint", "")))
    try:
        return SmokeResult.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise FleetwheelError(
            f"the smoke test's result cannot be believed: {where}: {first['msg']}",
            hint="run it again; the host may have lost its disk or memory",
        ) from error


def unanswered(error: FleetwheelError) -> dict[str, Any]:
    """Return the document of a test that gave no answer, for reports."""
    return {"ok": False, "error": error.message, "hint": error.hint}


def passed(document: dict[str, Any]) -> bool:
    """Whether a host's document says, and shows, that everything passed."""
    try:
        return result_of(document).passed
    except FleetwheelError:
        return False


def busy(document: dict[str, Any]) -> bool:
    """Whether a host's document says that nothing was tested, because others hold every GPU."""
    try:
        result = result_of(document)
    except FleetwheelError:
        return False
    states = {device.status for device in result.devices}
    return not result.faults and states == {"skipped"}


def explain_smoke(document: dict[str, Any]) -> str:
    """Return what a host's document says to the person who must act."""
    try:
        return str(result_of(document))
    except FleetwheelError as error:
        return str(error)


def faults_of(document: dict[str, Any]) -> list[FleetwheelError]:
    """Return what is wrong according to a host's document that shows no pass: at least one."""
    try:
        result = result_of(document)
    except FleetwheelError as error:
        return [error]
    return result.found() or [FleetwheelError(str(result))]
