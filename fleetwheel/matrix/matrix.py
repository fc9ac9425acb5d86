"""The matrix of PyTorch releases: ``matrix.yaml`` read once into typed, validated values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.variant import Variant
from fleetwheel.value import Value

PATH = Path(__file__).with_name("matrix.yaml")

Capability = tuple[int, int]
"""Compute capability, major and minor."""
Platform = tuple[str, str]
"""Operating system and architecture, as a profile has them."""
DriverSystem = Literal["linux", "windows"]
"""Whose numbers a driver version is written in."""
Numbers = tuple[int, ...]
"""A version of nothing but numbers, such as a driver's or glibc's."""


def numbers(text: str) -> Numbers:
    """Return ``(580, 95, 5)`` for ``580.95.05``; ValueError when it is no such version."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})*", text):
        raise ValueError(f"{text!r} is no version made of numbers and dots")
    return tuple(int(part) for part in text.split("."))


def _capability(code: object) -> Capability:
    if not isinstance(code, int) or not 10 <= code < 1000:
        raise ValueError(f"{code!r} is not an architecture such as 75 or 120")
    return divmod(code, 10)


def _words(text: object) -> frozenset[str]:
    if not isinstance(text, str):
        raise ValueError("write Python versions as one line of text: 3.9 3.10 3.13t")
    return frozenset(text.split())


Code = Annotated[Capability, BeforeValidator(_capability)]
Dotted = Annotated[Numbers, BeforeValidator(lambda text: numbers(_text(text)))]
Pythons = Annotated[
    frozenset[Annotated[str, Field(pattern=r"^3\.\d+t?$")]], BeforeValidator(_words)
]
Exact = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
Specifiers = Annotated[str, AfterValidator(lambda text: str(SpecifierSet(text)))]
Confidence = Literal["high", "medium", "low"]
PlatformName = Literal[
    "linux x86_64",
    "linux aarch64",
    "windows x86_64",
    "windows aarch64",
    "macos aarch64",
    "macos x86_64",
]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is a number to YAML: quote it")
    return value


class Evidenced(Value):
    """A block that says where it comes from."""

    source: tuple[str, ...]
    confidence: Confidence


class Cuda(Value):
    """The drivers of one CUDA version, by operating system."""

    version: Dotted
    driver: dict[DriverSystem, Dotted]
    """The oldest that runs its builds by minor-version compatibility."""
    full: dict[DriverSystem, Dotted]
    """The oldest that supports all of it, PTX included."""


class Architecture(Value):
    """One GPU architecture and the driver branches that support it; NVIDIA names them by Linux."""

    name: str
    capabilities: dict[Code, Dotted]
    """Each compute capability, with the first CUDA that compiles for it."""
    first_driver: int = 0
    last_driver: dict[DriverSystem, int] | None = None


class _CudaTable(Evidenced):
    variants: dict[Variant, Cuda]


class _ArchitectureTable(Evidenced):
    rows: tuple[Architecture, ...]


class Partner(Evidenced):
    """A release of a project that asks for a range of torch, not for one release of it."""

    project: Literal["torchvision", "torchaudio"]
    version: Exact
    torch: Specifiers
    cuda: Dotted = ()
    """The CUDA that its wheels ask for, ``13`` or ``13.0``; empty where any build does."""
    platforms: tuple[PlatformName, ...]


class Limit(Evidenced):
    """What a range of torch releases does not work with, though their metadata allow it."""

    torch: Specifiers
    platforms: tuple[PlatformName, ...]
    builds: tuple[str, ...] = ("",)
    """How the names of the variants begin that it is about: ``cpu``, ``cu12``; all by default."""
    requirement: str
    """What has to be kept to, such as ``numpy<2``."""
    why: str


class _Build(Evidenced):
    sm: tuple[Code, ...] = ()
    ptx: Code | None = None
    without_cudnn: tuple[Code, ...] = ()
    glibc: Dotted | None = None
    only: tuple[Exact, ...] | None = None
    published: bool = True


