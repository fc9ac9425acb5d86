"""The job of a pull: a Linux host keeps itself as its source says."""

import shlex

from typing_extensions import override

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.node.trust import programs, rule
from fleetwheel.render import render
from fleetwheel.reporting.prometheus import label
from fleetwheel.schedule.files import cron_times, timer
from fleetwheel.schedule.job import Job, Scheduling

NAME = "fleetwheel-pull"
STATE = f"/var/lib/{NAME}"
PROGRAM = f"/usr/local/sbin/{NAME}"
TIMER = f"/etc/systemd/system/{NAME}.timer"
SERVICE = f"/etc/systemd/system/{NAME}.service"
CRON = f"/etc/cron.d/{NAME}"
FILES = (PROGRAM, SERVICE, TIMER, CRON)
"""Every file that pull mode may have on a host."""


class PullJob(Job):
    """A host fetches the project, deploys to itself and looks at itself for drift."""

    name = NAME
    may_have = FILES

    @property
    @override
    def programs(self) -> tuple[str, ...]:
        return ("git" if self.schedule.from_git else "rsync", "flock", "timeout", "python")

    @property
    @override
    def runs(self) -> tuple[str, ...]:
        return (PROGRAM, STATE, *super().runs)

    @override
    def demand(self, settings: Settings, there: Scheduling) -> None:
        refuse_sight_of_others(settings)
        lacks = [program for program in self.programs if program not in there.programs]
        if there.program and "python" in lacks:
            lacks.remove("python")
        if lacks:
            raise FleetwheelError(
                f"the host has no {' and no '.join(lacks)}, which a pull needs",
                hint="install it there; python is Python 3.11 or newer",
            )

    @override
    def files(self, *, systemd: bool) -> dict[str, str]:
        return pull_files(self.schedule, self.host, self.trust, systemd=systemd)

    @override
    def windows_files(self, root: str) -> dict[str, bytes]:
        raise FleetwheelError(
            "mode: pull needs a Linux host", hint="let another host deploy to it: mode: check"
        )

    @property
    @override
    def directories(self) -> dict[str, str]:
        wanted = self.schedule
        files = [path for path in (wanted.html, wanted.prometheus) if path]
        public = {path.rpartition("/")[0] or "/": "0755" for path in files}
        return {STATE: "0700", wanted.directory: "0700"} | public

    @property
    @override
    def does(self) -> str:
        wanted = self.schedule
        return f"pulls {wanted.source} into {wanted.directory}: {wanted.at}"


def refuse_sight_of_others(settings: Settings) -> None:
    """Raise FleetwheelError for settings that need the sight of other hosts, or of this one."""
    if settings.uniform:
        raise FleetwheelError(
            "uniform: a host that pulls does not see its group", hint='pin it: torch: "2.14.1"'
        )
    if settings.mirror and settings.mirror.startswith("@local"):
        raise FleetwheelError(
            "mirror: @local would be the host itself where it pulls", hint="write its address"
        )
    for name, said in settings.environments.items():
        file = said.team_file if said else None
        if file and file.path.startswith(("/", "~")):
            raise FleetwheelError(
                f"environments.{name}: {file.path} does not come with the project that it pulls",
                hint=f"keep it in the project directory, as in {file.key}: teams/{name}",
            )


def pull_files(
    schedule: Schedule, host: str, trust: Trust = NOBODY, *, systemd: bool
) -> dict[str, str]:
    """Return the program of a pull and what starts it: path to text.

    Raises FleetwheelError for a time that cron cannot express.
    """
    files = {PROGRAM: _program(schedule, host, trust)}
    if systemd:
        files[SERVICE] = render("pull.service.j2", program=PROGRAM, unit=NAME)
        files[TIMER] = timer(schedule, "Pull of what this host should be")
    else:
        times = cron_times(schedule, host)
        files[CRON] = render("pull.cron.j2", times=times, program=PROGRAM, unit=NAME)
    return files


def _program(schedule: Schedule, host: str, trust: Trust) -> str:
    gauges = schedule.model_copy(update={"prometheus": f"{STATE}/drift.prom"})
    name = label(host).replace("\\", r"\\").replace('"', r"\"")
    return render(
        "pull.sh.j2",
        schedule=schedule,
        quote=shlex.quote,
        host=host,
        label=f'host="{name}"',
        state=STATE,
        rule=rule() + programs(),
        trusted=shlex.join([" ".join(trust.users), " ".join(trust.groups)]),
        check=shlex.join(gauges.check(f"{STATE}/last.json")),
        hook=shlex.join(schedule.hook),
    )
