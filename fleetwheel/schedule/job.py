"""What the jobs that hosts do at regular times have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.node.trust import way_out
from fleetwheel.value import Value


class Scheduling(Value):
    """What there is to schedule with, and what has been scheduled."""

    systemd: bool = False
    cron: bool = False
    """Whether there is /etc/cron.d."""
    active: bool = False
    """Whether the timer is enabled and waits."""
    root: bool = False
    """Whether commands run as root."""
    user: bool = False
    """Whether the user that the check runs as exists."""
    directory: bool = False
    program: bool = False
    programs: frozenset[str] = frozenset()
    """Those that were asked for and are there."""
    kept: str = ""
    """Where Task Scheduler keeps the task that it was given."""
    others: str = ""
    """Why others than root and that user could change what would run; empty where they cannot."""
    slurm_runs: frozenset[str] = frozenset()
    """Those of the files that Slurm's settings name, or slurm.conf where Slurm does not answer."""
    files: dict[str, str] = Field(default_factory=dict)
    """Path to SHA-256 of each file of the schedule that is there."""


@dataclass(frozen=True)
class Job(ABC):
    """Something that a host does at regular times, by systemd, cron or Task Scheduler."""

    schedule: Schedule
    host: str
    """Name of the host in the inventory."""
    trust: Trust = NOBODY
    """Whom the host believes besides root and the user of the schedule."""
    given_root: str | None = None
    """The root directory that the inventory gives the host."""
    by: ClassVar[str] = ""
    """What starts it, where that is neither systemd nor cron."""
    name: ClassVar[str]
    """Of its units, its crontab and its task."""
    may_have: ClassVar[tuple[str, ...]]
    """Every file that it may have on a Linux host."""

    @property
    def timer(self) -> str:
        """Name of its timer under systemd."""
        return f"{self.name}.timer"

    @property
    def program(self) -> str:
        """Path of what runs on a Linux host."""
        return self.schedule.check("")[0]

    @property
    def programs(self) -> tuple[str, ...]:
        """What a Linux host must have installed; ``python`` is Python 3.11 or newer."""
        return ()

    @property
    def runs(self) -> tuple[str, ...]:
        """Paths of what runs on a Linux host, with what lies in them, besides its Python."""
        directory = self.schedule.directory.rstrip("/")
        named = (*self.schedule.hook[:1], self.schedule.inventory)
        absolute = (path for path in named if path.startswith("/"))
        return (directory, f"{directory}/.venv", *absolute)

    def refuse_others(self, there: Scheduling) -> None:
        """Raise FleetwheelError where somebody else decides what a Linux host runs."""
        if not there.others:
            return
        user = self.schedule.user or "root"
        raise FleetwheelError(
            f"{there.others}, and {user} would run what lies there",
            hint=f"{self.repair}{way_out(there.others)}",
        )

    @property
    def repair(self) -> str:
        """How a host gets to where nobody else decides what it runs."""
        return (
            "chown -R root: and chmod -R go-w what belongs to others in"
            f" {self.schedule.directory}; a check can also have user: NAME, the owner"
        )

    @abstractmethod
    def demand(self, settings: Settings, there: Scheduling) -> None:
        """Raise FleetwheelError for what a Linux host lacks that it could not do without."""

    @abstractmethod
    def files(self, *, systemd: bool) -> dict[str, str]:
        """Return what a Linux host gets for it: path to text.

        Raises FleetwheelError for what cron cannot express.
        """

    @abstractmethod
    def windows_files(self, root: str) -> dict[str, bytes]:
        """Return the batch file and its task for Task Scheduler: path to content.

        They lie below the root directory.

        Raises FleetwheelError for what Windows cannot do.
        """

    @property
    @abstractmethod
    def directories(self) -> dict[str, str]:
        """Directories that a Linux host must have, with the modes that they are made with."""

    @property
    @abstractmethod
    def does(self) -> str:
        """What the scheduler does, for people: a sentence without its subject."""
