"""The files of schedulers: how systemd and cron are told what to run, and when."""

import re
import shlex
import zlib
from collections.abc import Sequence

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.render import render

WORDS = ("hourly", "daily", "weekly", "monthly")
DAY_MIN = 24 * 60


def for_systemd(argument: str) -> str:
    """Quote one argument for ExecStart=, where ``%`` and ``$`` are special inside quotes too.

    The first word of the line must not be one: there ``$`` is not special.
    """
    return _quoted(argument).replace("$", "$$")


def path_for_systemd(path: str) -> str:
    """Quote a path for a setting that takes a list of them, such as ReadWritePaths=."""
    return _quoted(path)


def _quoted(text: str) -> str:
    _refuse_breaks(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def for_cron(command: Sequence[str]) -> str:
    """Quote a command for a crontab, where ``%`` ends a line, and a backslash makes it one.

    Raises FleetwheelError for a backslash: crons differ in what they do to it.
    """
    for word in command:
        _refuse_breaks(word)
        if "\\" in word:
            raise FleetwheelError(
                f"cron has no certain way to write the backslash of {word!r}",
                hint="put the command into a script, and name that",
            )
    return shlex.join(command).replace("%", r"\%")


def _refuse_breaks(text: str) -> None:
    if not text.isprintable():
        raise FleetwheelError(
            f"{text!r} cannot stand in one line", hint="leave control characters out"
        )


def calendar(at: str) -> str:
    """Return systemd's OnCalendar= for a time."""
    return f"*-*-* {at}:00" if clock(at) is not None else at


def clock(at: str) -> int | None:
    """Return the minute of the day that ``HH:MM`` names."""
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    return int(match[1]) * 60 + int(match[2]) if match else None


def cron_times(schedule: Schedule, host: str) -> str:
    """Return the five fields of a crontab line; each host has a delay of its own.

    Raises FleetwheelError for a time that cron cannot express.
    """
    start = clock(schedule.at)
    if start is None and schedule.at not in WORDS:
        raise FleetwheelError(
            f"at: {schedule.at!r} needs systemd, which the host does not run",
            hint=f'cron knows {", ".join(WORDS)} and "HH:MM"',
        )
    delay = zlib.crc32(host.encode()) % (schedule.delay + 1)
    minute = ((start or 0) + delay) % DAY_MIN
    if schedule.at == "hourly":
        return f"{delay % 60} * * * *"
    days = {"weekly": "* * 1", "monthly": "1 * *"}.get(schedule.at, "* * *")
    return f"{minute % 60} {minute // 60} {days}"


def timer(schedule: Schedule, what: str) -> str:
    """Return the text of a timer of systemd."""
    return render("timer.j2", what=what, calendar=calendar(schedule.at), delay=schedule.delay)
