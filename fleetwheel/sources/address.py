"""Addresses taken apart, in one way for all that compare them: server, login and path."""

import re
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from requests.utils import get_auth_from_url

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

Login = tuple[str, str] | None
"""User name and password."""


def host_of(url: str) -> str:
    """Return scheme, host and port of an address, as ``https://HOST``: what a login is good for.

    Without credentials, in lowercase, and without the port that the scheme has anyway.
    Raises ValueError for what is no address.
    """
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{netloc.removesuffix(DEFAULT_PORTS.get(parts.scheme, ''))}"


def is_address(url: str) -> bool:
    """Whether an address can be taken apart at all."""
    try:
        host_of(split_login(url)[0])
    except ValueError:
        return False
    return True


def split_login(url: str) -> tuple[str, Login]:
    """Return an address without its credentials, and the credentials."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return parts.geturl(), None
    login = get_auth_from_url(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, login if any(login) else None


def redacted(url: str) -> str:
    """Return an address without user name and password, its scheme forgotten or not.

    A path stays as it is, unless it begins with a name that has an ``@``.
    """
    return re.sub(r"^((?:[^/?#]*//)?)[^/?#]*@", r"\1", url)


def lacks_scheme(entry: str) -> bool:
    """Whether what stands where a path may be is an address with a login, but no ``https:``."""
    path = r"[.~/\\]|[A-Za-z]:[/\\]"
    with_scheme = r"[A-Za-z]+:/"
    return bool(re.match(rf"//.*@|(?!{path}|{with_scheme})([^/]*@|[^/]*:.*@)", entry))


def shared_path(url: str, other: str) -> int:
    """Return how many parts the paths of two addresses have in common, from the first on."""
    one, two = (urlsplit(each).path.split("/")[1:] for each in (url, other))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def is_below(url: str, base: str) -> bool:
    """Whether an address is a base or lies below it, on the same server."""
    path, prefix = [f"{urlsplit(each).path.rstrip('/')}/" for each in (url, base)]
    return host_of(url) == host_of(base) and path.startswith(prefix) and "/../" not in path


def on_network(url: str) -> bool:
    """Whether an address is one of HTTP."""
    return re.match("https?:", url, re.IGNORECASE) is not None


def local_path(url: str) -> Path | None:
    """Return the path of a source on this machine, None for one on the network."""
    if on_network(url):
        return None
    if not re.match("file:", url, re.IGNORECASE):
        return Path(url)
    parts = urlsplit(url)
    share = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
    return Path(url2pathname(share + parts.path))
