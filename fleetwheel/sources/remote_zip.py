"""A file on a server, read in pieces: enough for the METADATA of a wheel of gigabytes."""

import io
import os
from typing import TYPE_CHECKING

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import Login

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TAIL_BYTES = 2**16
"""What is read at first: the directory of a small wheel is in it."""
MOST_BYTES = 2**26
"""Bytes that are read of one file in all; the directories of torch's wheels have 2 MB."""


class RemoteFile(io.RawIOBase):
    """A seekable file that is fetched by range requests; FleetwheelError where there are none."""

    def __init__(self, url: str, login: Login) -> None:
        self._url, self._login = url, login
        self._tail, self._length = web.piece(url, login, f"bytes=-{TAIL_BYTES}")
        self._place = 0
        self._read = 0

    def readable(self) -> bool:
        """Whether it can be read: it can."""
        return True

    def seekable(self) -> bool:
        """Whether every place of it can be read: it can."""
        return True

    def tell(self) -> int:
        """Return the place that is read next."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as of any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read as much as fits into a buffer, and return how much that is."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._length - self._place))
        content = self._piece(self._place, wanted) if wanted else b""
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

    def _piece(self, start: int, size: int) -> bytes:
        into_tail = start - (self._length - len(self._tail))
        if into_tail >= 0:
            return self._tail[into_tail : into_tail + size]
        self._read += size
        if self._read > MOST_BYTES:
            raise FleetwheelError(f"{self._url} has a directory that is larger than any wheel's")
        return web.piece(self._url, self._login, f"bytes={start}-{start + size - 1}")[0]
