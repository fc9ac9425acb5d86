"""What wheels say of themselves: the METADATA inside, or the copy that an index serves."""

import io
import re
import zipfile
from collections.abc import Sequence
from functools import partial
from typing import IO

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import store, web
from fleetwheel.sources.configured import local_path
from fleetwheel.sources.remote_zip import RemoteFile
from fleetwheel.sources.wheel import Source

OWN = re.compile(r"[^/]+\.dist-info/METADATA")
"""The file's place in a wheel; deeper ones belong to what the wheel brings along."""
LARGEST = 2**22
"""Bytes of METADATA that are read; real ones have some hundred thousand at most."""


def metadata(url: str, sources: Sequence[Source]) -> bytes:
    """Return the METADATA of a wheel, asked for once per process.

    A wheel on this machine is opened. Of others the index serves it by itself (PEP 658); where it
    does not, the wheel is read in pieces, and fetched whole where its server sends none.
    ``sources`` lend their credentials to addresses on the same host.
    Raises FleetwheelError where it cannot be read.
    """
    late = f"the metadata of {web.split_login(url)[0]} did not come in time"
    errand = web.once(("metadata", url), partial(_read, url, sources), store.FETCH_S, late)
    try:
        return errand.answer()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FleetwheelError(f"{web.split_login(url)[0]} is no wheel that can be read") from error


def requires_python(content: bytes) -> str | None:
    """Return what METADATA asks of the interpreter, None where it asks nothing."""
    try:
        raw, _ = parse_email(content)
        return str(SpecifierSet(raw.get("requires_python", ""))) or None
    except (ValueError, InvalidSpecifier):
        return None


def _read(url: str, sources: Sequence[Source]) -> bytes:
    path = local_path(url)
    if path is not None:
        with path.open("rb") as file:
            return _inside(file)
    bare, login = web.split_login(url)
    login = login or web.logins(sources).get(web.host_of(bare))
    try:
        page = web.page(f"{bare.partition('#')[0]}.metadata", login, web.ABSENT_IN_BUCKETS)
        if page and b"Metadata-Version:" in page.content:
            return page.content
    except FleetwheelError:
        pass  # an index that promises it and has it not: the wheel itself tells
    try:
        return _inside(io.BufferedReader(RemoteFile(bare, login), 2**16))
    except (FleetwheelError, OSError, ValueError, zipfile.BadZipFile):
        with store.keep(url, sources).open("rb") as file:
            return _inside(file)


def _inside(file: IO[bytes]) -> bytes:
    """Return METADATA of an open wheel; ValueError where it has none that can be meant."""
    with zipfile.ZipFile(file) as wheel:
        found = [m for m in wheel.infolist() if OWN.fullmatch(m.filename)]
        if len(found) != 1 or found[0].file_size > LARGEST:
            raise ValueError("no METADATA, or more than one")
        return wheel.read(found[0])