class _Platform(Value):
    glibc: Dotted | None = None
    python: Pythons | None = None
    pypi: Variant | None = None
    builds: dict[Variant, _Build]

    @model_validator(mode="after")
    def _consistent(self) -> "_Platform":
        if self.pypi and self.pypi not in self.builds:
            raise ValueError(f"pypi names {self.pypi}, which is not among the builds")
        for variant, build in self.builds.items():
            if variant.cpu == bool(build.sm):
                raise ValueError(f"{variant}: CUDA builds have an sm list, cpu has none")
        return self


class _Version(Value):
    torchvision: tuple[Exact, ...]
    torchaudio: Exact | None = None
    python: Pythons


class _Series(Value):
    series: str
    source: str
    confidence: Confidence
    versions: dict[Exact, _Version]
    platforms: dict[PlatformName, _Platform]


class _File(Value):
    evidence: dict[str, str]
    cuda: _CudaTable
    architectures: _ArchitectureTable
    partners: tuple[Partner, ...]
    limits: tuple[Limit, ...]
    sm: dict[str, tuple[Code, ...]]
    releases: tuple[_Series, ...]

    @model_validator(mode="after")
    def _complete(self) -> "_File":
        for series in self.releases:
            for platform, row in series.platforms.items():
                for variant, build in row.builds.items():
                    where = f"{series.series}, {platform}, {variant}"
                    if missing := set(build.source) - set(self.evidence):
                        raise ValueError(f"{where}: no evidence called {', '.join(missing)}")
                    if not variant.cpu and variant not in self.cuda.variants:
                        raise ValueError(f"{where}: the cuda table lacks {variant}")
                    if unknown := set(build.only or ()) - set(series.versions):
                        raise ValueError(f"{where}: no version {', '.join(unknown)} in the series")
        return self


@dataclass(frozen=True, slots=True)
class Build:
    """One release in one variant on one platform."""

    release: Version
    variant: Variant
    sm: tuple[Capability, ...]
    """Architectures with machine code."""
    ptx: Capability | None
    without_cudnn: tuple[Capability, ...]
    """Architectures with machine code of torch, but not of the cuDNN that it brings."""
    glibc: Numbers | None
    """The oldest glibc it loads with; None where there is no glibc."""
    pythons: frozenset[str]
    """Minor versions that PyPI has wheels for, ``3.14t`` being free-threaded."""
    published: bool
    """False where nothing shows that the official index has it."""
    confidence: Confidence

    @property
    def arch_list(self) -> tuple[str, ...]:
        """What ``torch.cuda.get_arch_list()`` should say: ``("sm_75", ..., "compute_120")``."""
        codes = [f"sm_{major}{minor}" for major, minor in self.sm]
        return (*codes, *([f"compute_{self.ptx[0]}{self.ptx[1]}"] if self.ptx else []))


