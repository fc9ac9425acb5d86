"""Causes for people at a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from fleetwheel.reporting.cause import SharedCause
from fleetwheel.terminal import printable

SHOWN = 8
"""Hosts that a line names."""


def print_causes(causes: Sequence[SharedCause], console: Console) -> None:
    """Print each cause with its hosts, what ends it, and what to type."""
    for cause in causes:
        head = f"\n{counted_hosts(len(cause.names))}: {cause.title} ({some(cause.names)})"
        about = [cause.difference, cause.remedy, since(cause)]
        console.print(Text(printable(head), style="bold"), soft_wrap=True)
        for line in filter(None, about):
            text = printable(f"  {line}").replace("\n", "\n  ")
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        if cause.command:
            text = printable(f"  {cause.command}")
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def since(cause: SharedCause) -> str:
    """Return since when a cause is known, and for which hosts it is new."""
    known = f"since {cause.since:%Y-%m-%d %H:%M} UTC"
    return f"{known}; new: {some(cause.new)}" if cause.new else known


def counted_hosts(count: int) -> str:
    """Return ``1 host`` or ``2 hosts``."""
    return f"{count} host{'s' * (count != 1)}"


def some(names: Sequence[str]) -> str:
    """Return names, after some of them how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
