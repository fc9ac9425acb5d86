"""What wheels say of themselves: the METADATA inside, or the copy that an index serves."""

import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import store, web
from fleetwheel.sources.address import Login, local_path, redacted
from fleetwheel.sources.remote_zip import RemoteFile
from fleetwheel.sources.wheel import Source, Wheel

OWN = re.compile(r"[^/]+\.dist-info/METADATA")
"""The file's place in a wheel; deeper ones belong to what the wheel brings along."""
LARGEST = 2**22
"""Bytes of METADATA that are read; real ones have some hundred thousand at most."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How a wheel may pack it: other ways unpack without a limit."""


def metadata(wheel: Wheel, sources: Sequence[Source]) -> bytes:
    """Return the METADATA of a wheel, asked for once per process.

    A wheel on this machine is opened. Of others the index serves it by itself (PEP 658); where it
    does not, the wheel is read in pieces, and fetched whole where its server sends none.
    ``sources`` lend their credentials to addresses on the same server.
    Raises FleetwheelError where it cannot be read, or is not what the page of the index says.
    """
    shown = redacted(wheel.url)
    late = f"the metadata of {shown} did not come in time"
    try:
        bare, login = web.with_login(wheel.url, wheel.own_first(sources))
        key = ("metadata", bare, login, wheel.metadata_hash)
        errand = web.once(key, partial(_read, wheel, bare, login), store.FETCH_S, late)
        return errand.answer()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FleetwheelError(f"{shown} is no wheel that can be read") from error


def metadata_inside(path: Path) -> bytes:
    """Return the METADATA of a wheel on this machine; ValueError or BadZipFile without one."""
    with path.open("rb") as file:
        return _inside(file)


def requires_python(content: bytes) -> str | None:
    """Return what METADATA asks of the interpreter, None where it asks nothing."""
    try:
        raw, _ = parse_email(content)
        return str(SpecifierSet(raw.get("requires_python", ""))) or None
    except (ValueError, InvalidSpecifier):
        return None


def _read(wheel: Wheel, url: str, login: Login) -> bytes:
    path = local_path(url)
    if path is not None:
        return metadata_inside(path)
    if (content := _beside(wheel, url, login)) is not None:
        return content
    try:
        return _inside(io.BufferedReader(RemoteFile(url, login), 2**16))
    except (FleetwheelError, OSError, ValueError, zipfile.BadZipFile):
        return metadata_inside(store.keep(url, login))


def _beside(wheel: Wheel, url: str, login: Login) -> bytes | None:
    """Return the copy of METADATA that an index serves; None where it serves none.

    Raises FleetwheelError for one with another hash than the page says, as pip does: dependencies
    that somebody else wrote would be installed.
    """
    place = f"{url.partition('#')[0]}.metadata"
    try:
        page = web.page(place, login, web.ABSENT_IN_BUCKETS)
    except FleetwheelError:
        return None  # an index that promises it and has it not: the wheel itself tells
    if page is None or b"Metadata-Version:" not in page.content:
        return None
    algorithm, _, expected = (wheel.metadata_hash or "").partition(":")
    if expected and hashlib.new(algorithm, page.content).hexdigest() != expected:
        raise FleetwheelError(f"{place} has another {algorithm} than its index says")
    return page.content


def _inside(file: IO[bytes]) -> bytes:
    """Return METADATA of an open wheel; ValueError where it has none that can be meant."""
    with zipfile.ZipFile(file) as wheel:
        found = [m for m in wheel.infolist() if OWN.fullmatch(m.filename)]
        if len(found) != 1 or found[0].compress_type not in PACKED:
            raise ValueError("no METADATA, or more than one")
        with wheel.open(found[0]) as member:
            content = member.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError("METADATA larger than that of any wheel")
    return content
