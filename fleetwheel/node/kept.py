"""Who may read the generations that stay: those in use, those to go back to, and leftovers."""

from __future__ import annotations

import stat
from pathlib import Path

from fleetwheel.node.clean import in_use, is_fresh, is_ours
from fleetwheel.node.link import is_link, leading
from fleetwheel.node.readers import give, name_of, number_of, readers
from fleetwheel.node.state import mentioned, own_generations, records


def settle_readers(root: Path, environment: str, group: str | None) -> None:
    """Let the readers of an environment alone read all that it keeps.

    What others name for other readers stays as it is. What nobody names is closed where there is a
    ``group``: it may be what the environment had before.
    """
    number = number_of(group)
    for generation in kept_generations(root, environment, group):
        if readers(generation) != number:
            give(generation, number)
    if group is not None:
        for generation in _unnamed(root):
            generation.chmod(0o700)


def kept_generations(root: Path, environment: str, group: str | None) -> list[Path]:
    """Return what stands here of an environment and nothing else for other readers, by name."""
    own = own_generations(records(root), environment, group)
    there = [path for path in sorted((root / "envs").iterdir()) if path.name in own]
    return [path for path in there if path.is_dir() and not is_link(path)]


def _unnamed(root: Path) -> list[Path]:
    """Return what no environment names or runs; a controller may be about to use a fresh one."""
    named = {*leading(root).values()}.union(*map(mentioned, records(root).values()))
    there = [path for path in (root / "envs").iterdir() if path.name not in named and is_ours(path)]
    return [path for path in there if not is_fresh(path) and not in_use(path)]


def reader_differences(
    root: Path, environment: str, id: str, group: str | None
) -> list[tuple[str, str, str]]:
    """Return what, expected and found of generations that others may read than should."""
    number, inside = number_of(group), root / "envs" / id
    wanted = f"group {group} alone" if group else "all users"
    places = [("readers", inside)] if inside.is_dir() else []
    kept = kept_generations(root, environment, group)
    places += [(f"readers of {path.name}", path) for path in kept if path != inside]
    return [
        (what, wanted, f"{stat.filemode(has.st_mode)}, {name_of(has.st_gid)}")
        for what, path, has in ((what, path, path.stat()) for what, path in places)
        if readers(path) != number
    ]
