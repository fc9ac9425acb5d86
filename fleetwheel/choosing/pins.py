"""What a request pins down: versions, accelerator, interpreter and partners, read and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fleetwheel.errors import FleetwheelError
from fleetwheel.request import Request

PARTNERS = ("torchvision", "torchaudio")
VARIANT = re.compile(r"cpu|cu\d{3}")


@dataclass(frozen=True, slots=True)
class Pins:
    """A request in the terms of the choice."""

    torch: SpecifierSet
    text: str
    """The pin of torch as it was written; empty for the newest."""
    label: str | None
    """The variant of a pin such as ``2.14.1+cu126``."""
    accelerator: str
    python: str | None
    partners: Mapping[str, SpecifierSet]
    """torchvision and torchaudio, where they were asked for."""
    requirements: tuple[str, ...]
    """Everything else, as it was asked for."""

    def allow(self, version: Version) -> bool:
        """Whether a release is allowed; pre-releases only where the pin names one."""
        if version.is_prerelease and not self.torch.prereleases:
            return False
        return not self.torch or self.torch.contains(version, prereleases=True)

    def wants(self, variant: str, gpu: bool) -> bool:
        """Whether a variant is asked for, on a host with or without a GPU to serve."""
        if self.label not in (None, variant):
            return False
        if self.accelerator == "auto":
            return (variant != "cpu") == (gpu or self.names_cuda)
        return variant == self.accelerator or (self.accelerator == "cuda" and variant != "cpu")

    @property
    def names_cuda(self) -> bool:
        """Whether one CUDA variant is asked for by name, so that no GPU is needed to ask for it."""
        names = (self.label or "", self.accelerator)
        return any(VARIANT.fullmatch(name) and name != "cpu" for name in names)


@lru_cache(maxsize=1024)
def read(request: Request) -> Pins:
    """Return the pins of a request; FleetwheelError where one of them cannot be read."""
    torch, label = _torch(request.torch)
    partners, requirements = _packages(request.packages)
    return Pins(
        torch=torch,
        text=(request.torch or "").strip(),
        label=label,
        accelerator=_accelerator(request.accelerator),
        python=_python(request.python),
        partners=partners,
        requirements=requirements,
    )


def _torch(pin: str | None) -> tuple[SpecifierSet, str | None]:
    """Return the specifier of a torch pin, and its variant where it has one."""
    text = (pin or "").strip()
    exact = text.removeprefix("==").strip()
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return SpecifierSet(f"=={text}.*"), None
        if re.fullmatch(r"\d+(\.\d+)*\.\*", text):
            return SpecifierSet(f"=={text}"), None
        if re.fullmatch(r"v?\d[^,<>=!~*]*", exact):
            version = Version(exact)
            return SpecifierSet(f"=={version.public}"), _label(version, text)
        return SpecifierSet(text), None
    except (InvalidVersion, InvalidSpecifier) as error:
        raise _unreadable_torch(text) from error


def _label(version: Version, text: str) -> str | None:
    if version.local and not VARIANT.fullmatch(version.local):
        raise _unreadable_torch(text)
    return version.local


def _unreadable_torch(text: str) -> FleetwheelError:
    return FleetwheelError(
        f"torch: {text!r} is no version",
        hint='write "2.14.1", "2.14", ">=2.10,<2.13" or "2.14.1+cu126"',
    )


def _accelerator(text: str) -> str:
    if text in ("auto", "cuda") or VARIANT.fullmatch(text):
        return text
    raise FleetwheelError(
        f"accelerator: {text!r} is not known",
        hint="write auto, cpu, cuda, or a variant such as cu126",
    )


def _python(text: str | None) -> str | None:
    if text is None or re.fullmatch(r"3\.\d+t?", text):
        return text
    raise FleetwheelError(
        f"python: {text!r} is no minor version", hint='write "3.12", or "3.14t" for free-threaded'
    )


def _packages(packages: tuple[str, ...]) -> tuple[dict[str, SpecifierSet], tuple[str, ...]]:
    """Split the torch family from everything else."""
    partners: dict[str, SpecifierSet] = {}
    others: list[str] = []
    for text in packages:
        requirement = _requirement(text)
        name = canonicalize_name(requirement.name)
        if name == "torch":
            raise FleetwheelError(
                f"packages: {text!r} pins torch", hint="write its version under torch instead"
            )
        if name not in PARTNERS:
            others.append(text)
            continue
        if requirement.url or requirement.marker or requirement.extras:
            raise FleetwheelError(
                f"packages: {text!r}: {name} comes with torch, from the same source",
                hint=f"write {name}, with a version at most",
            )
        partners[name] = partners.get(name, SpecifierSet()) & requirement.specifier
    return partners, tuple(others)


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise FleetwheelError(
            f"packages: {text!r} is no requirement: {str(error).splitlines()[0]}",
            hint='write "numpy", "numpy>=2" or "numpy==2.3.5"',
        ) from error
