"""What each name gets, and from which source: the one rule that every lock is made by."""

from collections.abc import Iterable, Sequence

from fleetwheel.sources.wheel import Source, Wheel
from fleetwheel.value import Value

WEIGHED = frozenset({"torch", "torchvision", "torchaudio", "triton"})
"""Names that the choice takes from whichever source suits; all others have a first source."""


class SourceAnswer(Value):
    """What one source says of one name."""

    source: Source
    wheels: tuple[Wheel, ...] = ()
    holds: bool = False
    """Whether it has files of this name at all, such as source distributions or yanked wheels."""
    failure: str | None = None
    """Why it gave no answer, without credentials; None where it gave one."""


class NameOffer(Value):
    """What uv may take for one name."""

    name: str
    wheels: tuple[Wheel, ...] = ()
    holder: Source | None = None
    """The source that stands first for the name; None for one that is weighed, or held nowhere."""
    behind: Source | None = None
    """Where the holder has no wheel: the next source that has one."""
    unheard: tuple[SourceAnswer, ...] = ()
    """Sources that gave no answer and stand before the holder; all such where there is none."""

    @property
    def refusal(self) -> str | None:
        """Why no wheel of this offer may be locked; None where it may."""
        if not self.wheels or not self.unheard:
            return None
        missing = self.unheard[0]
        taken = self.holder.redacted if self.holder else "another source"
        return (
            f"{self.name} would come from {taken}, but {missing.source.redacted}"
            f" ({missing.source.name}) stands before it and gave no answer: {missing.failure}"
        )


def serving(name: str, sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the sources that may serve a name, in their order.

    Those that it is bound to, where there are such; else those that are bound to no names.
    """
    everywhere = tuple(sources)
    bound = tuple(source for source in everywhere if source.packages and source.serves(name))
    return bound or tuple(source for source in everywhere if not source.packages)


def offered(name: str, answers: Sequence[SourceAnswer]) -> NameOffer:
    """Return what a name gets by the answers of the sources that may serve it, in their order.

    The first one that holds it serves it alone. One that gave no answer does not stop the search,
    because another source may hold the name first; the offer says who was not heard.
    """
    if name in WEIGHED:
        return NameOffer(name=name, wheels=_once_each(answers))
    first = next((place for place, answer in enumerate(answers) if answer.holds), len(answers))
    silent = [a for a in answers[:first] if a.failure is not None and not a.source.optional]
    offer = NameOffer(name=name, unheard=tuple(silent))
    if first == len(answers):
        return offer
    wheels, holder = answers[first].wheels, answers[first].source
    behind = None if wheels else next((a.source for a in answers[first:] if a.wheels), None)
    return offer.model_copy(update={"wheels": wheels, "holder": holder, "behind": behind})


def _once_each(answers: Iterable[SourceAnswer]) -> tuple[Wheel, ...]:
    """Return the wheels of all answers; of two with one file name, that of the first source."""
    found: dict[str, Wheel] = {}
    for wheel in (wheel for answer in answers for wheel in answer.wheels):
        found.setdefault(wheel.filename, wheel)
    return tuple(found.values())
