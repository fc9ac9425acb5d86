"""Reading over HTTP in bounded time: each answer once, and a silent host given up once per run."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import requests
from pypi_simple import ACCEPT_ANY

import fleetwheel
from fleetwheel.errors import FleetwheelError
from fleetwheel.sources.configured import certificate
from fleetwheel.sources.wheel import Source

PROBE_S = 5.0
"""How long a host may take to answer anything at all, name resolution included."""
PAGE_S = 30.0
"""How long one page may take from a host that answers."""
PAGE_BYTES = 16 * 2**20
"""The largest page that is read, unpacked; the biggest ones in use have 4 MB."""
SHORT_BYTES = 2**18
"""What a server may say of itself."""
WHEEL_BYTES = 8 * 2**30
"""More than twice the largest wheel of torch: what goes on after that has no end."""
CONNECT_S = 2.0
READ_S = 10.0
ABSENT = (403, 404, 410)
"""Status codes for something that is not there; the official index says 403."""

Answer = TypeVar("Answer")
Login = tuple[str, str] | None
"""User name and password."""


class Page(NamedTuple):
    """What a server sent for an index page."""

    content: bytes
    media_type: str
    url: str
    """Where it really came from, after redirects; without credentials."""


class BackgroundCall(Generic[Answer]):
    """A function at work in a thread of its own, whose answer is waited for until a deadline.

    The thread is a daemon: one that hangs delays neither its caller nor the end of the program.
    """

    def __init__(self, function: Callable[[], Answer], seconds: float, late: str) -> None:
        self._function = function
        self._late = late
        self._future: Future[Answer] = Future()
        self._deadline = time.monotonic() + seconds

    def start(self) -> None:
        """Begin; the answer, or the exception, is kept."""
        threading.Thread(target=self._run, daemon=True).start()

    def answer(self) -> Answer:
        """Wait for the answer; FleetwheelError with the text ``late`` after the deadline."""
        try:
            return self._future.result(max(0.0, self._deadline - time.monotonic()))
        except TimeoutError as error:
            raise FleetwheelError(self._late) from error

    def _run(self) -> None:
        try:
            self._future.set_result(self._function())
        except Exception as error:
            self._future.set_exception(error)


_errands: dict[Hashable, BackgroundCall[Any]] = {}


def once(
    key: Hashable, function: Callable[[], Answer], seconds: float, late: str
) -> BackgroundCall[Answer]:
    """Return the errand of this key, started by whoever asks first in this process."""
    new = BackgroundCall(function, seconds, late)
    kept = _errands.setdefault(key, new)
    if kept is new:
        new.start()
    return cast(BackgroundCall[Answer], kept)


def forget_pages() -> None:
    """Ask everything anew from now on."""
    _errands.clear()


def split_login(url: str) -> tuple[str, Login]:
    """Return an address without its credentials, and the credentials."""
    login = requests.utils.get_auth_from_url(url)
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, login if any(login) else None


def host_of(url: str) -> str:
    """Return scheme, host and port of an address, without credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def page(url: str, login: Login) -> Page | None:
    """Return the page at an address; None when the server says that there is none.

    Raises FleetwheelError, without credentials in it, when there is no usable answer.
    """
    _require_answer(host_of(url))
    headers = {"Accept": ACCEPT_ANY}
    with _request("GET", url, login, headers=headers, stream=True) as response:
        if response.status_code in ABSENT:
            return None
        if response.status_code != 200:
            raise FleetwheelError(f"{url} answers with HTTP status {response.status_code}")
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise FleetwheelError(f"{url} redirects to an address without encryption")
        content = _read(response, url)
        media_type = response.headers.get("Content-Type", "text/html").partition(";")[0]
        return Page(content, media_type.strip().lower(), split_login(response.url)[0])


def short(url: str) -> bytes:
    """Return what a server says at an address, if it is no more than ``SHORT_BYTES``.

    Raises FleetwheelError otherwise.
    """
    with _request("GET", url, None, stream=True) as response:
        return _read(response, url, SHORT_BYTES)


def length(url: str, login: Login) -> int | None:
    """Return the bytes of a file by a HEAD request; None when the server does not say."""
    try:
        _require_answer(host_of(url))
        with _request("HEAD", url, login, headers={"Accept-Encoding": "identity"}) as response:
            size = response.headers.get("Content-Length", "")
            return int(size) if response.status_code == 200 and size.isdecimal() else None
    except FleetwheelError:
        return None


def download(url: str, login: Login, path: Path) -> None:
    """Write the file at an address to a path.

    Raises FleetwheelError, without credentials in it, when it does not come whole.
    """
    _require_answer(host_of(url))
    headers = {"Accept-Encoding": "identity"}
    with _request("GET", url, login, headers=headers, stream=True) as response:
        if response.status_code != 200:
            raise FleetwheelError(f"{url} answers with HTTP status {response.status_code}")
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise FleetwheelError(f"{url} redirects to an address without encryption")
        try:
            with path.open("wb") as file:
                for chunk in response.iter_content(2**20):
                    file.write(chunk)
                    if file.tell() > WHEEL_BYTES:
                        raise FleetwheelError(f"{url} is larger than any wheel")
        except requests.RequestException as error:
            raise FleetwheelError(f"{url} stops halfway: {_reason(error)}") from error


def logins(sources: Iterable[Source]) -> dict[str, Login]:
    """Return the credentials of each host that a source has some for."""
    return {host_of(s.url): split_login(s.url)[1] for s in sources if "@" in s.url}


def _require_answer(host: str) -> None:
    """Raise FleetwheelError for a host that answers nothing; it is asked once per run."""

    def probe() -> None:
        _request("HEAD", host + "/", None, allow_redirects=False).close()

    late = f"{host} does not answer within {PROBE_S:g} s"
    once(("host", host), probe, PROBE_S, late).answer()


def _request(method: str, url: str, login: Login, **options: Any) -> requests.Response:
    """Send one request; FleetwheelError, in words that hold no credentials, when it fails."""
    options.setdefault("allow_redirects", True)
    headers = {
        "User-Agent": f"fleetwheel/{fleetwheel.__version__}",
        **options.pop("headers", {}),
    }
    try:
        return requests.request(
            method,
            url,
            auth=login,
            headers=headers,
            timeout=(CONNECT_S, READ_S),
            verify=certificate() or True,
            **options,
        )
    # requests lets some ValueErrors of others through, for addresses that cannot be one.
    except (OSError, ValueError) as error:
        silent = isinstance(error, requests.ConnectionError | requests.Timeout)
        says = "does not answer" if silent else "gives no answer that can be used"
        raise FleetwheelError(f"{host_of(url)} {says}: {_reason(error)}") from error


def _read(response: requests.Response, url: str, most: int = PAGE_BYTES) -> bytes:
    content = b""
    try:
        for chunk in response.iter_content(65536):
            content += chunk
            if len(content) > most:
                raise FleetwheelError(f"{url} is larger than {most / 2**20:g} MB")
    except OSError as error:
        raise FleetwheelError(f"{url} stops halfway: {_reason(error)}") from error
    return content


def _reason(error: BaseException) -> str:
    """Return the operating system's word for what went wrong; other texts may hold an address."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, TimeoutError):
        return "it takes too long"
    return getattr(error, "strerror", None) or type(error).__name__
