"""The project directory, in which pyinfra is run: where its files come from, and a new one."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath

from fleetwheel import __version__, files
from fleetwheel.errors import FleetwheelError

PARTS = ("config.py", "inventory.py", "deploys", "facts", "inventory", "operations", "templates")
"""What a project directory holds, as files and folders of the clone."""
EXAMPLE = Path("docs/inventory.example.yaml")
"""Explains every key, and errors name it."""
MANIFEST = ".fleetwheel.json"
"""Keeps what was written, by path and sha256: what differs later was edited."""

_packaged = Path(__file__).parent / "skeleton"
ORIGIN = _packaged if _packaged.is_dir() else Path(__file__).parents[1]
"""Where the parts lie: in the installed distribution, or in the clone."""


def demand() -> None:
    """Raise FleetwheelError where the working directory is no project directory."""
    if not Path("facts/host.py").is_file():
        raise FleetwheelError(
            f"{Path.cwd()} is no project directory: it holds no facts/host.py",
            hint="run this in the root of the clone, or make a directory with `fleetwheel init`",
        )


def contents() -> dict[str, str]:
    """Return the text of every file of a project directory, by its path in it."""
    found = [ORIGIN / part for part in (*PARTS, EXAMPLE) if (ORIGIN / part).is_file()]
    for part in PARTS:
        found += [path for path in (ORIGIN / part).rglob("*") if _belongs(path)]
    return {
        path.relative_to(ORIGIN).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(found)
    }


def _belongs(path: Path) -> bool:
    """Whether a file is the project's own: a clone has hosts of its user's, and caches, too."""
    return path.is_file() and path.suffix in (".py", ".j2", ".md")


def create(directory: Path) -> list[str]:
    """Write a project directory and return its files; nothing that is there is overwritten."""
    wanted = contents()
    there = [name for name in wanted if (directory / name).exists()]
    if there:
        raise FleetwheelError(
            f"{directory} holds {', '.join(there[:3])}{' and more' if there[3:] else ''} already",
            hint="name a new directory, or bring this one to a newer version with --upgrade",
        )
    try:
        for name, text in wanted.items():
            files.replace(directory / name, text)
        remember(directory, wanted)
    except OSError as error:
        raise FleetwheelError(f"{directory} cannot be written: {error.strerror}") from error
    return list(wanted)


def remember(directory: Path, texts: Mapping[str, str]) -> None:
    """Write down what these files are as this version has them."""
    kept = {name: digest(text) for name, text in texts.items()}
    document = {"version": __version__, "files": kept}
    files.replace(directory / MANIFEST, json.dumps(document, indent=1) + "\n")


def written(directory: Path) -> dict[str, str]:
    """Return the digests of what fleetwheel has written into a directory, as far as is known."""
    path = directory / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else {}
        return {name: str(digest) for name, digest in found.items() if _inside(name)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FleetwheelError(
            f"{path} cannot be read",
            hint="remove it: then every file that differs is taken for an edited one",
        ) from error


def _inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return ".." not in parts and parts[:1] in {(part,) for part in (*PARTS, EXAMPLE.parts[0])}


def digest(text: str) -> str:
    """Return the sha256 of a text, the same whatever its line ends are on disk."""
    return sha256(text.encode()).hexdigest()
