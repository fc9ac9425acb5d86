"""Where wheels come from: the inventory's sources, those that pip has, the official index."""

import ast
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.address import (
    Login,
    host_of,
    is_below,
    lacks_scheme,
    local_path,
    on_network,
    redacted,
    split_login,
)
from fleetwheel.sources.wheel import Source
from fleetwheel.value import Value

OFFICIAL_INDEX = "https://download.pytorch.org/whl"
OFFICIAL_INDEX_VARIABLE = "FLEETWHEEL_PYTORCH_INDEX"
"""Environment variable that replaces ``OFFICIAL_INDEX``, for a mirror with the same layout."""

PIP_SECTIONS = ("global", "install", ":env:")
"""The sections of pip's configuration that ``pip install`` reads; a later one overrides."""
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Red Hat, SUSE, and macOS or Alpine keep the authorities that the system trusts."""
UNFOLLOWED = {
    "no-binary": "only wheels are locked",
    "pre": "pin a pre-release by its version",
    "uploaded-prior-to": "newer files are taken as well",
    "keyring-provider": "put user name and password into the address of the source",
    "client-cert": "no source is shown a certificate of this machine",
    "trusted-host": "certificates are checked: give pip the authority with `cert`",
}
"""Settings of pip that change what it finds and that no lock follows, and what to know of each."""
OFF = ("", "0", "false", "no", "off", "n", "f", "disabled", "auto", ":none:")
PIP_TIMEOUT_S = 60
"""Seconds that ``pip config list`` may take."""

Layout = Literal["simple", "flat"]


class OwnSource(Value):
    """A source of the inventory."""

    url: str
    """An index, a ``file:`` address or a directory."""
    packages: tuple[str, ...] = ()
    """Names that come from there or not at all, ``*`` for any letters; empty: it serves all."""


class OwnSources(Value):
    """What the inventory says of sources."""

    sources: tuple[OwnSource, ...] = ()
    optional: tuple[str, ...] = ()
    """Addresses of sources, pip's too, that may be passed over when they give no answer."""

    @property
    def redacted(self) -> tuple[str, ...]:
        """Each source in one line, without user name and password."""
        shown = [(redacted(source.url), source.packages) for source in self.sources]
        return tuple(f"{url} for {','.join(names)}" if names else url for url, names in shown)

    @property
    def optional_redacted(self) -> tuple[str, ...]:
        """The optional ones, without user name and password, sorted."""
        return tuple(sorted({redacted(url).rstrip("/") for url in self.optional}))


def configured_sources(own: OwnSources | None = None) -> tuple[Source, ...]:
    """Return the inventory's sources, then those that pip on this machine is configured with.

    Of pip's settings come extra-index-url, find-links and last index-url, the order in which a
    name is looked for. An address that is named twice counts once, where it is named first. Raises
    FleetwheelError for an address that cannot be one.
    """
    own = own or OwnSources()
    optional = own.optional_redacted
    inventory = [
        _source("inventory", each.url, None).model_copy(
            update={"packages": tuple(map(name_pattern, each.packages))}
        )
        for each in own.sources
    ]
    found: dict[tuple[str, tuple[str, ...]], Source] = {}
    for source in [*inventory, *_pip_sources(pip_settings())]:
        passed_over = source.optional or source.redacted.rstrip("/") in optional
        new = source.model_copy(update={"optional": passed_over})
        found.setdefault((source.url.rstrip("/"), source.packages), new)
    return tuple(found.values())


def name_pattern(text: str) -> str:
    """Return a pattern of project names in normalized form; ValueError for what is none."""
    if not re.fullmatch(r"[A-Za-z0-9*]([A-Za-z0-9._*-]*[A-Za-z0-9*])?", text, re.ASCII):
        raise ValueError(f"{text!r} is no name of a package, nor a pattern such as acme-*")
    return re.sub(r"[-_.]+", "-", text).lower()


def official_source(variant: Variant) -> Source:
    """Return the official PyTorch index of a variant, such as ``cpu`` or ``cu130``."""
    base = os.environ.get(OFFICIAL_INDEX_VARIABLE) or OFFICIAL_INDEX
    source = _source(f"official {variant}", f"{base.rstrip('/')}/{variant}/")
    return source.model_copy(update={"variant": variant})


def is_official(source: Source) -> bool:
    """Whether a source is the official PyTorch index, or the mirror that stands for it."""
    bases = (OFFICIAL_INDEX, os.environ.get(OFFICIAL_INDEX_VARIABLE) or OFFICIAL_INDEX)
    return source.variant is not None or any(is_below(source.url, base) for base in bases)


