"""Pull mode: the files with which a host keeps itself as its source says, at regular times."""

import shlex

from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting.prometheus import label
from fleetwheel.schedule import Schedule, cron_times, timer
from fleetwheel.settings import Settings
from fleetwheel.templates import render

NAME = "fleetwheel-pull"
STATE = f"/var/lib/{NAME}"
PROGRAM = f"/usr/local/sbin/{NAME}"
TIMER = f"/etc/systemd/system/{NAME}.timer"
SERVICE = f"/etc/systemd/system/{NAME}.service"
CRON = f"/etc/cron.d/{NAME}"
FILES = (PROGRAM, SERVICE, TIMER, CRON)
"""Every file that pull mode may have on a host."""


def demand(settings: Settings) -> None:
    """Raise FleetwheelError for settings that need the sight of other hosts."""
    if settings.uniform:
        raise FleetwheelError(
            "uniform: a host that pulls does not see its group", hint='pin it: torch: "2.14.1"'
        )
    if settings.mirror and settings.mirror.startswith("@local"):
        raise FleetwheelError(
            "mirror: @local would be the host itself where it pulls", hint="write its address"
        )


def programs(schedule: Schedule) -> tuple[str, ...]:
    """Return what the host must have installed; ``python`` is Python 3.11 or newer."""
    return ("git" if schedule.from_git else "rsync", "flock", "timeout", "python")


def pull_files(schedule: Schedule, host: str, *, systemd: bool) -> dict[str, str]:
    """Return the program of a pull and what starts it: path to text.

    Raises FleetwheelError for a time that cron cannot express.
    """
    files = {PROGRAM: _program(schedule, host)}
    if systemd:
        files[SERVICE] = render("pull.service.j2", program=PROGRAM, unit=NAME)
        files[TIMER] = timer(schedule, "Pull of what this host should be")
    else:
        times = cron_times(schedule, host)
        files[CRON] = render("pull.cron.j2", times=times, program=PROGRAM, unit=NAME)
    return files


def _program(schedule: Schedule, host: str) -> str:
    gauges = schedule.model_copy(update={"prometheus": f"{STATE}/drift.prom"})
    name = label(host).replace("\\", r"\\").replace('"', r"\"")
    return render(
        "pull.sh.j2",
        schedule=schedule,
        quote=shlex.quote,
        host=host,
        label=f'host="{name}"',
        state=STATE,
        check=shlex.join(gauges.check(f"{STATE}/last.json")),
        hook=shlex.join(schedule.hook),
    )
