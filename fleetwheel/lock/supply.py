"""What the sources that answer hold for the targets of a run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from packaging.requirements import Requirement

from fleetwheel.choice.candidates import Stock, stock_of
from fleetwheel.choice.choose import candidate_variants, family
from fleetwheel.choice.target import Target
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.sources.configured import configured_sources, official_source
from fleetwheel.sources.survey import survey
from fleetwheel.sources.wheel import Source, Wheel


class Supply(NamedTuple):
    """Wheels, and the sources that were there to be asked."""

    stock: Stock
    """Of the torch family, and of what was asked for beside it."""
    ordinary: tuple[Source, ...]
    """The inventory's and pip's sources that answer, in their order."""
    others: Mapping[str, Sequence[Wheel]]
    """The wheels of each project that was asked for beside the torch family."""
    warnings: tuple[str, ...]
    """One sentence for each source that gave no answer, without credentials."""

    def lacking(self, target: Target) -> list[str]:
        """Return what is asked for and none of the ordinary sources that answer has a wheel of."""
        return [name for name in _named(target) if self.ordinary and not self.others.get(name)]


def supply(targets: Iterable[Target], matrix: Matrix, extra: Sequence[str] = ()) -> Supply:
    """Ask the ordinary sources, and the official ones that matter to these targets.

    ``extra`` are the inventory's own sources.
    """
    asked = list(targets)
    variants = dict.fromkeys(v for target in asked for v in candidate_variants(target, matrix))
    projects = dict.fromkeys(name for target in asked for name in family(target))
    named = dict.fromkeys(name for target in asked for name in _named(target))
    ordinary = configured_sources(extra)
    official = [official_source(variant) for variant in variants]
    torches = survey([*ordinary, *official], tuple(projects))
    beside = survey(ordinary, tuple(named))
    silent = {*torches.silent, *beside.silent}
    return Supply(
        stock=stock_of([*torches.wheels, *beside.wheels]),
        ordinary=tuple(source for source in ordinary if source not in silent),
        others={name: [w for w in beside.wheels if w.project == name] for name in named},
        warnings=tuple(dict.fromkeys([*torches.warnings, *beside.warnings])),
    )


def _named(target: Target) -> list[str]:
    """Return the projects that are asked for beside the torch family, for this system."""
    found = map(Requirement, target.requirements)
    return [requirement.name for requirement in found if target.applies(requirement)]
