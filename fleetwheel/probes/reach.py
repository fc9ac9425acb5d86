"""Say which addresses this host cannot connect to: runs there, Python 3.8 or newer.

Reads ``input``, a dictionary with ``places`` (``https://HOST`` or ``http://HOST:PORT``) and
``seconds`` for each, as a global name (see ``connection/remote.py``). Prints ``{"ok": true,
"unreached": {PLACE: WHY}}``. What the host itself reaches through a proxy is not looked at.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

PORTS = {"http": 80, "https": 443}


def obstacle(place: str, seconds: float) -> str:
    """Return why a place cannot be connected to; empty where it can."""
    parts = urlsplit(place)
    try:
        port = parts.port or PORTS[parts.scheme]
        socket.create_connection((parts.hostname or "", port), seconds).close()
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def main(input: dict[str, Any]) -> None:
    through = getproxies()
    places = [place for place in input["places"] if urlsplit(place).scheme not in through]
    with ThreadPoolExecutor(max_workers=8) as pool:
        obstacles = list(pool.map(lambda place: obstacle(place, input["seconds"]), places))
    unreached = {place: why for place, why in zip(places, obstacles) if why}  # noqa: B905
    print(json.dumps({"ok": True, "unreached": unreached}))


if __name__ == "__main__":
    main(globals()["input"])
