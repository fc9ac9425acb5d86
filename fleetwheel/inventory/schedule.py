"""The schedule of a host: what the inventory says of it."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fleetwheel.errors import FleetwheelError
from fleetwheel.value import Value


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

    mode: Literal["check", "pull", "slurm"] = "check"
    """``check`` looks at the fleet from the host; ``pull`` has the host update and check itself;
    ``slurm`` has Slurm run the host's check of itself."""
    directory: AbsolutePath | Literal[""] = ""
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
    def _can_be_looked_at(self) -> Self:
        if self.mode != "slurm" and not self.directory:
            raise ValueError(f"mode: {self.mode} needs a directory")
        unused = sorted(self.model_fields_set - {"mode", "present"})
        if self.mode == "slurm" and unused:
            raise ValueError(f"mode: slurm has no use for {', '.join(unused)}: Slurm says when")
        return self

    @model_validator(mode="after")
    def _can_be_pulled(self) -> Self:
        if self.mode != "pull":
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
            said = self.model_dump(exclude_unset=True)
            kept = {"present"} if mode == "slurm" else {*said}
            more = {key: value for key, value in said.items() if key in kept}
            return Schedule.model_validate({**more, "mode": mode})
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