def certificate() -> str | None:
    """Return the file of CA certificates by which wheel sources are checked, everywhere.

    It is found in the order of pip 24.2 and newer: pip's own ``cert``, the variables that requests
    and OpenSSL know, the system's store. None where there is none of them: then each program has
    its own. Raises FleetwheelError for a file that is named and is not there.
    """
    named = {f"pip's cert ({path})": path for path in [pip_settings().get("cert")] if path}
    named |= {f"{name} ({path})": path for name in BUNDLE_VARIABLES if (path := os.getenv(name))}
    for said, path in named.items():
        if not Path(path).is_file():
            raise FleetwheelError(
                f"the CA certificates of {said} are not in a file there",
                hint="name a file in PEM format that exists: pip config set global.cert FILE",
            )
        return path
    system = (ssl.get_default_verify_paths().cafile, *SYSTEM_BUNDLES)
    return next((path for path in system if path and Path(path).is_file()), None)


def proxies() -> dict[str, str]:
    """Return what pip reaches the network through, by scheme; empty where it names none."""
    proxy = pip_settings().get("proxy")
    return {"http": proxy, "https": proxy} if proxy else {}


def login_of(source: Source) -> Login:
    """Return the login that this machine asks a source with: of its address, or of ~/.netrc.

    pip reads that file too. What stands there for a machine by name is used for the source alone,
    not for other ports or for where a page leads to, and no host gets it.
    """
    url, login = split_login(source.url)
    if login or not on_network(url):
        return login
    try:
        file = os.environ.get("NETRC") or Path("~/.netrc").expanduser()
        user, _, password = netrc(file).hosts[str(urlsplit(url).hostname)]
    except (OSError, RuntimeError, LookupError, NetrcParseError, UnicodeDecodeError):
        return None
    return user, password


def uv_credentials(sources: Sequence[Source], urls: Iterable[str]) -> dict[str, str]:
    """Return the environment that gives uv user names and passwords for what a host fetches.

    ``urls`` are the addresses of the wheels: the passwords of other sources stay here. uv leaves
    them out of locks; they reach it by environment, never by command line or file.
    """
    places = {host_of(url) for url in urls}
    secret = [s.url for s in sources if s.url != s.redacted and host_of(s.url) in places]
    return {"UV_INDEX": " ".join(secret)} if secret else {}


def unfollowed() -> str | None:
    """Return one sentence on what pip is told that a lock does not follow; None without such."""
    settings = pip_settings()
    found = [key for key in UNFOLLOWED if settings.get(key, "").lower() not in OFF]
    if not found:
        return None
    one = f"pip on this machine is configured with {', '.join(found)}, which locks do not follow"
    return f"{one}: {'; '.join(UNFOLLOWED[key] for key in found)}"


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
        index = _source("pip index-url", settings.get("index-url") or default_index())
        yield index.model_copy(update={"optional": "index-url" not in settings})


def default_index() -> str:
    """Return the index that pip takes where nobody configured one."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    return PYPI_SIMPLE_ENDPOINT


def _layout(entry: str) -> Layout:
    """Tell an index from a page or directory of wheels, for an entry that only has an address."""
    path = local_path(entry)
    if urlsplit(entry).path.lower().endswith((".html", ".htm")):
        return "flat"
    if path is None:
        return "simple"
    is_index = re.match("file:", entry, re.IGNORECASE) and not any(path.glob("*.whl"))
    return "simple" if is_index else "flat"


def _source(name: str, entry: str, layout: Layout | None = "simple") -> Source:
    """Return a source with a sound address, a directory made absolute; None tells the layout."""
    if lacks_scheme(entry):
        raise FleetwheelError(
            f"{name}: an address with a login begins with https://, and this one does not",
            hint="write https://USER:PASSWORD@HOST/simple/; for a directory, ./NAME@NAME",
        )
    try:
        parts = urlsplit(entry)
        remote = on_network(entry)
        sound = parts.hostname if remote else parts.scheme == "file" or "://" not in entry
        if not (sound and entry.strip() and entry.isprintable()) or parts.port == 0:
            raise ValueError
        if remote and "@" in f"{parts.path}?{parts.query}#{parts.fragment}":
            raise ValueError  # a password with such a letter looks the same
        if not remote and parts.scheme != "file":
            entry = str(Path(entry).expanduser().absolute())
        return Source(name=name, url=entry, layout=layout or _layout(entry))
    except (ValueError, RuntimeError, OSError) as error:
        shown = "an address with credentials" if "@" in entry else repr(entry)
        raise FleetwheelError(
            f"{name}: {shown} is neither the address of a wheel index nor a directory",
            hint="write https://HOST/simple/, file:///DIRECTORY or the path of a directory;"
            " / ? # @ in a password are %2F %3F %23 %40",
        ) from error
