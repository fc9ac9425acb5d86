"""Tables for people; text from hosts is shown, never interpreted."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fleetwheel.terminal import printable

WIDE = 110
"""Columns from which on the reasons have room in the table."""
REASONS = ("why", "what would keep it")
"""Headings of columns that hold sentences."""
NAMES = ("environment",)
"""Headings of columns that say, beside the first, what a row is about."""
UNBROKEN = (
    *("environment", "result", "torch", "python", "smoke", "driver", "state", "free disk"),
    *("last release", "setting", "from"),
)
"""Headings of columns that hold short words, which stay on one line."""


def print_rows(
    headings: Sequence[str], rows: Sequence[Sequence[str | Text]], console: Console
) -> None:
    """Print a table; columns in which nothing stands are left out.

    Where the lines are short, the reasons stand below the table instead of in it: each once, with
    the names of its rows.
    """
    filled = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    below = [i for i in filled if headings[i] in REASONS and console.width < WIDE]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i in filled:
        if i not in below:
            table.add_column(headings[i], overflow="fold", no_wrap=headings[i] in UNBROKEN)
    for row in rows:
        table.add_row(*(_cell(row[i]) for i in filled if i not in below))
    if rows:
        console.print(table)
    named = [i for i in filled if i == 0 or headings[i] in NAMES]
    for why, names in _reasons(rows, named, {i: headings[i] for i in below}).items():
        text = printable(f"{', '.join(names)}: {why}").replace("\n", "\n  ")
        console.print(escape(f"\n{text}"), soft_wrap=True, highlight=False)


def _cell(cell: str | Text) -> str | Text:
    return cell if isinstance(cell, Text) else escape(printable(cell))


def _reasons(
    rows: Sequence[Sequence[str | Text]], named: Sequence[int], columns: Mapping[int, str]
) -> dict[str, list[str]]:
    """Return every reason with the names of the rows that have it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        said = {heading: str(row[i]) for i, heading in columns.items() if row[i]}
        lines = [text if name == "why" else f"{name}: {text}" for name, text in said.items()]
        if lines:
            found.setdefault("\n".join(lines), []).append(
                " ".join(str(row[i]) for i in named if row[i])
            )
    return found
