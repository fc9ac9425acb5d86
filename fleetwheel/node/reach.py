"""Which addresses this host cannot connect to."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

PORTS = {"http": 80, "https": 443}


def reach(places: list[str], seconds: float) -> dict[str, Any]:
    """Return ``unreached``, place to why; a place is ``https://HOST`` or ``http://HOST:PORT``.

    Each gets so many seconds. What the host itself reaches through a proxy is not looked at.
    """
    through = getproxies()
    asked = [place for place in places if urlsplit(place).scheme not in through]
    with ThreadPoolExecutor(max_workers=8) as pool:
        obstacles = list(pool.map(lambda place: obstacle(place, seconds), asked))
    return {"unreached": {place: why for place, why in zip(asked, obstacles) if why}}  # noqa: B905


def obstacle(place: str, seconds: float) -> str:
    """Return why a place cannot be connected to; empty where it can."""
    parts = urlsplit(place)
    try:
        port = parts.port or PORTS[parts.scheme]
        socket.create_connection((parts.hostname or "", port), seconds).close()
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
