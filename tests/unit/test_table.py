"""Tables for people, on wide terminals and on narrow ones."""

import io

from rich.console import Console
from rich.text import Text

from fleetwheel.reporting.table import print_rows

HEADINGS = ("host", "result", "why", "never", "what would keep it")
LONG = "the host needs a driver that is newer than the one that it has by quite a lot"
ROWS = [
    ("a", Text("failed", style="red"), LONG, "", "driver 580"),
    ("b", Text("clean", style="green"), "", "", ""),
    ("[red]c\x1b[2J", Text("failed", style="red"), LONG, "", "driver 580"),
]


def printed(width: int) -> str:
    out = io.StringIO()
    print_rows(HEADINGS, ROWS, Console(file=out, width=width))
    return out.getvalue()


def test_reasons_stand_in_a_wide_table() -> None:
    head, first, *_ = printed(160).splitlines()
    assert head.split() == ["host", "result", "why", "what", "would", "keep", "it"]
    assert LONG in first
    assert first.rstrip().endswith("driver 580")


def test_reasons_stand_once_below_a_narrow_table() -> None:
    table, below = printed(60).split("\n\n")
    assert table.splitlines()[0].split() == ["host", "result"]
    assert LONG not in table
    assert below == f"a, [red]c?[2J: {LONG}\n  what would keep it: driver 580\n"


def test_no_rows_are_no_table() -> None:
    out = io.StringIO()
    print_rows(HEADINGS, [], Console(file=out))
    assert out.getvalue() == ""
