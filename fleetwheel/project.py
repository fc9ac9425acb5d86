"""A new project directory: what a person edits, and pyinfra is run in."""

from pathlib import Path

from fleetwheel import files
from fleetwheel.errors import FleetwheelError

SKELETON = Path(__file__).with_name("skeleton")
PATTERNS = ("*.py", "deploys/*.py", "docs/*.yaml", "docs/*.json", "inventory/*.md")


def demand() -> None:
    """Raise FleetwheelError where the working directory is not a project directory."""
    if not Path("deploys").is_dir():
        raise FleetwheelError(
            f"{Path.cwd()} is not a project directory: it has no deploys/",
            hint="run this in the root of the clone, or in a directory of `fleetwheel init`",
        )


def contents() -> dict[str, str]:
    """Return the text of every file of a project directory, by its path in it."""
    found = [path for pattern in PATTERNS for path in sorted(SKELETON.glob(pattern))]
    return {path.relative_to(SKELETON).as_posix(): path.read_text("utf-8") for path in found}


def create(directory: Path) -> list[str]:
    """Write a project directory and return its files; nothing that is there is overwritten."""
    wanted = contents()
    there = [name for name in wanted if (directory / name).exists()]
    if there:
        raise FleetwheelError(
            f"{directory} already has {', '.join(there[:3])}{' and more' if there[3:] else ''}",
            hint="name a new directory",
        )
    try:
        for name, text in wanted.items():
            files.replace(directory / name, text)
    except OSError as error:
        raise FleetwheelError(f"{directory} cannot be written: {error.strerror}") from error
    return list(wanted)
