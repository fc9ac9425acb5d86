"""A team's files are read in a process of their own, which has limits: other hosts go on."""

import json
import subprocess
import sys
import tempfile
from typing import Any

from fleetwheel.errors import LONGEST, FleetwheelError
from fleetwheel.once import Once
from fleetwheel.processes import run_group
from fleetwheel.team.loading import read_team
from fleetwheel.team.pins import Team, TeamFile
from fleetwheel.team.reading import FEWER

READ_S = 60
MEMORY_KIB = 4 * 2**20
"""Of address space; uv takes its share of it."""
LARGEST_ANSWER = 64 * 2**20
APART = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from fleetwheel.team.apart import print_team
print_team(sys.argv[2])
"""


@Once
def load_team(file: TeamFile) -> Team:
    """Return what a team's file asks for; read once in a run, so that all hosts get the same.

    Raises FleetwheelError as ``read_team`` does, and for a file that takes too much time or memory.
    """
    command = ["/bin/sh", "-c", f'ulimit -v {MEMORY_KIB}; exec "$@"', "sh", sys.executable]
    command += ["-P", "-c", APART, json.dumps(sys.path), file.model_dump_json()]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            status = run_group(command, timeout=READ_S, output=output, errors=errors)
        except subprocess.TimeoutExpired as error:
            raise _refused(file, f"takes over {READ_S} s to read") from error
        output.seek(0)
        answer = output.read(LARGEST_ANSWER + 1)
        if len(answer) > LARGEST_ANSWER:
            raise _refused(file, f"holds more than {LARGEST_ANSWER >> 20} MB of pins")
        if status != 0:
            errors.seek(0)
            words = errors.read().decode("utf-8", "replace").strip().splitlines() or [f"{status}"]
            raise _refused(file, f"cannot be read: {words[-1][:LONGEST]}")
    said: dict[str, Any] = json.loads(answer)
    if "refused" in said:
        raise FleetwheelError(said["refused"], hint=said["hint"])
    return Team.model_validate(said)


def _refused(file: TeamFile, why: str) -> FleetwheelError:
    return FleetwheelError(f"{file.path} {why}", hint=FEWER)


def print_team(argument: str) -> None:
    """Print as JSON what a file asks for, or why it is refused; called in the other process."""
    try:
        team = read_team(TeamFile.model_validate_json(argument))
    except FleetwheelError as error:
        said: dict[str, Any] = {"refused": error.message, "hint": error.hint}
    else:
        pins = [pin.model_dump() for pin in team.pins]
        said = {**team.model_dump(), "pins": pins, "overrides": team.overrides}
    json.dump(said, sys.stdout)
