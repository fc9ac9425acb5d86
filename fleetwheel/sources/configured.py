"""Where wheels come from: the inventory's sources, those that pip has, the official index."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.wheel import Source

OFFICIAL_INDEX = "https://download.pytorch.org/whl"
OFFICIAL_INDEX_VARIABLE = "FLEETWHEEL_PYTORCH_INDEX"
"""Environment variable that replaces ``OFFICIAL_INDEX``, for a mirror with the same layout."""

PIP_SECTIONS = ("global", "install", ":env:")
"""The sections of pip's configuration that ``pip install`` reads; a later one overrides."""
PIP_TIMEOUT_S = 60
"""Seconds that ``pip config list`` may take."""

Layout = Literal["simple", "flat"]


def configured_sources(extra: Sequence[str] = ()) -> tuple[Source, ...]:
    """Return the inventory's sources, then those that pip on this machine is configured with.

    ``extra`` holds index addresses, ``file:`` addresses and directories. Of pip's settings come
    extra-index-url, find-links and last index-url, the order in which uv should ask them. An
    address that is named twice counts once, where it is named first. Raises FleetwheelError for
    an address that cannot be one.
    """
    inventory = [_source("inventory", entry, None) for entry in extra]
    found: dict[str, Source] = {}
    for source in [*inventory, *_pip_sources(pip_settings())]:
        found.setdefault(source.url.rstrip("/"), source)
    return tuple(found.values())


def redacted(extra: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of the inventory's sources without user names and passwords."""
    return tuple(Source(name="inventory", url=entry).redacted for entry in extra)


def official_source(variant: Variant) -> Source:
    """Return the official PyTorch index of a variant, such as ``cpu`` or ``cu130``."""
    base = os.environ.get(OFFICIAL_INDEX_VARIABLE) or OFFICIAL_INDEX
    source = _source(f"official {variant}", f"{base.rstrip('/')}/{variant}/")
    return source.model_copy(update={"variant": variant})


def certificate() -> str | None:
    """Return the file of CA certificates that pip is configured with, if it is."""
    path = pip_settings().get("cert")
    if path and not Path(path).exists():
        raise FleetwheelError(
            f"the CA certificates that pip is configured with are not there: {path}",
            hint="set pip's `cert` to a file that exists: pip config set global.cert FILE",
        )
    return path


def uv_credentials(sources: Sequence[Source]) -> dict[str, str]:
    """Return the environment that gives uv the user names and passwords of sources.

    uv leaves them out of locks; they reach it by environment, never by command line or file.
    """
    secret = [source.url for source in sources if source.url != source.redacted]
    return {"UV_INDEX": " ".join(secret)} if secret else {}


@cache
def pip_settings() -> Mapping[str, str]:
    """Return what ``pip install`` on this machine is configured with, environment included.

    pip itself merges its files; without pip there are no settings. Values are as written: several
    entries are separated by white space. Raises FleetwheelError when pip cannot read its files.
    """
    return parse_pip_settings(pip_config_list())


def pip_config_list() -> str:
    """Return what ``pip config list`` prints; nothing without pip. FleetwheelError as above."""
    pip = _pip_command()
    if pip is None:
        return ""
    # A quiet pip, by file or by variable, would print nothing.
    environment = {**os.environ, "PIP_QUIET": "0", "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            [*pip, "config", "list"],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PIP_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FleetwheelError(
            "the configuration of pip on this machine cannot be read",
            hint=f"see what `{' '.join(pip)} config list` says",
        ) from error
    return done.stdout


def parse_pip_settings(text: str) -> dict[str, str]:
    """Merge the lines of ``pip config list`` as ``pip install`` does; empty values do not count."""
    settings: dict[str, dict[str, str]] = {section: {} for section in PIP_SECTIONS}
    for section, key, value in _pip_lines(text):
        if value:
            settings[section][key] = value
    return {key: value for section in PIP_SECTIONS for key, value in settings[section].items()}


def local_path(url: str) -> Path | None:
    """Return the path of a source on this machine, None for one on the network."""
    if url.lower().startswith(("http:", "https:")):
        return None
    if not url.lower().startswith("file:"):
        return Path(url)
    parts = urlsplit(url)
    share = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
    return Path(url2pathname(share + parts.path))


def _pip_command() -> list[str] | None:
    if find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    found = shutil.which("pip")
    return [found] if found else None


def _pip_lines(text: str) -> Iterator[tuple[str, str, str]]:
    sections = "|".join(PIP_SECTIONS)
    for line in re.finditer(rf"^({sections})\.([\w-]+)=(.*)$", text, re.MULTILINE):
        section, key, written = line.groups()
        try:
            yield section, key, str(ast.literal_eval(written)).strip()
        except (ValueError, SyntaxError):
            continue


def _pip_sources(settings: Mapping[str, str]) -> Iterator[Source]:
    without_index = settings.get("no-index", "").lower() in ("1", "true", "yes", "on", "y", "t")
    if not without_index:
        for entry in settings.get("extra-index-url", "").split():
            yield _source("pip extra-index-url", entry)
    for entry in settings.get("find-links", "").split():
        yield _source("pip find-links", entry, "flat")
    if not without_index:
        yield _source("pip index-url", settings.get("index-url", PYPI_SIMPLE_ENDPOINT))


def _layout(entry: str) -> Layout:
    """Tell an index from a page or directory of wheels, for an entry that only has an address."""
    path = local_path(entry)
    if urlsplit(entry).path.lower().endswith((".html", ".htm")):
        return "flat"
    if path is None:
        return "simple"
    is_index = entry.lower().startswith("file:") and not any(path.glob("*.whl"))
    return "simple" if is_index else "flat"


def _source(name: str, entry: str, layout: Layout | None = "simple") -> Source:
    """Return a source with a sound address, a directory made absolute; None tells the layout."""
    try:
        parts = urlsplit(entry)
        on_network = parts.scheme in ("http", "https")
        sound = parts.hostname if on_network else parts.scheme == "file" or "://" not in entry
        if not (sound and entry.strip() and entry.isprintable()) or parts.port == 0:
            raise ValueError
        if not on_network and parts.scheme != "file":
            entry = str(Path(entry).expanduser().absolute())
        return Source(name=name, url=entry, layout=layout or _layout(entry))
    except (ValueError, RuntimeError, OSError) as error:
        shown = "an address with credentials" if "@" in entry else repr(entry)
        raise FleetwheelError(
            f"{name}: {shown} is neither the address of a wheel index nor a directory",
            hint="write https://HOST/simple/, file:///DIRECTORY or the path of a directory",
        ) from error
