"""The controller's own store of wheels: each is fetched once, checked, and kept under its hash."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.configured import local_path
from fleetwheel.sources.wheel import Source, Wheel, file_name

FETCH_S = 3600
"""How long one wheel may take from its source; the largest in use have 900 MB."""


def cache_directory() -> Path:
    """Return fleetwheel's directory among the user's caches (XDG base directories)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "fleetwheel"


def fetch(url: str, accepted: Collection[str], sources: Sequence[Source] = ()) -> Path:
    """Return the path of a wheel with one of the accepted SHA-256 hashes, fetched if need be.

    A wheel on this machine's own disk stays where it is. Whoever asks first in this process
    fetches; the others wait for the same file. ``sources`` lend their credentials to addresses on
    the same host. Raises FleetwheelError when the wheel does not come, or is another.
    """
    late = f"{file_name(url)} did not come within {FETCH_S} s"
    key = ("wheel", url, frozenset(accepted))
    return web.once(key, partial(_fetch, url, accepted, sources), FETCH_S, late).answer()


def keep(url: str, sources: Sequence[Source] = ()) -> Path:
    """Return the path of a wheel whose hash is not known yet, fetched once into the store.

    Raises FleetwheelError when it does not come.
    """
    late = f"{file_name(url)} did not come within {FETCH_S} s"
    return web.once(("wheel", url), partial(_fetch, url, (), sources), FETCH_S, late).answer()


def measured(wheel: Wheel, sources: Sequence[Source] = ()) -> str:
    """Return the SHA-256 of a wheel whose source does not tell it, from the file itself.

    Raises FleetwheelError when the file does not come, or has not the hash that its source tells.
    """
    path = keep(wheel.url, sources)
    algorithm, _, expected = (wheel.other_hash or "").partition(":")
    if expected and _hash(path, algorithm) != expected:
        raise FleetwheelError(
            f"{web.split_login(wheel.url)[0]} has another {algorithm} than its source says",
            hint="the wheel was changed or damaged there: ask who keeps the source",
        )
    return sha256(path)


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    return _hash(path, "sha256")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a new name beside a path; what is written there takes the path's place at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as directory:
        new = Path(directory) / path.name
        yield new
        new.replace(path)


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm)).hexdigest()


def _fetch(url: str, accepted: Collection[str], sources: Sequence[Source]) -> Path:
    """Return where a wheel is; without accepted hashes it may have any."""
    store = cache_directory() / "wheels"
    local = local_path(url)
    kept = [local] if local else [store / hash / file_name(url) for hash in accepted]
    try:
        for path in kept:
            if path.exists() and (not accepted or sha256(path) in accepted):
                return path
        return _download(url, accepted, sources, store)
    except OSError as error:
        reason = error.strerror or "it cannot be read or written"
        raise FleetwheelError(
            f"{file_name(url)} does not get to this machine: {reason}",
            hint=f"check the disk with {store}, or set XDG_CACHE_HOME",
        ) from error


def _download(url: str, accepted: Collection[str], sources: Sequence[Source], store: Path) -> Path:
    """Fetch a wheel into the store, where it only gets with a hash that is accepted."""
    if local_path(url):
        raise _other(url)
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".") as directory:
        new = Path(directory) / file_name(url)
        bare, login = web.split_login(url)
        web.download(bare, login or web.logins(sources).get(web.host_of(bare)), new)
        hash = sha256(new)
        if accepted and hash not in accepted:
            raise _other(url)
        path = store / hash / new.name
        path.parent.mkdir(exist_ok=True)
        new.replace(path)
        return path


def _other(url: str) -> FleetwheelError:
    return FleetwheelError(
        f"{web.split_login(url)[0]} is not there, or is another file than the one that was locked",
        hint="a wheel or the lock was changed: run with --data relock=true",
    )
