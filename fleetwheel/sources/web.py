"""Reading over HTTP in bounded time: each answer once, and a silent host given up once per run."""

import re
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit

import requests
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

import fleetwheel
from fleetwheel.errors import FleetwheelError
from fleetwheel.sources.address import Login, host_of, shared_path, split_login
from fleetwheel.sources.configured import certificate, login_of, proxies
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
RETRIES = 5
"""Times that a transfer goes on without a byte more before it is given up."""
BACKOFF_S = 0.2
"""Seconds before the second of these times; each further one waits twice as long."""
CHUNK_BYTES = 2**16
"""What is written at once: a chunk that breaks off is lost."""
CONNECT_S = 2.0
READ_S = 10.0
ABSENT = (404, 410)
"""Status codes for something that is not there."""
ABSENT_IN_BUCKETS = (403, *ABSENT)
"""The same where files are kept in a bucket that shows no list, as those of the official index."""

Answer = TypeVar("Answer")


class Page(NamedTuple):
    """What a server sent for an index page."""

    content: bytes
    media_type: str
    url: str
    """Where it really came from, after redirects; without credentials."""
    charset: str = ""
    """What the server says of its encoding, if anything."""


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
    """Return the errand of this key, started by whoever asks first in this process.

    The key holds all that an answer depends on, a login too; authorities and proxy are those of
    the process.
    """
    new = BackgroundCall(function, seconds, late)
    kept = _errands.setdefault(key, new)
    if kept is new:
        new.start()
    return cast(BackgroundCall[Answer], kept)


def forget_pages() -> None:
    """Ask everything anew from now on."""
    _errands.clear()


def page(url: str, login: Login, absent: Collection[int] = ABSENT) -> Page | None:
    """Return the page at an address; None when the server says that there is none.

    ``absent`` are the status codes that say so. Raises FleetwheelError, without credentials in it,
    when there is no usable answer.
    """
    from pypi_simple import ACCEPT_ANY  # which takes long, and most runs read no page

    _require_answer(host_of(url))
    headers = {"Accept": ACCEPT_ANY}
    with _request("GET", url, login, headers=headers, stream=True) as response:
        _require_encryption(response, url)
        if response.status_code in absent:
            if not same_page(url, response.url):
                raise FleetwheelError(f"{url} leads to another page, which is not there")
            return None
        if response.status_code != 200:
            raise FleetwheelError(f"{url} answers with HTTP status {response.status_code}")
        content = _read(response, url, PAGE_BYTES)
        media_type, _, more = response.headers.get("Content-Type", "text/html").partition(";")
        charset = re.search(r"""charset=["']?([\w-]+)""", more, re.ASCII | re.IGNORECASE)
        where = split_login(response.url)[0]
        return Page(content, media_type.strip().lower(), where, charset[1] if charset else "")


def same_page(url: str, other: str) -> bool:
    """Whether two addresses end in the same name: that of a login page is another one."""
    names = (urlsplit(each).path.rstrip("/").rpartition("/")[2] for each in (url, other))
    return len({re.sub("[-_.]+", "-", unquote(name)).lower() for name in names}) == 1


def short(url: str) -> bytes:
    """Return what a server says at an address, if it is no more than ``SHORT_BYTES``.

    Raises FleetwheelError otherwise.
    """
    with _request("GET", url, None, stream=True) as response:
        return _read(response, url, SHORT_BYTES)


class NotThereError(FleetwheelError):
    """A file of which its server says that it is not there."""


def length(url: str, login: Login) -> int | None:
    """Return the bytes of a file by a HEAD request; None when the server does not say.

    Raises NotThereError.
    """
    try:
        _require_answer(host_of(url))
        with _request("HEAD", url, login, headers={"Accept-Encoding": "identity"}) as response:
            size, status = response.headers.get("Content-Length", ""), response.status_code
    except FleetwheelError:
        return None
    if status in ABSENT:
        raise NotThereError(
            f"{url} answers with HTTP status {status}",
            hint="a new lock takes what the source has now: --data relock=true",
        )
    return int(size) if status == 200 and size.isdecimal() else None


def piece(url: str, login: Login, wanted: str) -> tuple[bytes, int]:
    """Return a piece of a file, such as ``bytes=-65536``, and the length of the whole file.

    Raises FleetwheelError where the server does not send pieces.
    """
    _require_answer(host_of(url))
    headers = {"Accept-Encoding": "identity", "Range": wanted}
    with _request("GET", url, login, headers=headers, stream=True) as response:
        place = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code != 206 or not place:
            raise FleetwheelError(f"{url} does not come in pieces")
        _require_encryption(response, url)
        return _read(response, url, PAGE_BYTES), int(place[1])


