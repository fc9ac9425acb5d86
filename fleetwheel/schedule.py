"""The schedule of a host: what the inventory says of it, and how a scheduler is told."""

import re
import shlex
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fleetwheel.errors import FleetwheelError
from fleetwheel.profile import Value
from fleetwheel.templates import render
from fleetwheel.windows.quoting import for_cmd

NAME = "fleetwheel-drift"
STATE = f"/var/lib/{NAME}"
TIMER = f"/etc/systemd/system/{NAME}.timer"
SERVICE = f"/etc/systemd/system/{NAME}.service"
HOOK = f"/etc/systemd/system/{NAME}-hook.service"
CRON = f"/etc/cron.d/{NAME}"
FILES = (SERVICE, TIMER, HOOK, CRON)
"""Every file that a schedule may have on a Linux host."""
WORDS = ("hourly", "daily", "weekly", "monthly")
DAY = 24 * 60


def _at(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9 *.,:/~_+-]{1,100}", value):
        raise ValueError(f'{value!r} is no time: write daily, "03:15" or "Mon..Fri 06:30"')
    return value


def _path(value: str) -> str:
    if not re.match(r"/[^/]|[A-Za-z]:[\\/]", value) or not value.isprintable():
        raise ValueError(f"{value!r} is no absolute path")
    if value.startswith("/") and value.endswith((" ", "\\")):
        raise ValueError(f"{value!r} ends in a character that schedulers read otherwise")
    if re.match(r"/(tmp|var/tmp)(/|$)", value):
        raise ValueError(f"{value!r} lies in a directory for temporary files")
    return value


