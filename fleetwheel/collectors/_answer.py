"""The lines that a host answers with, sorted by section and key."""

from collections.abc import Iterable

Section = dict[str, list[str]]
"""Key to its values, in the order of the answer; ``ended`` holds the section's exit code."""

TIMED_OUT = ("124", "137")
"""Exit codes of ``timeout``: the command was ended, or had to be killed."""


class AnswerError(ValueError):
    """What a host answered is not an answer to the question."""


def sections(lines: Iterable[str], *names: str) -> dict[str, Section]:
    """Sort an answer by section and key; lines of no section are left out.

    Raises AnswerError when the end of a section is missing: the answer was cut.
    """
    found: dict[str, Section] = {name: {} for name in names}
    for line in lines:
        section, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        if section in found and key:
            found[section].setdefault(key, []).append(value.rstrip())
    cut = [name for name in names if "ended" not in found[name]]
    if cut:
        raise AnswerError(f"the host's answer breaks off: no end of {', '.join(cut)}")
    return found


def first(section: Section, key: str) -> str:
    """Return the first value of a key; empty when there is none."""
    return section.get(key, [""])[0]


def skipped(section: Section) -> list[str]:
    """Return what was not run or read, each with who else could have changed it."""
    return [f"skipped {line}" for line in section.get("skipped", [])]


def unfinished(section: Section) -> bool:
    """Whether the host gave up on a section at its deadline."""
    return section["ended"][-1] in TIMED_OUT
