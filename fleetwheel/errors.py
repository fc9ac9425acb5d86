"""What fleetwheel raises for something a person has to mend, and what it makes of a bug."""

import logging
from traceback import format_exception

LONGEST = 500
"""Characters that are shown of an exception's text: a host may have written it."""
LOG = logging.getLogger("pyinfra.fleetwheel")
"""Shown where pyinfra shows its own debug messages."""
DETAIL = 15
"""The level of what ``--verbose`` shows: more than INFO, and less than DEBUG."""


class FleetwheelError(Exception):
    """What happened, and in ``hint`` the command, setting or version that mends it.

    Reports group hosts by ``what`` and ``remedy``: message and hint in words that are the same on
    every host, for those that hold figures or names of one.
    """

    def __init__(self, message: str, *, hint: str = "", what: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.what = what or message
        self.remedy = remedy or hint

    @property
    def message(self) -> str:
        """What happened, without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class NotBegunError(FleetwheelError):
    """A host was left as it is, because hosts before it did not end well."""


class RefusedError(FleetwheelError):
    """A host or an environment was left as it is, for a reason that a person can end."""


class SudoPasswordError(FleetwheelError):
    """sudo on a host asks for a password, and nobody can type one."""

    def __init__(self) -> None:
        super().__init__(
            "sudo asks for a password there, and here is no terminal to type it at",
            hint="let sudo ask this user for none (NOPASSWD), log in as root, or run at a terminal",
        )


def words_of(error: BaseException) -> str:
    """Return what an exception says: one with several arguments and no words of its own, in a row.

    Python would show them as a tuple.
    """
    plain = type(error).__str__ in (BaseException.__str__, Exception.__str__)
    return ", ".join(map(str, error.args)) if plain and len(error.args) > 1 else str(error)


def unforeseen(error: Exception) -> FleetwheelError:
    """Return the failure of one host whose words brought a bug out; ``--debug`` logs where.

    Every boundary between a host and the others ends in this one.
    """
    LOG.debug("%s", "".join(format_exception(error)))
    text = words_of(error)
    shown = f"{text[:LONGEST]}..." if len(text) > LONGEST else text
    return FleetwheelError(f"{type(error).__name__}: {shown}", hint="--debug shows where")
