"""Packages that resolve where they do not work: ``misfits.yaml`` read once into typed values."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import TypeAdapter

from fleetwheel.matrix.variant import Variant
from fleetwheel.value import Value

PATH_OF_MISFITS = Path(__file__).with_name("misfits.yaml")


class Misfit(Value):
    """What some versions of a package need, which their metadata does not say."""

    package: str
    versions: str = ""
    torch: str = ""
    """Specifiers of the releases of torch that it goes with; empty for all."""
    cuda: Literal["any"] | int | None = None
    """Whether it needs CUDA, or the major version that has to be torch's where both have CUDA."""
    why: str
    otherwise: str
    """What to do."""
    source: str
    confidence: Literal["high", "medium"]

    def fits(self, version: Version, torch: Version, variant: Variant) -> bool:
        """Whether a version of the package works beside this torch, as far as this row knows."""
        if not SpecifierSet(self.versions).contains(version.public, prereleases=True):
            return True
        if not SpecifierSet(self.torch).contains(torch.public, prereleases=True):
            return False
        if self.cuda == "any":
            return not variant.cpu or "cpu" in (version.local or "")
        return self.cuda is None or variant.cpu or self.cuda == variant.version[0]


@cache
def load_misfits() -> tuple[Misfit, ...]:
    """Return what misfits.yaml says."""
    document = yaml.safe_load(PATH_OF_MISFITS.read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Misfit, ...]).validate_python(document)


def misfit(
    picked: Mapping[str, Version], torch: Version, variant: Variant
) -> tuple[str, Misfit] | None:
    """Return the first package that does not fit, with its version, and what it needs."""
    for row in load_misfits():
        version = picked.get(row.package)
        if version is not None and not row.fits(version, torch, variant):
            return f"{row.package} {version}", row
    return None
