"""The times in a report, which others may have written: each has a zone, and has passed."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

CLOCKS_DIFFER = timedelta(hours=1)
"""How far the clock of who wrote a report may be ahead of ours."""


def _passed(value: datetime) -> datetime:
    try:
        utc = value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the year is out of range") from error
    if utc > datetime.now(UTC) + CLOCKS_DIFFER:
        raise ValueError(
            f"{utc:%Y-%m-%d %H:%M} UTC is in the future: a clock is wrong, there or here"
        )
    return utc


PastTime = Annotated[AwareDatetime, AfterValidator(_passed)]
"""A time in UTC. A report from the future would count as the newest for ever."""
