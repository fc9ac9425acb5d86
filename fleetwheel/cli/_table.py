"""Tables for people; text from hosts is shown, never interpreted."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fleetwheel.reporting.report import printable

UNBROKEN = ("driver", "state", "free disk", "last release")
"""Columns of short words, which stay on one line."""


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns in which nothing stands are left out."""
    if not rows:
        return
    kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i in kept:
        table.add_column(headings[i], overflow="fold", no_wrap=headings[i] in UNBROKEN)
    for row in rows:
        table.add_row(*(escape(printable(row[i])) for i in kept))
    Console(highlight=False).print(table)
