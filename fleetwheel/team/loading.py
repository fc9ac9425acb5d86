"""From the file that the inventory names to its pins."""

from pathlib import Path

from fleetwheel.errors import LONGEST, FleetwheelError
from fleetwheel.team.pins import Team, TeamFile, team_of
from fleetwheel.team.project import read_project
from fleetwheel.team.pylock import OTHERS, read_pylock
from fleetwheel.team.requirements import requirements_pins


def place_of(file: TeamFile) -> tuple[Path, Path]:
    """Return where a file or project is, and the directory that nothing of it may lead out of."""
    path = Path(file.path).expanduser()
    base = Path.cwd() if not path.is_absolute() else path if file.key == "project" else path.parent
    return base / path, base


def read_team(file: TeamFile) -> Team:
    """Return what a team's file asks for now.

    Links lead nowhere outside of the project directory, or, for an absolute path, of the directory
    that the file lies in.
    Raises FleetwheelError for what hosts cannot install, with what to do.
    """
    try:
        return _read(file, *place_of(file))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(file, f"{type(error).__name__}: {error}") from error
    except (MemoryError, RecursionError) as error:
        raise _unreadable(file, "it is too large or too deep") from error


def _unreadable(file: TeamFile, why: str) -> FleetwheelError:
    return FleetwheelError(
        f"{file.path} cannot be read: {why[:LONGEST]}", hint="have its tool write it again"
    )


def _read(file: TeamFile, path: Path, base: Path) -> Team:
    match file.key:
        case "project":
            if path.is_file():
                raise FleetwheelError(
                    f"{file.path} is a file: project: takes the directory of a pyproject.toml",
                    hint=f"project: {Path(file.path).parent}",
                )
            return read_project(file, path, base)
        case "lock":
            return read_pylock(file, path, base)
        case "requirements":
            if path.name in OTHERS:
                raise FleetwheelError(f"{file.path} is no requirements.txt", hint=OTHERS[path.name])
            pins = requirements_pins(path, base)
            if not pins:
                raise FleetwheelError(
                    f"{file.path} names no package",
                    hint="was it cut off? or take requirements: out",
                )
            return team_of(file, pins)
