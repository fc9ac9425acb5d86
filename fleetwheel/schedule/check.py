"""The job of a check: a Linux host looks at the whole fleet for drift, a Windows host at itself."""

from typing_extensions import override

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.render import render
from fleetwheel.schedule import windows
from fleetwheel.schedule.files import (
    cron_times,
    for_cron,
    for_systemd,
    path_for_systemd,
    timer,
)
from fleetwheel.schedule.job import Job, Scheduling

NAME = "fleetwheel-drift"
STATE = f"/var/lib/{NAME}"
TIMER = f"/etc/systemd/system/{NAME}.timer"
SERVICE = f"/etc/systemd/system/{NAME}.service"
HOOK = f"/etc/systemd/system/{NAME}-hook.service"
CRON = f"/etc/cron.d/{NAME}"
FILES = (SERVICE, TIMER, HOOK, CRON)
"""Every file that a check may have on a Linux host."""


class CheckJob(Job):
    """A Linux host that has the project directory looks at the fleet; a Windows host at itself."""

    name = NAME
    may_have = FILES

    @override
    def demand(self, settings: Settings, there: Scheduling) -> None:
        wanted = self.schedule
        if not there.directory:
            raise FleetwheelError(
                f"there is no project directory {wanted.directory} on this host",
                hint="clone fleetwheel there, and run in the clone: python3 quickstart.py install",
            )
        if not there.program:
            raise FleetwheelError(
                f"{wanted.check('')[0]} is no program on this host",
                hint="run in the clone there: python3 quickstart.py install; "
                "without a clone, install fleetwheel into that .venv",
            )
        if not there.user:
            raise FleetwheelError(f"there is no user {wanted.user} on this host")

    @override
    def files(self, *, systemd: bool) -> dict[str, str]:
        return systemd_files(self.schedule) if systemd else cron_files(self.schedule, self.host)

    @override
    def windows_files(self, root: str) -> dict[str, bytes]:
        return windows.windows_files(self.schedule, root)

    @property
    @override
    def directories(self) -> dict[str, str]:
        return {STATE: "0700", f"{self.schedule.directory}/reports": "0755"}

    @property
    @override
    def does(self) -> str:
        wanted = self.schedule
        return f"checks {wanted.inventory} in {wanted.directory} for drift: {wanted.at}"


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
