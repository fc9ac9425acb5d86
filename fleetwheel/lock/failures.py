"""Why there is no lock: what uv and the sources said told apart, each with a hint that fits."""

import re
from collections.abc import Iterable, Sequence

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources.catalogue import Catalogue
from fleetwheel.sources.index import NameOffer, SourceAnswer, serving
from fleetwheel.sources.remedy import file_remedy, source_remedy
from fleetwheel.sources.wheel import Source

OTHERWISE = "change the packages or the torch version that the inventory asks for"
OTHERWISE_IN_FILE = "change the pins in {}, or torch: of the environment, which counts before it"
UNFIT = (
    "ask for another version (packages:) or another Python (python:), or build the wheel that is"
    " missing (docs/distribution.md, Without a wheel)"
)
BIND = "bind {0} to the source that you trust with it: sources: [{{url: ADDRESS, packages: [{0}]}}]"
BUILD = (
    "build its wheel on this machine, `pip wheel --no-deps --wheel-dir DIRECTORY {}==VERSION`,"
    " and name DIRECTORY under sources: (docs/distribution.md, Without a wheel)"
)


class NoSolutionError(FleetwheelError):
    """uv finds no versions that go together."""

    @property
    def cause(self) -> str:
        """Its reason in one line of at most 200 characters."""
        words = re.split(r"cause: |╰─▶ ", " ".join(str(self.args[0]).split()))[-1]
        return words if len(words) <= 200 else f"{words[:200].rpartition(' ')[0]} …"

    def about(self, name: str) -> "NoSolutionError":
        """Return the error with the name of the build that was to be locked."""
        return NoSolutionError(f"{name}: {self.args[0]}", hint=self.hint)

    def beside(self, path: str) -> "NoSolutionError":
        """Return the error with the team's file that says which packages there are."""
        hint = self.hint.replace(OTHERWISE, OTHERWISE_IN_FILE.format(path))
        return NoSolutionError(f"{path} with {self.args[0]}", hint=hint)


class UnheardError(FleetwheelError):
    """A name has no wheel, or one from a source behind another that gave no answer for it."""

    def __init__(self, message: str, ways: Sequence[str]) -> None:
        """``ways`` are what would change it, each by itself."""
        super().__init__(message, hint="; or ".join(ways))
        self.ways = tuple(ways)


def require_heard(names: Iterable[str], catalogue: Catalogue) -> None:
    """Refuse to take wheels from behind a source that gave no answer for their name."""
    refused = [offer for name in names if (offer := catalogue.offer(name)).refusal]
    if refused:
        silent = {offer.unheard[0].source.redacted: None for offer in refused}
        ways = [
            *remedies_for_silence(offer.unheard[0] for offer in refused),
            *(BIND.format(offer.name) for offer in refused),
            "where none of its names is your own, let locks do without it: optional_sources:"
            f" {list(silent)}",
        ]
        raise UnheardError("\n".join(str(offer.refusal) for offer in refused), ways)


def explained(said: str, catalogue: Catalogue) -> FleetwheelError:
    """Return the error for what uv said when it failed, with what the sources had said before."""
    if catalogue.unread:
        file, why = next(iter(catalogue.unread.items()))
        return FleetwheelError(f"{file} cannot be read: {why}", hint=file_remedy(why))
    if "No solution found" not in said:
        return FleetwheelError(
            f"uv finds no wheel set: {said}",
            hint="uv itself failed, no source did: run again, and report these words if it stays",
        )
    about = [offer for name, offer in catalogue.offers.items() if _names(said, name)]
    missing = [offer for offer in about if not offer.wheels]
    reasons = [reason for offer in missing for reason in missing_reasons(offer, catalogue.sources)]
    ways = [way for offer in missing for way in missing_remedies(offer)]
    if any(offer.unheard for offer in missing):
        return UnheardError("\n".join(reasons), ways)
    words = "\n".join([f"uv finds no wheel set: {said}", *reasons])
    unfit = re.search(r"no wheels with a matching|requires Python", said)
    ways = ways or [UNFIT if unfit else OTHERWISE, *_behind(about, catalogue.sources)]
    return NoSolutionError(words, hint="; or ".join(ways))


def missing_reasons(offer: NameOffer, sources: Sequence[Source]) -> list[str]:
    """Say why there is no wheel of a name."""
    if offer.holder:
        behind = f"; {offer.behind.redacted} has one, but stands behind it" if offer.behind else ""
        held = "only source distributions, other formats or yanked files"
        return [f"{offer.name} has no wheel in {offer.holder.redacted}, {held}{behind}"]
    asked = serving(offer.name, sources)
    places = [f"{s.redacted}{' (bound to it)' if s.packages else ''}" for s in asked]
    nowhere = f"no source that answers has a wheel of {offer.name}; asked: {', '.join(places)}"
    return [nowhere, *(f"{a.source.redacted} gave no answer: {a.failure}" for a in offer.unheard)]


def missing_remedies(offer: NameOffer) -> list[str]:
    """Say what would bring a wheel of a name."""
    if offer.holder:
        return [BUILD.format(offer.name), *([BIND.format(offer.name)] if offer.behind else [])]
    if offer.unheard:
        return remedies_for_silence(offer.unheard)
    return [f"correct the name {offer.name}, or name the source that has it under sources:"]


def remedies_for_silence(answers: Iterable[SourceAnswer]) -> list[str]:
    """Say what to do about each source that gave no answer."""
    failures = {answer.source.redacted: str(answer.failure) for answer in answers}
    return [f"{place}: {source_remedy(failure)}" for place, failure in failures.items()]


def _behind(offers: Iterable[NameOffer], sources: Sequence[Source]) -> list[str]:
    """Name the sources that stand first for these names while others stand behind them."""
    return [
        f"put what is missing into {offer.holder.redacted}, the first source that holds"
        f" {offer.name}"
        for offer in offers
        if offer.holder and serving(offer.name, sources)[-1] != offer.holder
    ]


def _names(said: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said) is not None
