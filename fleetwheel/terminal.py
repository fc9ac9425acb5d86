"""Text from elsewhere on its way to a terminal, which it must not steer."""

import logging
import os
import re
from contextlib import suppress
from typing import Any

import click
from rich.console import Console

LINE = 300
"""Characters of what a stranger said that are shown."""
COLOUR = re.compile(r"(\x1b\[(?:0|1|2|4|[34]\d|9[0-7])m)")
"""What click.style writes, and nothing else that steers a terminal."""
INDENT = " " * 8


def printable(text: str) -> str:
    """Return text without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def hanging(message: str) -> str:
    """Return a message with its further lines indented: at the margin they look like another's."""
    return re.sub(rf"\n(?!{INDENT}|$)", f"\n{INDENT}", message)


def single_line(text: str) -> str:
    """Return the beginning of a text as one line without control characters."""
    short = printable(" ".join(text.split()))
    return short if len(short) <= LINE else f"{short[:LINE]}..."


def cleaned(text: str) -> str:
    """Return text without control characters but colours, tabs and line breaks.

    Colours stay out where NO_COLOR asks for that (no-color.org).
    """
    if text.isprintable():
        return text
    coloured = click.unstyle(text) if os.environ.get("NO_COLOR") else text
    parts = COLOUR.split(coloured.replace("\t", "    "))
    return "".join(part if COLOUR.fullmatch(part) else printable(part) for part in parts)


def new_console(**options: Any) -> Console:
    """Return a console of rich; without any style where NO_COLOR is set.

    rich itself leaves out colours alone then, and keeps bold and dim text.
    """
    if os.environ.get("NO_COLOR"):
        options["color_system"] = None
    return Console(**options)


def echo(message: Any = None, **options: Any) -> None:
    """Print as click.echo does; bytes are taken for text."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    click.echo(cleaned(text) if isinstance(text, str) else text, **options)


def clean_logs() -> None:
    """Have every message cleaned before any handler gets it; strangers speak through paramiko."""
    logging.setLogRecordFactory(_record)


def _record(*arguments: Any, **options: Any) -> logging.LogRecord:
    record = logging.LogRecord(*arguments, **options)
    clean = single_line if record.name.startswith("paramiko") else cleaned
    with suppress(TypeError, ValueError):  # a wrong format: its handler tells that
        record.msg, record.args = hanging(clean(record.getMessage())), ()
    return record
