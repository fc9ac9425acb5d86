"""All that one resolution may see: offers by name, and the wheels behind its addresses."""

import hashlib
from collections.abc import Collection, Mapping, Sequence

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import store
from fleetwheel.sources.index import WEIGHED, NameOffer, offered
from fleetwheel.sources.metadata import metadata, metadata_inside
from fleetwheel.sources.survey import ask_sources
from fleetwheel.sources.wheel import Source, Wheel


class Catalogue:
    """Asks the sources for each name that a resolution comes to, and remembers the offers."""

    def __init__(
        self,
        sources: Sequence[Source],
        own: Source | None = None,
        chosen: Collection[str] = (),
        given: Mapping[str, Wheel] | None = None,
    ) -> None:
        """``own`` is the one source of the ``chosen`` projects, and stands last for all others.

        ``given`` are wheels that are asked for by their address, by project.
        """
        self.sources = tuple(dict.fromkeys([*sources, *([own] if own else [])]))
        self.offers: dict[str, NameOffer] = {}
        """What was asked for so far."""
        self.unread: dict[str, str] = {}
        """File name of each wheel whose metadata cannot be read, and why."""
        self._own = own
        self._chosen = frozenset(chosen)
        self._given = dict(given or {})
        self._wheels: dict[str, Wheel] = {}

    def offer(self, name: str) -> NameOffer:
        """Return what a name gets; its sources are asked when it comes up for the first time."""
        if name not in self.offers:
            self.offers[name] = offer = self._offer(name)
            self._wheels |= {key_of(wheel): wheel for wheel in offer.wheels}
        return self.offers[name]

    def wheel(self, key: str) -> Wheel | None:
        """Return the wheel of a key that ``key_of`` gave."""
        return self._wheels.get(key)

    def metadata(self, wheel: Wheel) -> bytes | None:
        """Return the METADATA of a wheel, None where it cannot be read."""
        try:
            if wheel in self._given.values():
                return metadata_inside(store.fetch_listed(wheel, self.sources))
            return metadata(wheel, self.sources)
        except FleetwheelError as error:
            self.unread[wheel.filename] = error.message
            return None

    def sha256(self, wheel: Wheel) -> str:
        """Return the hash of a wheel: that of its source, else of the file, fetched for that once.

        Raises FleetwheelError where the file does not come, or differs from what its source says.
        """
        return wheel.sha256 or store.measured(wheel, self.sources)

    def _offer(self, name: str) -> NameOffer:
        if wheel := self._given.get(name):
            return NameOffer(name=name, wheels=(wheel,), holder=wheel.source)
        if name in self._chosen and self._own:
            return offered(name, ask_sources(name, [self._own.model_copy(update={"packages": ()})]))
        first = [self._own] if self._own and name in WEIGHED else []
        return offered(name, ask_sources(name, tuple(dict.fromkeys([*first, *self.sources]))))


def key_of(wheel: Wheel) -> str:
    """Return a name for a wheel, by all that is known of it: 64 hexadecimal digits.

    Two wheels may have one address: what a page says of another source's file is its own word.
    """
    return hashlib.sha256(wheel.model_dump_json().encode()).hexdigest()
