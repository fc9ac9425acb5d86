"""What wheels say of themselves: the METADATA inside, or the copy that an index serves."""

import zipfile
from collections.abc import Sequence
from functools import partial

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.configured import local_path
from fleetwheel.sources.wheel import Source

LARGEST = 2**22
"""Bytes of METADATA that are read; real ones have some hundred thousand at most."""


def requires_python(urls: Sequence[str], sources: Sequence[Source]) -> dict[str, str]:
    """Return what each wheel asks of the interpreter, as far as it can be read without fetching it.

    Wheels on this machine are opened; of others the index serves the metadata by itself (PEP 658).
    ``sources`` lend their credentials to addresses on the same host.
    """
    logins = web.logins(sources)
    seconds = web.PROBE_S + web.READ_S
    errands = {
        url: web.once(
            ("metadata", url), partial(_read, url, logins), seconds, "no metadata in time"
        )
        for url in urls
    }
    found = {url: _asked(errand) for url, errand in errands.items()}
    return {url: asked for url, asked in found.items() if asked}


def _read(url: str, logins: dict[str, web.Login]) -> bytes:
    path = local_path(url)
    if path is None:
        bare, login = web.split_login(url)
        page = web.page(
            f"{bare.partition('#')[0]}.metadata", login or logins.get(web.host_of(bare))
        )
        return page.content if page else b""
    with zipfile.ZipFile(path) as wheel:
        member = next(
            (m for m in wheel.infolist() if m.filename.endswith(".dist-info/METADATA")), None
        )
        return wheel.read(member) if member and member.file_size <= LARGEST else b""


def _asked(errand: web.BackgroundCall[bytes]) -> str | None:
    try:
        raw, _ = parse_email(errand.answer())
        return str(SpecifierSet(raw.get("requires_python", "")))
    except (FleetwheelError, OSError, ValueError, zipfile.BadZipFile, InvalidSpecifier):
        return None
