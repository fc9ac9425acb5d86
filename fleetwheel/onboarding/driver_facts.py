"""What is known of NVIDIA's drivers: ``drivers.yaml`` read once into typed, validated values."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from fleetwheel.host.profile import HostPlatform, ModuleKind
from fleetwheel.matrix.matrix import Evidenced
from fleetwheel.value import Value

PATH = Path(__file__).with_name("drivers.yaml")
BOTH: frozenset[ModuleKind] = frozenset({"open", "proprietary"})
ENTERPRISE = frozenset({"rhel", "rocky", "almalinux", "centos", "ol"})
"""IDs of systems that take the packages of RHEL."""

Month = Annotated[str, Field(pattern=r"^20\d\d-\d\d$")]
DeviceId = Annotated[int, Field(ge=0, le=0xFFFF)]


class Branch(Value):
    """One branch of NVIDIA's driver."""

    branch: int
    end: Month
    """When NVIDIA's support ends."""
    cuda: int
    """Newest major version of CUDA that runs without the compatibility package."""
    kind: Literal["long-lived", "new-feature"] = "long-lived"
    modules: frozenset[ModuleKind] = BOTH


class GpuGeneration(Value):
    """GPUs of one generation; ``first`` and ``last`` are the branches that serve them."""

    name: str
    capability: tuple[int, int]
    """The lowest compute capability of the generation."""
    first: int
    last: int | None = None
    """None where support has no end yet."""
    modules: frozenset[ModuleKind] = BOTH


class System(Evidenced):
    """Where one release of a distribution gets drivers."""

    id: str
    version: str
    own: tuple[int, ...] = ()
    """Branches of the distribution's own packages."""
    nvidia: int | None = None
    """First branch in NVIDIA's repository for it; None where there is no repository."""
    unlisted: frozenset[DeviceId] = frozenset()
    """GPUs that the own packages do not know, though they serve their generation."""
    builds: str | None = None
    """Newest kernel that the own modules build on, ``6.12``; None where nothing is known."""


class Fabric(Evidenced):
    """Device ids of what joins GPUs."""

    nvswitch: frozenset[DeviceId]
    nvlink5: frozenset[DeviceId]
    imex: frozenset[DeviceId]
    renamed: int
    """Branch from which on rpm's package is named nvidia-fabricmanager."""


class _Branches(Evidenced):
    rows: tuple[Branch, ...]


class _Generations(Evidenced):
    rows: tuple[GpuGeneration, ...]


class _Devices(Evidenced):
    rows: tuple[tuple[DeviceId, DeviceId, str], ...]


class DriverFacts(Value):
    """The whole file."""

    evidence: dict[str, str]
    branches: _Branches
    generations: _Generations
    devices: _Devices
    fabric: Fabric
    systems: tuple[System, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "DriverFacts":
        parts: tuple[Evidenced, ...] = (
            *(self.branches, self.generations, self.devices, self.fabric),
            *self.systems,
        )
        if missing := {key for part in parts for key in part.source} - set(self.evidence):
            raise ValueError(f"no evidence called {', '.join(sorted(missing))}")
        known = {each.branch for each in self.branches.rows}
        if unknown := {branch for each in self.systems for branch in each.own} - known:
            raise ValueError(f"no row for the branches {sorted(unknown)}")
        names = {each.name for each in self.generations.rows}
        if unnamed := {name for _, _, name in self.devices.rows} - names:
            raise ValueError(f"no generation called {', '.join(sorted(unnamed))}")
        return self

    def branch(self, number: int) -> Branch | None:
        """Return what is known of a branch."""
        return next((each for each in self.branches.rows if each.branch == number), None)

    def system(self, platform: HostPlatform) -> System | None:
        """Return what is known of a host's distribution; None where nothing is."""
        id = "rhel" if platform.distribution_id in ENTERPRISE else platform.distribution_id
        version = platform.distribution_version
        major = version.partition(".")[0]
        return next(
            (each for each in self.systems if each.id == id and each.version in (version, major)),
            None,
        )

    def names(self, id: str) -> tuple[str, ...]:
        """Return the releases that are known of a distribution."""
        return tuple(each.version for each in self.systems if each.id == id)


@cache
def facts() -> DriverFacts:
    """Return what drivers.yaml says."""
    return DriverFacts.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))
