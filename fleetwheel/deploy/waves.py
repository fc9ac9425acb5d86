"""Which hosts of a roll-out go first: a few at a time, as `serial` says."""

from collections.abc import Sequence


def waves(hosts: Sequence[str], serial: Sequence[int | str]) -> list[list[str]]:
    """Return the hosts in waves, in their order.

    ``serial`` holds the size of each wave as a number or a percentage of all hosts, at least one
    host; the last size stands for all further waves. Without a size there is one wave.
    """
    left = list(hosts)
    found: list[list[str]] = []
    while left:
        size = serial[min(len(found), len(serial) - 1)] if serial else len(left)
        count = _count(size, len(hosts))
        found.append(left[:count])
        left = left[count:]
    return found


def _count(size: int | str, total: int) -> int:
    if isinstance(size, str):
        size = total * int(size.removesuffix("%")) // 100
    return max(size, 1)
