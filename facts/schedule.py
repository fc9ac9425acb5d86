"""What a host has for a schedule."""

import re
from collections.abc import Sequence

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.node.trust import programs, rule
from fleetwheel.schedule.job import Scheduling

QUESTION = (
    rule()
    + programs()
    + """
own_path=$PATH
PATH=/usr/bin:/bin:$PATH
know_trusted "$5" "$6" "$2" 2>/dev/null || know_trusted "$5" "$6" root
trusted_path "$own_path:/opt/slurm/bin"
PATH=$trusted_path
for program in $4; do
    if test "$program" != python; then
        command -v "$program" >/dev/null && echo "has:$program"
        continue
    fi
    for python in python3.14 python3.13 python3.12 python3.11 python3; do
        found=$(command -v "$python") && trusts_python "$found" || continue
        "$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo has:python
        break
    done
done
if test -d /run/systemd/system; then
    echo systemd
    systemctl is-enabled --quiet "$3" 2>/dev/null \
        && systemctl is-active --quiet "$3" 2>/dev/null && echo active
fi
if test -d /etc/cron.d; then echo cron; fi
if test "$(id -u)" = 0; then echo root; fi
if id "$2" >/dev/null 2>&1; then echo user; fi
if test -d "$0"; then echo directory; fi
if test -x "$1"; then echo program; fi
runs=$7
if_there trusts_python "${1%/*}/python" || echo "others $why"
shift 7
while test "$runs" -gt 0; do
    if_there trusts_all "$1" || echo "others $why"
    runs=$((runs - 1))
    shift
done
if command -v scontrol >/dev/null; then echo has:scontrol; fi
slurm=$(timeout 10 scontrol show config 2>/dev/null) && test "$slurm" ||
    slurm=$(grep -hv '^[[:space:]]*#' /etc/slurm*/slurm.conf /run/slurm/conf/slurm.conf 2>/dev/null)
for file in "$@"; do
    test -f "$file" || continue
    sha256sum "$file"
    case $slurm in *"$file"*) echo "slurm:$file" ;; esac
done
exit 0
"""
)


class HostSchedule(FactBase[Scheduling]):
    """
    Returns what a host has for a schedule.

    + directory: the project directory
    + program: path of fleetwheel in it, beside the Python that runs it
    + user: who runs it
    + timer: name of the systemd timer
    + programs: what to look for on PATH; ``python`` is Python 3.11 or newer that nobody else than
      root and that user can change
    + runs: paths of what that user would run
    + files: paths of all files that a schedule may have
    + trust: whom the host believes besides root and that user

    .. code:: python

        {
            "systemd": True,
            "cron": True,
            "active": True,
            "root": True,
            "user": True,
            "directory": True,
            "program": True,
            "programs": {"git", "flock"},
            "others": "",
            "slurm_runs": set(),
            "files": {"/etc/systemd/system/fleetwheel-drift.timer": "0bf2a864d67e..."},
        }
    """

    @override
    def command(
        self,
        directory: str,
        program: str,
        user: str,
        timer: str,
        programs: Sequence[str],
        runs: Sequence[str],
        files: Sequence[str],
        trust: Trust = NOBODY,
    ) -> StringCommand:
        believed = (" ".join(trust.users), " ".join(trust.groups))
        asked = (" ".join(programs), *believed, str(len(runs)), *runs, *files)
        values = (directory, program, user, timer, *asked)
        return StringCommand("sh", "-c", QuoteString(QUESTION), *map(QuoteString, values))

    @override
    def process(self, output: list[str]) -> Scheduling:
        said = {line for line in output if " " not in line} & Scheduling.model_fields.keys()
        programs = {line.removeprefix("has:") for line in output if line.startswith("has:")}
        others = [line.removeprefix("others ") for line in output if line.startswith("others ")]
        slurm = [line.removeprefix("slurm:") for line in output if line.startswith("slurm:")]
        hashes = [line.split(maxsplit=1) for line in output if " " in line]
        return Scheduling.model_validate(
            {
                **dict.fromkeys(said, True),
                "programs": programs,
                "others": next(iter(others), ""),
                "slurm_runs": frozenset(slurm),
                "files": {path: hash for hash, path in hashes if len(hash) == 64},
            }
        )


class WindowsDriftSchedule(FactBase[Scheduling]):
    """
    Returns what a Windows host has for a schedule: its root, the program for hosts and the task.

    + root: the root directory
    + task: name of the scheduled task

    .. code:: python

        {"directory": True, "program": True, "active": True,
         "kept": "C:\\Windows\\System32\\Tasks\\fleetwheel-drift", ...}
    """

    @override
    def command(self, root: str, task: str) -> StringCommand:
        return StringCommand(
            f'echo kept "%SystemRoot%\\System32\\Tasks\\{task}"\nif exist',
            QuoteString(f"{root}\\."),
            "echo directory\nif exist",
            QuoteString(f"{root}\\bin\\fleetwheel-node.cmd"),
            "echo program\nif exist",
            f'"%SystemRoot%\\System32\\Tasks\\{task}"',
            "echo active\nexit /b 0",
        )

    @override
    def process(self, output: list[str]) -> Scheduling:
        said = {line.strip() for line in output} & {"directory", "program", "active"}
        kept = (line.strip()[6:-1] for line in output if re.fullmatch(r'kept ".+"', line.strip()))
        return Scheduling.model_validate({**dict.fromkeys(said, True), "kept": next(kept, "")})
