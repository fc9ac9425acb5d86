"""One cause as the page shows it: what is wrong, where, since when, and what to type."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fleetwheel.reporting.cause import ENDS, SharedCause
from fleetwheel.reporting.cause_list import counted_hosts, some


@dataclass(frozen=True)
class Place:
    """A host, or an environment of it, in the list of a cause."""

    name: str
    anchor: str
    environment: str
    found: str
    since: str
    new: bool


@dataclass(frozen=True)
class CauseView:
    """One cause as the page shows it."""

    id: str
    tone: str
    count: str
    title: str
    difference: str
    remedy: str
    command: str
    repairs: bool
    """Whether the command carries the remedy out; else it looks again afterwards."""
    hosts: str
    """Some of their names."""
    since: str
    new: int
    places: list[Place]


def cause_view(cause: SharedCause, at: datetime, anchors: Mapping[str, str]) -> CauseView:
    """Return what the page of a report made ``at`` shows; ``anchors`` are those of its hosts."""
    return CauseView(
        id=cause.id,
        tone={"unreachable": "gone"}.get(cause.class_, "bad" if cause.class_ in ENDS else "drift"),
        count=counted_hosts(len(cause.names)),
        title=cause.title,
        difference=cause.difference,
        remedy=cause.remedy,
        command=cause.command,
        repairs=bool(cause.action),
        hosts=some(cause.names),
        since=day(cause.since, at),
        new=len(cause.new),
        places=[
            Place(
                name=each.name,
                anchor=anchors[each.name],
                environment=each.environment,
                found=each.found,
                since=day(each.since, at),
                new=each.new,
            )
            for each in cause.hosts
        ],
    )


def day(when: datetime, at: datetime) -> str:
    """Return a date for people who look at ``at``: with the time today, else with the year."""
    if when.date() == at.date():
        return f"{when:%H:%M}"
    return f"{when:%d %b}" if when.year == at.year else f"{when:%d %b %Y}"
