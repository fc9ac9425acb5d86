"""Where uv and pip run for fleetwheel: out of reach of other users' files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetwheel.errors import FleetwheelError
from fleetwheel.files import cache_directory


@contextmanager
def work_directory(kind: str) -> Iterator[Path]:
    """Make an empty directory for a tool to run in, among the user's caches; remove it at the end.

    Many tools read files of the directories above the one they run in: uv pyproject.toml, hatchling
    .gitignore, cargo .cargo/config.toml. In /tmp any user can write these.
    Raises FleetwheelError where it cannot be made.
    """
    above = cache_directory() / "work"
    try:
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=above)
    except OSError as error:
        raise FleetwheelError(
            f"no directory can be made in {above}: {error.strerror}",
            hint="set XDG_CACHE_HOME to a directory that only you can write to",
        ) from error
    with made as name:
        yield Path(name)
