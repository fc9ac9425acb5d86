"""The controller's own store of wheels: each is fetched once, checked, and kept under its hash."""

import hashlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fleetwheel.errors import FleetwheelError
from fleetwheel.files import cache_directory
from fleetwheel.sources import web
from fleetwheel.sources.address import Login, local_path, redacted
from fleetwheel.sources.remedy import file_remedy
from fleetwheel.sources.wheel import Source, Wheel, file_name

FETCH_S = 3600
"""How long one wheel may take from its source; the largest in use have 900 MB."""


def kept_at(filename: str, sha256: str) -> Path:
    """Return where the store has a wheel, if it has it."""
    return cache_directory() / "wheels" / sha256 / filename


def fetch(url: str, accepted: Collection[str], sources: Sequence[Source] = ()) -> Path:
    """Return the path of a wheel with one of the accepted SHA-256 hashes, fetched if need be.

    A wheel on this machine's own disk stays where it is. Whoever asks first in this process
    fetches; the others wait for the same file. ``sources`` lend their credentials to addresses on
    the same server. Raises FleetwheelError when the wheel does not come, or is another.
    """
    return _once(*web.with_login(url, sources), frozenset(accepted))


def fetch_listed(wheel: Wheel, sources: Sequence[Source] = ()) -> Path:
    """Return the path of a wheel with the hash that its source tells, if it tells one; as above."""
    known = {wheel.sha256} if wheel.sha256 else set()
    return fetch(wheel.url, known, wheel.own_first(sources))


def keep(url: str, login: Login = None) -> Path:
    """Return the path of a wheel whose hash is not known yet, fetched once into the store.

    Raises FleetwheelError when it does not come.
    """
    return _once(url, login, frozenset())


def measured(wheel: Wheel, sources: Sequence[Source] = ()) -> str:
    """Return the SHA-256 of a wheel whose source does not tell it, from the file itself.

    Raises FleetwheelError when the file does not come, or has not the hash that its source tells.
    """
    path = keep(*web.with_login(wheel.url, wheel.own_first(sources)))
    algorithm, _, expected = (wheel.other_hash or "").partition(":")
    if expected and _hash(path, algorithm) != expected:
        raise FleetwheelError(
            f"{redacted(wheel.url)} has another {algorithm} than its source says",
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


def _once(url: str, login: Login, accepted: frozenset[str]) -> Path:
    late = f"{file_name(url)} did not come within {FETCH_S} s"
    key = ("wheel", url, login, accepted)
    return web.once(key, partial(_fetch, url, login, accepted), FETCH_S, late).answer()


def _fetch(url: str, login: Login, accepted: Collection[str]) -> Path:
    """Return where a wheel is; without accepted hashes it may have any."""
    store = cache_directory() / "wheels"
    local = local_path(url)
    kept = [kept_at(file_name(url), hash) for hash in accepted]
    try:
        if local:
            return _require(local, accepted, local)
        for path in kept:
            if path.exists() and sha256(path) in accepted:
                return path
        return _download(url, login, accepted, store)
    except OSError as error:
        reason = error.strerror or "it cannot be read or written"
        raise FleetwheelError(
            f"{local or file_name(url)} does not get to this machine: {reason}",
            hint=f"check the disk with {local or store}, or set XDG_CACHE_HOME",
        ) from error


def _download(url: str, login: Login, accepted: Collection[str], store: Path) -> Path:
    """Fetch a wheel into the store, where it only gets with a hash that is accepted."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".") as directory:
        new = Path(directory) / file_name(url)
        try:
            web.download(url, login, new)
        except FleetwheelError as error:
            raise FleetwheelError(error.message, hint=file_remedy(error.message)) from error
        hash = sha256(_require(new, accepted, url))
        path = store / hash / new.name
        path.parent.mkdir(exist_ok=True)
        new.replace(path)
        return path


def _require(path: Path, accepted: Collection[str], place: str | Path) -> Path:
    """Return a file that is there with an accepted hash; FleetwheelError where it is another."""
    if not path.is_file():
        raise FleetwheelError(
            f"{place} is not there",
            hint="put the file back, name another under packages:, or run with --data relock=true",
        )
    if accepted and (found := sha256(path)) not in accepted:
        raise FleetwheelError(
            f"{place} is another file than the one that is asked for: its sha256 is {found}, not"
            f" {' or '.join(sorted(accepted))}",
            hint="if that is on purpose: write this hash behind it under packages:, and where a"
            " lock asks for the old one, run with --data relock=true",
        )
    return path
