"""Why there is no lock: what uv and the sources said told apart, each with a hint that fits."""

import re
from collections.abc import Iterable, Sequence

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources.catalogue import Catalogue
from fleetwheel.sources.index import NameOffer, serving
from fleetwheel.sources.wheel import Source

OTHERWISE = "change the packages or the torch version that the inventory asks for"
FIRST = ", or put what is missing into the first source that holds the package: {}"
BUILD = (
    "build its wheel on this machine, `pip wheel --no-deps --wheel-dir DIRECTORY NAME==VERSION`,"
    " and name DIRECTORY under sources: (docs/distribution.md, Without a wheel)"
)
REMEDIES = {
    r"CERTIFICATE|SSL": "give pip the authority behind it: pip config set global.cert FILE",
    r"status (401|403)": "put user name and password into its address in pip.conf or sources:",
    r"status (404|410)": "its page names a file that is not there: ask who keeps it",
    r"status 5\d\d": "run again when its server is well",
    r"does not exist": "mount or make the directory, or take it out of the configuration",
}
"""What to do about a source that gave no answer, by a pattern of what it said."""
UNREACHED = "check its address, the network and the proxy that pip is configured with"


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


class UnheardError(FleetwheelError):
    """A name has no wheel, or one from a source behind another that gave no answer for it."""


def remedy(failure: str) -> str:
    """Return what to do about a source or wheel, by what was said when it was asked for."""
    return next((do for said, do in REMEDIES.items() if re.search(said, failure)), UNREACHED)


def require_heard(names: Iterable[str], catalogue: Catalogue) -> None:
    """Refuse to take wheels from behind a source that gave no answer for their name."""
    refused = [offer for name in names if (offer := catalogue.offer(name)).refusal]
    if refused:
        first = refused[0].unheard[0]
        raise UnheardError(
            "\n".join(str(offer.refusal) for offer in refused),
            hint=f"{remedy(str(first.failure))}; or bind names to their sources with packages:, or"
            f" let locks do without it: optional_sources: [{first.source.redacted!r}]",
        )


def explained(said: str, catalogue: Catalogue) -> FleetwheelError:
    """Return the error for what uv said when it failed, with what the sources had said before."""
    if catalogue.unread:
        file, why = next(iter(catalogue.unread.items()))
        return FleetwheelError(f"{file} cannot be read: {why}", hint=remedy(why))
    if "No solution found" not in said:
        return FleetwheelError(f"uv finds no wheel set: {said}", hint="this is uv's own failure")
    about = [offer for name, offer in catalogue.offers.items() if _names(said, name)]
    missing = [offer for offer in about if not offer.wheels]
    if silent := [offer for offer in missing if offer.unheard]:
        return _unheard(silent)
    words = f"uv finds no wheel set: {said}"
    if unbuilt := [offer for offer in missing if offer.holder]:
        return NoSolutionError("\n".join([words, *map(without_wheel, unbuilt)]), hint=BUILD)
    return NoSolutionError(words, hint=OTHERWISE + _first_sources(about, catalogue.sources))


def without_wheel(offer: NameOffer) -> str:
    """Say that a name is held, but not as a wheel."""
    where = offer.holder.redacted if offer.holder else "its source"
    return f"{offer.name} has no wheel in {where}, only the source or yanked files"


def silence(offers: Iterable[NameOffer]) -> list[str]:
    """Return one sentence for each source that gave no answer for one of these names."""
    every = [(offer.name, answer) for offer in offers for answer in offer.unheard]
    return [f"{a.source.redacted} gave no answer for {name}: {a.failure}" for name, a in every]


def _unheard(offers: Sequence[NameOffer]) -> UnheardError:
    names = ", ".join(offer.name for offer in offers)
    words = [f"no source that answers has a wheel of {names}", *silence(offers)]
    return UnheardError("\n".join(words), hint=remedy(str(offers[0].unheard[0].failure)))


def _first_sources(offers: Iterable[NameOffer], sources: Sequence[Source]) -> str:
    """Name the sources that stand first for these names while others stand behind them."""
    first = [
        f"{offer.name} from {offer.holder.redacted}"
        for offer in offers
        if offer.holder and serving(offer.name, sources)[-1] != offer.holder
    ]
    return FIRST.format(", ".join(first)) if first else ""


def _names(said: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said) is not None
