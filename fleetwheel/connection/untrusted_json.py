"""JSON documents that hosts print, with limits: what is read here can be kept in a report."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import from_json

DEEPEST = 32
"""Levels of a document. Reports hold documents inside of their own, and have a limit as well."""


def last(lines: Sequence[str]) -> dict[str, Any] | None:
    """Return the last document that a program printed, which is one line; None without one.

    A line that is too deep, or holds half of a character, is no document.
    """
    for line in reversed(lines):
        try:
            document = from_json(line)
            if isinstance(document, dict):
                return shallow(document)
        except ValueError:
            continue
    return None


def shallow(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document; ValueError for one with more than ``DEEPEST`` levels."""
    if _levels(document) > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels")
    return document


def _levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inner), default=0)


Document = Annotated[dict[str, Any], AfterValidator(shallow)]
"""A host's document as a field of another."""