def _argument(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError(f"{value!r} cannot be part of a command")
    return value


def _user(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise ValueError(f"{value!r} is no user name")
    return value


def _source(value: str) -> str:
    if re.match(r"https?://[^/]*@|[a-z+]+://[^/]*:[^/]*@", value):
        raise ValueError("credentials do not belong in a URL: use a deploy key, or git's own store")
    if not value.isprintable() or not re.match(
        r"(https?|ssh|git|file)://[^-]|/[^/]|[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^-]", value
    ):
        raise ValueError(f"{value!r} is neither a URL of git nor an absolute path")
    return value


def _branch(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", value):
        raise ValueError(f"{value!r} is no branch")
    return value


def _listed(value: object) -> Any:
    return [value] if isinstance(value, str) else value


AbsolutePath = Annotated[str, AfterValidator(_path)]
Argument = Annotated[str, AfterValidator(_argument)]


class Schedule(Value):
    """What a host does at regular times: look for drift, or pull what it should be."""

    mode: Literal["check", "pull"] = "check"
    """``check`` looks at the fleet from the host; ``pull`` has the host update and check itself."""
    directory: AbsolutePath
    """The project directory, with fleetwheel in its ``.venv``; a pull makes it."""
    source: Annotated[str, AfterValidator(_source)] | None = None
    """Where a pull gets the project: git's URL, a path that ends in ``.git``, or a directory."""
    branch: Annotated[str, AfterValidator(_branch)] = "HEAD"
    verify: bool = False
    """Whether ``git verify-commit`` has to accept what is pulled."""
    inventory: Argument = "inventory.py"
    at: Annotated[str, AfterValidator(_at)] = "daily"
    """``hourly``, ``daily``, ``weekly``, ``monthly``, ``"03:15"``, or systemd's OnCalendar."""
    delay: Annotated[int, Field(ge=0, le=720, strict=True)] = 15
    """Minutes that a check may start later, so that not all start at once."""
    user: Annotated[str, AfterValidator(_user)] | None = None
    """Who runs it on Linux, root by default; on Windows it is SYSTEM."""
    hook: Annotated[tuple[Argument, ...], BeforeValidator(_listed)] = ()
    """Command that gets the report as JSON on standard input when a check did not end clean."""
    deep: bool = False
    html: AbsolutePath | None = None
    prometheus: AbsolutePath | None = None
    present: bool = True
    """False takes the schedule away."""

    @model_validator(mode="after")
    def _can_be_pulled(self) -> Self:
        if self.mode == "check":
            return self
        if self.source is None:
            raise ValueError("mode: pull needs a source")
        if self.user:
            raise ValueError("a pull runs as root, as what it installs needs: leave user out")
        if self.verify and not self.from_git:
            raise ValueError("verify: only what comes from git is signed")
        if self.source.startswith(("http://", "git://")) and not self.verify:
            raise ValueError(f"anyone can change {self.source} on its way: add verify: true")
        return self

    def in_mode(self, mode: object) -> "Schedule":
        """Return the schedule with another mode; FleetwheelError where it cannot have it."""
        try:
            return Schedule.model_validate({**self.model_dump(), "mode": mode})
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise FleetwheelError(f"mode={mode}: {why}", hint="docs/schedule.md") from error

    @property
    def from_git(self) -> bool:
        """Whether the source is git's; a directory is copied."""
        source = self.source or ""
        return not source.startswith("/") or source.endswith(".git")

    def check(self, json: str, separator: str = "/") -> list[str]:
        """Return the command of one check, which runs in ``directory``."""
        program = ".venv/bin/fleetwheel" if separator == "/" else r".venv\Scripts\fleetwheel.exe"
        files = {"--json": json, "--html": self.html, "--prometheus": self.prometheus}
        return [
            f"{self.directory.rstrip(separator)}{separator}{program}",
            "drift",
            *(["--deep"] if self.deep else []),
            *(word for option, file in files.items() if file for word in (option, file)),
            "--",
            self.inventory,
        ]

    @property
    def writes(self) -> list[str]:
        """Directories that a check writes to, on Linux."""
        outputs = [path.rpartition("/")[0] or "/" for path in (self.html, self.prometheus) if path]
        return list(dict.fromkeys([f"{self.directory.rstrip('/')}/reports", *outputs]))


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
    return f"*-*-* {at}:00" if _clock(at) is not None else at


def _clock(at: str) -> int | None:
    """Return the minute of the day that ``HH:MM`` names."""
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    return int(match[1]) * 60 + int(match[2]) if match else None


def cron_times(schedule: Schedule, host: str) -> str:
    """Return the five fields of a crontab line; each host has a delay of its own.

    Raises FleetwheelError for a time that cron cannot express.
    """
    clock = _clock(schedule.at)
    if clock is None and schedule.at not in WORDS:
        raise FleetwheelError(
            f"at: {schedule.at!r} needs systemd, which the host does not run",
            hint=f'cron knows {", ".join(WORDS)} and "HH:MM"',
        )
    delay = zlib.crc32(host.encode()) % (schedule.delay + 1)
    minute = ((clock or 0) + delay) % DAY
    if schedule.at == "hourly":
        return f"{delay % 60} * * * *"
    days = {"weekly": "* * 1", "monthly": "1 * *"}.get(schedule.at, "* * *")
    return f"{minute % 60} {minute // 60} {days}"


def systemd_files(schedule: Schedule) -> dict[str, str]:
    """Return the units: path to text."""
    check = [for_systemd(word) for word in schedule.check(f"{STATE}/last.json")]
    values = {
        "user": schedule.user or "root",
        # Taken as it stands, spaces and all; only specifiers are special.
        "directory": schedule.directory.replace("%", "%%"),
        "state": STATE,
        "unit": NAME,
    }
    files = {
        SERVICE: render(
            "drift.service.j2",
            **values,
            command=" ".join(check),
            writes=" ".join(path_for_systemd(path) for path in schedule.writes),
            hook=bool(schedule.hook),
        ),
        TIMER: timer(schedule, "Drift check of the fleet"),
    }
    if schedule.hook:
        hook = " ".join(for_systemd(word) for word in schedule.hook)
        files[HOOK] = render("drift-hook.service.j2", **values, hook=hook)
    return files


def timer(schedule: Schedule, what: str) -> str:
    """Return the text of a timer of systemd."""
    return render("timer.j2", what=what, calendar=calendar(schedule.at), delay=schedule.delay)


def cron_files(schedule: Schedule, host: str) -> dict[str, str]:
    """Return the crontab of a host: path to text. FleetwheelError where cron cannot do it."""
    text = render(
        "drift.cron.j2",
        times=cron_times(schedule, host),
        user=schedule.user or "root",
        directory=for_cron([schedule.directory]),
        command=for_cron(schedule.check(f"{STATE}/last.json")),
        hook=for_cron(schedule.hook),
        json=f"{STATE}/last.json",
        unit=NAME,
    )
    return {CRON: text}


def windows_files(schedule: Schedule) -> dict[str, bytes]:
    """Return the batch file of a check and its task for Task Scheduler: path to content.

    Raises FleetwheelError for what Task Scheduler cannot do.
    """
    clock = _clock(schedule.at)
    if clock is None and schedule.at not in WORDS:
        raise FleetwheelError(
            f"at: {schedule.at!r} needs systemd", hint=f'write {", ".join(WORDS)} or "HH:MM"'
        )
    if schedule.user:
        raise FleetwheelError(
            f"user: {schedule.user}: another user would need its password in the task",
            hint="leave user out: on Windows, SYSTEM runs the check",
        )
    if "%" in schedule.directory:
        raise FleetwheelError(
            f"{schedule.directory}: Task Scheduler reads a percent sign as a variable",
            hint="move the project directory",
        )
    state = windows_state(schedule)
    batch = render(
        "drift.cmd.j2",
        directory=for_cmd(schedule.directory),
        command=" ".join(map(for_cmd, schedule.check(f"{state}\\last.json", "\\"))),
        hook=" ".join(map(for_cmd, schedule.hook)),
        json=for_cmd(f"{state}\\last.json"),
        log=for_cmd(f"{state}\\last.log"),
    )
    minute = f"{(clock or 0) // 60:02}:{(clock or 0) % 60:02}:00"
    program = f"{state}\\{NAME}.cmd"
    task = render("drift-task.xml.j2", schedule=schedule, start=minute, program=program)
    return {
        program: batch.replace("\n", "\r\n").encode(),
        f"{state}\\{NAME}.xml": task.replace("\n", "\r\n").encode("utf-16"),
    }


def windows_state(schedule: Schedule) -> str:
    """Return the directory of the last report and of the schedule's files on Windows."""
    directory = schedule.directory.rstrip("\\")
    return f"{directory}\\schedule"
