"""The mirror: a caching nginx on a host of the fleet, and what it passes on."""

import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic_core import from_json

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import host_of, local_path
from fleetwheel.sources.wheel import Source
from fleetwheel.value import Value

PORT = 8870
PATH = "/fleetwheel"
"""Where the mirror says which sources it serves."""
WHEEL = r"/(?!.*\.\.)(?:[A-Za-z0-9._~/+@!-]|%(?:2[1Bb]|40|7[Ee]))+\.whl"
"""A path that it passes on, as nginx and Python read it: no other character, encoded or not.

Servers differ in what they take ``#``, ``;`` and an encoded ``?`` or ``/`` for: another page than
a wheel's could come back.
"""
PATIENCE = "300"
"""Seconds that uv waits for bytes while the mirror fetches what other hosts wait for, too."""


def address(mirror: str, hosts: Mapping[str, str]) -> str:
    """Return the mirror's address.

    ``mirror`` is what the inventory says: an address, or a host with or without a port; ``hosts``
    has the address of each host of the inventory.
    """
    if "://" in mirror:
        return mirror.rstrip("/")
    host, _, port = mirror.partition(":")
    return f"http://{hosts.get(host, host)}:{port or PORT}"


def mirror_host(mirror: str) -> str:
    """Return the host that the inventory means by a mirror."""
    return mirror.rpartition("://")[2].partition(":")[0].rstrip("/")


def port_of(mirror: str) -> int:
    """Return the port that a mirror listens on."""
    port = mirror.rpartition("://")[2].partition(":")[2].rstrip("/")
    return int(port) if port else PORT


def served(address: str) -> tuple[str, ...]:
    """Ask a mirror, once a run, for scheme and host of each source that it serves.

    Raises FleetwheelError when it does not answer: fetching from afar after all, once for each
    host, is what the mirror is there to prevent, so that is for a person to decide.
    """
    late = f"the mirror {address} takes too long to answer"
    seconds = web.PROBE_S + web.READ_S
    return web.once(("mirror", address), lambda: served_sources(address), seconds, late).answer()


def served_sources(address: str) -> tuple[str, ...]:
    """Ask a mirror for the sources that it serves."""
    try:
        document = from_json(web.short(f"{address}{PATH}"))
        return tuple(map(str, document["upstreams"]))
    except (FleetwheelError, ValueError, KeyError, TypeError) as error:
        raise FleetwheelError(
            f"the mirror {address} does not answer, or is none",
            hint="run deploys/mirror.py, or go without it: --data distribution=direct",
        ) from error


def passes(url: str) -> bool:
    """Whether a mirror that serves a wheel's source passes the wheel on."""
    path = url.removeprefix(host_of(url))
    return re.fullmatch(WHEEL, path) is not None


class Upstream(Value):
    """One server that the mirror passes wheels on from."""

    url: str
    """Scheme and host, with the port if it has one."""

    @property
    def prefix(self) -> str:
        """What the path of its wheels begins with at the mirror."""
        return "/" + self.url.replace("://", "/")

    @property
    def pattern(self) -> str:
        """The prefix as a regular expression."""
        return re.escape(self.prefix)


def upstreams(sources: Sequence[Source], urls: Iterable[str]) -> tuple[Upstream, ...]:
    """Return the servers of sources and of the wheels that they list.

    A source with a password is left out: the mirror would show its wheels to everyone.
    """
    private = {host_of(s.url) for s in sources if s.url != s.redacted}
    addresses = [*(source.url for source in sources), *urls]
    hosts = {host_of(url) for url in addresses if local_path(url) is None}
    sound = (host for host in hosts - private if re.fullmatch(r"https?://[\w.:-]+", host))
    return tuple(Upstream(url=host) for host in sorted(sound))