def download(url: str, login: Login, path: Path) -> None:
    """Write the file at an address to a path; what breaks off goes on where it stopped.

    Raises FleetwheelError, without credentials in it, when it does not come whole.
    """
    _require_answer(host_of(url))
    path.touch()
    retry, version = Retry(total=RETRIES, backoff_factor=BACKOFF_S), ""
    while True:
        before = path.stat().st_size
        try:
            with _rest(url, login, before, version) as response:
                version = _version(response)
                return _append(response, url, path)
        except BrokenTransferError as broken:
            if path.stat().st_size > before:
                retry = Retry(total=RETRIES, backoff_factor=BACKOFF_S)
            try:
                retry = retry.increment("GET", url, error=broken)
            except MaxRetryError:
                raise broken from None
            retry.sleep()


class BrokenTransferError(FleetwheelError):
    """A transfer that ended before its end, and may do better at the next try."""


def _rest(url: str, login: Login, start: int, version: str) -> requests.Response:
    """Ask for what a file has from a byte on, if it is still the same version."""
    headers = {"Accept-Encoding": "identity"}
    if start and version:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    try:
        response = _request("GET", url, login, headers=headers, stream=True)
    except FleetwheelError as error:
        raise BrokenTransferError(str(error.args[0])) from error
    try:
        _require_file(response, url)
    except FleetwheelError:
        response.close()
        raise
    return response


def _require_file(response: requests.Response, url: str) -> None:
    """Refuse an answer that is no file; one that may be one next time is a broken transfer."""
    if response.status_code not in (200, 206):
        kind = BrokenTransferError if response.status_code >= 500 else FleetwheelError
        raise kind(f"{url} answers with HTTP status {response.status_code}")
    _require_encryption(response, url)


def _version(response: requests.Response) -> str:
    """Return the words by which a server knows this version of a file again."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _append(response: requests.Response, url: str, path: Path) -> None:
    """Write what comes behind what is there, or in its place where the server begins again."""
    try:
        with path.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                if file.tell() > WHEEL_BYTES:
                    raise FleetwheelError(f"{url} is larger than any wheel")
    except requests.RequestException as error:
        raise BrokenTransferError(f"{url} stops halfway: {_reason(error)}") from error


def _require_encryption(response: requests.Response, url: str) -> None:
    way = [host_of(step.url) for step in (*response.history, response)]
    if host_of(url).startswith("https:") and not all(step.startswith("https:") for step in way):
        raise FleetwheelError(f"{url} redirects to an address without encryption")


def with_login(url: str, sources: Iterable[Source]) -> tuple[str, Login]:
    """Return an address without credentials, and those that it is asked with.

    They are its own, or those of a source on the same server: scheme, host and port are equal. Of
    several there, that one lends them whose path has most in common with it, as pip does.
    """
    bare, login = split_login(url)
    there = [source for source in sources if host_of(source.url) == host_of(bare)]

    def near(source: Source) -> tuple[int, bool]:
        return shared_path(source.url, bare), login_of(source) is not None

    lender = max(there, key=near, default=None)
    return bare, login or (login_of(lender) if lender else None)


def _require_answer(host: str) -> None:
    """Raise FleetwheelError for a host that answers nothing; it is asked once per run."""

    def probe() -> None:
        _request("HEAD", host + "/", None, allow_redirects=False).close()

    late = f"{host} does not answer within {PROBE_S:g} s"
    once(("host", host), probe, PROBE_S, late).answer()


class _Session(requests.Session):
    """Sends a login where it belongs: requests would take one from ~/.netrc for each redirect."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the login away from a request that a redirect leads to another server."""
        url = str(prepared_request.url)
        if self.should_strip_auth(response.request.url, url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send a request as it is: without any, requests would look into ~/.netrc."""
    return request


def _request(method: str, url: str, login: Login, **options: Any) -> requests.Response:
    """Send one request; FleetwheelError, in words that hold no credentials, when it fails."""
    options.setdefault("allow_redirects", True)
    headers = {
        "User-Agent": f"fleetwheel/{fleetwheel.__version__}",
        **options.pop("headers", {}),
    }
    try:
        return _Session().request(
            method,
            url,
            auth=login or _no_login,
            headers=headers,
            timeout=(CONNECT_S, READ_S),
            verify=certificate() or True,
            proxies=proxies(),
            **options,
        )
    # requests lets some ValueErrors of others through, for addresses that cannot be one.
    except (OSError, ValueError) as error:
        heard = isinstance(error, requests.exceptions.SSLError)
        silent = isinstance(error, requests.ConnectionError | requests.Timeout) and not heard
        says = "does not answer" if silent else "gives no answer that can be used"
        raise FleetwheelError(f"{host_of(url)} {says}: {_reason(error)}") from error


def _read(response: requests.Response, url: str, most: int) -> bytes:
    content = b""
    try:
        for chunk in response.iter_content(65536):
            content += chunk
            if len(content) > most:
                raise FleetwheelError(f"{url} is larger than {most / 2**20:.1f} MB")
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
