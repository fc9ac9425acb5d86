"""How the wheels of a lock reach one host: fetched by itself, through a mirror, or pushed."""

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import tomli_w

from fleetwheel.choice.request import requirement_of
from fleetwheel.delivery.mirror import passes
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.lock import Lock
from fleetwheel.sources import store
from fleetwheel.sources.address import host_of, local_path
from fleetwheel.sources.given import wheel_of
from fleetwheel.sources.survey import survey
from fleetwheel.sources.wheel import Source, Wheel, file_name
from fleetwheel.value import Value

Way = Literal["direct", "mirror", "push"]


class Parcel(Value):
    """A wheel that the controller sends to a host."""

    url: str
    """Where the controller has it from."""
    sha256: str

    @property
    def filename(self) -> str:
        """Its file name, with which it also arrives."""
        return file_name(self.url)

    def place(self, root: str) -> str:
        """Return its path under the root directory of a host."""
        return f"{root}/cache/wheels/{self.sha256}/{self.filename}"


class Delivery(Value):
    """What a host installs from, and what it must be sent for that."""

    lock: str | None = None
    """Text of the lock with the addresses that hold for this host; None for the lock as it is."""
    parcels: tuple[Parcel, ...] = ()
    offline: bool = False
    """Whether every wheel is pushed, so that the host needs no network."""


def parcels(lock: Lock, way: Way, *, here: bool) -> tuple[Parcel, ...]:
    """Return the wheels to push: all of them, or those that only the controller can read.

    ``here`` is true for the controller itself, which needs no copy of its own files.
    """
    return tuple(
        Parcel(url=wheel.url, sha256=wheel.hashes["sha256"])
        for package in lock.document.packages
        for wheel in package.wheels or ()
        if wheel.url and (way == "push" or (not here and local_path(wheel.url) is not None))
    )


def require_own_files(lock: Lock, sources: Sequence[Source], packages: Sequence[str] = ()) -> None:
    """Refuse a lock that a host sent back and that names a file beside this machine's sources.

    It would be read here, and sent to that host. A file is one of theirs when it lies in one, when
    a page of one on this machine lists it, or when ``packages`` asks for it by its path.
    """
    named = {
        name: file.resolve()
        for name, url in lock.urls.items()
        if lock.from_host and (file := local_path(url))
    }
    here = [(source, path.resolve()) for source in sources if (path := local_path(source.url))]
    beside = {
        name: file
        for name, file in named.items()
        if not any(file.is_relative_to(place) for _, place in here)
    }
    if not beside:
        return
    listed = [*survey([source for source, _ in here], beside).wheels, *map(_given, packages)]
    own = {path.resolve() for wheel in listed if wheel and (path := local_path(wheel.url))}
    for file in (file for file in beside.values() if file not in own):
        raise FleetwheelError(
            f"the host's copy of its lock names {file}, which is in no wheel source here",
            hint="add its directory to the sources, or run with --data relock=true",
        )


def lenders(lock: Lock, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources whose logins may be used for what a lock names.

    None for a copy that a host sent back: whoever wrote it would get them, or a file behind them.
    """
    return () if lock.from_host else tuple(sources)


def require_public(lock: Lock, urls: Iterable[str], sources: Sequence[Source]) -> None:
    """Refuse a lock that a host sent back, where its wheels need the login of a source."""
    closed = {host_of(source.url) for source in sources if source.url != source.redacted}
    needed = sorted(closed & {host_of(url) for url in urls})
    if needed and lock.from_host:
        raise FleetwheelError(
            f"the host's copy of its lock names wheels on {', '.join(needed)}, which takes a"
            " login, and no login is used for what a host alone names",
            hint=f"bring back locks/{lock.name}, or run with --data relock=true",
        )


def require_unchanged(lock: Lock, urls: Collection[str]) -> None:
    """Refuse wheels on this machine that are no longer those of the lock, before a host does."""
    for wheel in parcels(lock, "push", here=True):
        if wheel.url in urls and local_path(wheel.url) is not None:
            store.fetch(wheel.url, {wheel.sha256})


def _given(package: str) -> Wheel | None:
    return wheel_of(requirement_of(package))


def deliver(
    lock: Lock,
    root: str,
    pushed: tuple[Parcel, ...] = (),
    mirror: str | None = None,
    served: Collection[str] = (),
) -> Delivery:
    """Return what a host with this root directory installs from.

    ``served`` holds the scheme and host of each source that the mirror at the address ``mirror``
    passes on; wheels from elsewhere, or on a path that it does not pass on, keep their address.
    Hashes always stay.
    """
    addresses = {url: mirrored(url, mirror) for url in lock.urls.values() if mirror}
    addresses = {url: to for url, to in addresses.items() if host_of(url) in served and passes(url)}
    places = {parcel.url: parcel.place(root) for parcel in pushed}
    if not addresses and not places:
        return Delivery()
    return Delivery(
        lock=_moved(lock.text, addresses, places),
        parcels=pushed,
        offline=set(lock.urls.values()) <= set(places),
    )


def mirrored(url: str, mirror: str) -> str:
    """Return the address that a mirror gives a wheel: ``http://MIRROR/https/HOST/PATH``."""
    scheme, _, rest = url.partition("://")
    return f"{mirror.rstrip('/')}/{scheme}/{rest}"


def unserved(lock: Lock, served: Collection[str]) -> list[str]:
    """Return scheme and host of what a lock takes from the network and a mirror does not serve."""
    hosts = {host_of(url) for url in lock.urls.values() if local_path(url) is None}
    return sorted(hosts - set(served))


def _moved(text: str, addresses: Mapping[str, str], places: Mapping[str, str]) -> str:
    """Return a lock with other addresses, and paths in place of those that were pushed."""
    document = tomllib.loads(text)
    for package in document["packages"]:
        for wheel in package.get("wheels", ()):
            url = wheel.get("url")
            if url in places:
                del wheel["url"]
                wheel["path"] = places[url]
            elif url in addresses:
                wheel["url"] = addresses[url]
    return tomli_w.dumps(document)
