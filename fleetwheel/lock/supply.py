"""What the sources that answer hold for the targets of a run."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from packaging.requirements import Requirement

from fleetwheel.choice.candidates import Stock, stock_of
from fleetwheel.choice.choose import Refusal, candidate_variants, family
from fleetwheel.choice.target import Target
from fleetwheel.lock.failures import missing_reasons, missing_remedies
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.sources.configured import (
    OwnSources,
    configured_sources,
    official_source,
    unfollowed,
)
from fleetwheel.sources.given import wheel_of
from fleetwheel.sources.index import NameOffer, offered
from fleetwheel.sources.survey import ask_sources, survey
from fleetwheel.sources.wheel import Source


class Supply(NamedTuple):
    """Wheels, and the sources that were there to be asked."""

    stock: Stock
    """Of the torch family, and of what was asked for beside it."""
    ordinary: tuple[Source, ...]
    """The inventory's and pip's sources, in their order."""
    others: Mapping[str, NameOffer]
    """What each project gets that was asked for beside the torch family."""
    warnings: tuple[str, ...]
    """One sentence for each source that gave no answer, without credentials."""
    answered: bool = True
    """Whether any of the ordinary sources did; without, all comes from that of the family."""

    def lacking(self, target: Target) -> Refusal | None:
        """Refuse what is asked for and no source that answers has a wheel of."""
        if not self.answered:
            return None
        offers = [self.others[asked.name] for asked in _named(target)]
        missing = [offer for offer in offers if not offer.wheels]
        if not missing:
            return None
        reasons = [why for offer in missing for why in missing_reasons(offer, self.ordinary)]
        ways = [way for offer in missing for way in missing_remedies(offer)]
        return Refusal(reasons=tuple(reasons), unlocks=tuple(dict.fromkeys(ways)))


def supply(targets: Iterable[Target], matrix: Matrix, own: OwnSources | None = None) -> Supply:
    """Ask the ordinary sources, and the official ones that matter to these targets.

    ``own`` are the inventory's own sources.
    """
    asked = list(targets)
    variants = dict.fromkeys(v for target in asked for v in candidate_variants(target, matrix))
    projects = dict.fromkeys(name for target in asked for name in family(target))
    named = {offer.name: offer for target in asked for offer in _named(target)}
    ordinary = configured_sources(own)
    official = [official_source(variant) for variant in variants]
    torches = survey([*ordinary, *official], tuple(projects))
    heard = {n: ask_sources(n, ordinary) for n, offer in named.items() if not offer.wheels}
    beside = named | {name: offered(name, found) for name, found in heard.items()}
    every = [answer for found in heard.values() for answer in found]
    warnings = [f"{answer.failure}; going on without it" for answer in every if answer.failure]
    note = unfollowed()
    silent = {*torches.silent, *(answer.source for answer in every if answer.failure)}
    return Supply(
        stock=stock_of([*torches.wheels, *(w for offer in beside.values() for w in offer.wheels)]),
        ordinary=ordinary,
        others=beside,
        warnings=tuple(dict.fromkeys([*([note] if note else []), *torches.warnings, *warnings])),
        answered=any(source not in silent for source in ordinary),
    )


def _named(target: Target) -> list[NameOffer]:
    """Return what is asked for beside the torch family, for this system.

    Without wheels as yet, but for those that are asked for by their address.
    """
    found = map(Requirement, target.requirements)
    asked = [(each.name, wheel_of(each)) for each in found if target.applies(each)]
    return [NameOffer(name=name, wheels=(wheel,) if wheel else ()) for name, wheel in asked]
