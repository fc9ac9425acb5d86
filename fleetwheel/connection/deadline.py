"""A limit of time for what paramiko would wait for without one."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError where the block takes longer; 0 and None are no limit.

    Inside the block it is gevent's own exception: paramiko goes on after a TimeoutError.
    """
    timer = gevent.Timeout(seconds or None)
    try:
        with timer:
            yield
    except gevent.Timeout as error:
        if error is not timer:
            raise
        raise TimeoutError(f"not done within {seconds} s") from None
