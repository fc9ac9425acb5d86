"""The redistributable of Visual C++: fetched once to this machine, and checked by its hash."""

from functools import partial
from pathlib import Path

from fleetwheel.errors import FleetwheelError
from fleetwheel.files import cache_directory
from fleetwheel.sources import store, web

FETCH_S = 600
"""It has 25 MB."""


def redistributable(url: str, sha256: str) -> Path:
    """Return the path of a redistributable; it is fetched once in this process.

    + url: address, or path on this machine

    Raises FleetwheelError when it does not come, or is another.
    """
    late = f"{url} did not come within {FETCH_S} s"
    key = ("redistributable", url, sha256)
    return web.once(key, partial(_fetch, url, sha256), FETCH_S, late).answer()


def _fetch(url: str, sha256: str) -> Path:
    try:
        if url.startswith("/"):
            return _require(Path(url), url, sha256)
        kept = cache_directory() / "redistributables" / f"{sha256}.exe"
        if not kept.exists():
            with store.beside(kept) as new:
                web.download(url, None, new)
                _require(new, url, sha256)
        return _require(kept, url, sha256)
    except OSError as error:
        raise FleetwheelError(f"{url} does not get to this machine: {error.strerror}") from error


def _require(path: Path, url: str, sha256: str) -> Path:
    found = store.sha256(path)
    if found != sha256:
        raise FleetwheelError(
            f"{url} is another file than the inventory asks for: its sha256 is {found}",
            hint="Microsoft replaces the file behind this address with each release: look whose it"
            " is, and write its hash into the inventory",
        )
    return path
