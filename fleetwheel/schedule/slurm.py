"""The job of a Slurm node: Slurm has it look at itself, and starts no jobs on a changed one."""

import shlex
from pathlib import PurePosixPath
from typing import ClassVar

from typing_extensions import override

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.render import render
from fleetwheel.schedule.job import Job, Scheduling

NAME = "fleetwheel-slurm"
HEALTH = f"/usr/local/sbin/{NAME}-health"
PROLOG = f"/usr/local/sbin/{NAME}-prolog"
ROOT = "/opt/fleetwheel"
"""Where root deploys, unless the inventory says otherwise."""
CHECK_S = 30
"""Slurm ends its HealthCheckProgram after 60 s (slurm.conf(5)), of which scontrol may take 24."""


class SlurmJob(Job):
    """Slurm runs the check of the host by itself and before each job."""

    name = NAME
    by = "Slurm"
    may_have: ClassVar = (HEALTH, PROLOG)

    @property
    def root(self) -> str:
        """The root of the host, without a slash at its end."""
        return (PurePosixPath("/root") / (self.given_root or ROOT).removeprefix("~/")).as_posix()

    @property
    @override
    def program(self) -> str:
        return f"{self.root}/bin/fleetwheel-node"

    @property
    @override
    def runs(self) -> tuple[str, ...]:
        return (f"{self.root}/bin", f"{self.root}/lib")

    @property
    @override
    def repair(self) -> str:
        return f"have root deploy to {self.root}: Slurm runs the check as root"

    @property
    @override
    def programs(self) -> tuple[str, ...]:
        return ("scontrol",)

    @override
    def demand(self, settings: Settings, there: Scheduling) -> None:
        if "scontrol" not in there.programs:
            raise FleetwheelError(
                "the host has no scontrol, by which a node is drained",
                hint="install Slurm's client there (Debian: slurm-client), or take mode: slurm out",
            )
        if not there.program:
            raise FleetwheelError(
                f"{self.program} is not on this host, and Slurm would run it",
                hint="deploy to it first: deploys/torch.py",
            )

    @override
    def files(self, *, systemd: bool) -> dict[str, str]:
        values = {
            "program": shlex.quote(self.program),
            "gone": f"{self.program} is gone".replace("'", ""),
            "seconds": CHECK_S,
            "tag": NAME,
        }
        return {
            HEALTH: render("slurm-health.sh.j2", **values),
            PROLOG: render("slurm-prolog.sh.j2", **values),
        }

    @override
    def windows_files(self, root: str) -> dict[str, bytes]:
        raise FleetwheelError(
            "mode: slurm needs a Linux host", hint="a Windows host looks at itself: mode: check"
        )

    @property
    @override
    def directories(self) -> dict[str, str]:
        return {}

    @property
    @override
    def does(self) -> str:
        return f"runs {HEALTH}, once slurm.conf has: HealthCheckProgram={HEALTH}"