@dataclass(frozen=True, slots=True)
class Release:
    """One version of torch on every platform."""

    version: Version
    partners: Mapping[str, tuple[str, ...]]
    """Versions of torchvision and torchaudio that belong to it, the best one first."""
    builds: Mapping[Platform, Mapping[Variant, Build]]
    pypi: Mapping[Platform, Variant]
    """The variant of PyPI's wheels, whose file names have no local label."""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Everything that is known about PyTorch's wheels; equal only to itself."""

    releases: Mapping[Version, Release]
    """Newest first."""
    cuda: Mapping[Variant, Cuda]
    architectures: tuple[Architecture, ...]
    partners: tuple[Partner, ...]
    limits: tuple[Limit, ...]

    def build(self, version: Version, variant: Variant, platform: Platform) -> Build | None:
        """Return the build of a release, a candidate or a post-release, if there is one."""
        release = self.release(version)
        return release.builds.get(platform, {}).get(variant) if release else None

    def release(self, version: Version) -> Release | None:
        """Return what is known of a version; ``2.15.0rc1`` counts as 2.15.0."""
        return self.releases.get(version) or self.releases.get(Version(version.base_version))

    def architecture(self, capability: Capability) -> Architecture | None:
        """Return the GPU architecture that a compute capability belongs to."""
        return next((row for row in self.architectures if capability in row.capabilities), None)

    def first_cuda(self, capability: Capability) -> Numbers | None:
        """Return the first version of CUDA that knows a compute capability."""
        architecture = self.architecture(capability)
        return architecture.capabilities[capability] if architecture else None

    def partners_of(
        self, project: str, version: Version, variant: Variant, platform: Platform
    ) -> tuple[str, ...]:
        """Return the versions of a partner that go with a build of torch, the best one first."""
        release = self.release(version)
        own = release.partners[project] if release else ()
        ranged = (
            partner.version
            for partner in self.partners
            if partner.project == project
            and variant.version[: len(partner.cuda)] == partner.cuda
            and " ".join(platform) in partner.platforms
            and SpecifierSet(partner.torch).contains(version, prereleases=True)
        )
        return tuple(dict.fromkeys([*own, *ranged]))

    def limits_of(
        self, version: Version, variant: Variant | None, platform: Platform
    ) -> tuple[Limit, ...]:
        """Return what has to be kept to beside a build."""
        return tuple(
            limit
            for limit in self.limits
            if " ".join(platform) in limit.platforms
            and str(variant or "").startswith(limit.builds)
            and SpecifierSet(limit.torch).contains(version, prereleases=True)
        )


@cache
def load_matrix() -> Matrix:
    """Read the matrix, once per process.

    Raises FleetwheelError with file, line and key where the file is malformed.
    """
    return parse_matrix(PATH.read_text(encoding="utf-8"), str(PATH))


def parse_matrix(text: str, name: str = "matrix.yaml") -> Matrix:
    """Return the matrix of a YAML text; ``name`` is what errors call it."""
    try:
        return _matrix(_File.model_validate(yaml.load(text, yaml.CSafeLoader)))
    except yaml.YAMLError as error:
        raise FleetwheelError(f"{name} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = " > ".join(str(part) for part in first["loc"]) or "the file"
        problem = first["msg"].removeprefix("Value error, ")
        line = _line(yaml.compose(text, yaml.CSafeLoader), first["loc"])
        raise FleetwheelError(f"{name}, line {line}: {key}: {problem}") from error


def _line(node: Any, location: tuple[int | str, ...]) -> int:
    """Return the line of the innermost node that a location of keys and indexes leads to."""
    for part in location:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inner = node.value[part] if part < len(node.value) else None
        else:
            inner = None
        if inner is None:
            break
        node = inner
    return int(node.start_mark.line) + 1 if node else 1


def _matrix(file: _File) -> Matrix:
    releases = [
        _release(version, series)
        for series in file.releases
        for version in sorted(series.versions, key=Version, reverse=True)
    ]
    releases.sort(key=lambda release: release.version, reverse=True)
    return Matrix(
        releases={release.version: release for release in releases},
        cuda=file.cuda.variants,
        architectures=file.architectures.rows,
        partners=file.partners,
        limits=file.limits,
    )


def _release(version: str, series: _Series) -> Release:
    row = series.versions[version]
    platforms = {_platform(name): block for name, block in series.platforms.items()}
    return Release(
        version=Version(version),
        partners={
            "torchvision": row.torchvision,
            "torchaudio": (row.torchaudio,) if row.torchaudio else (),
        },
        builds={
            platform: {
                variant: _build(version, variant, build, block, row)
                for variant, build in block.builds.items()
                if build.only is None or version in build.only
            }
            for platform, block in platforms.items()
        },
        pypi={platform: block.pypi for platform, block in platforms.items() if block.pypi},
    )


def _platform(name: str) -> Platform:
    system, arch = name.split()
    return system, arch


def _build(version: str, variant: Variant, build: _Build, block: _Platform, row: _Version) -> Build:
    return Build(
        release=Version(version),
        variant=variant,
        sm=build.sm,
        ptx=build.ptx,
        without_cudnn=build.without_cudnn,
        glibc=build.glibc or block.glibc,
        pythons=block.python or row.python,
        published=build.published,
        confidence=build.confidence,
    )
