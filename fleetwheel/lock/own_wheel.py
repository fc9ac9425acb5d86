"""A project's own wheel, built on this machine: the one place where code of a team's files runs."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock as Mutex

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from fleetwheel import files
from fleetwheel.choice.target import Target
from fleetwheel.choice.team_target import TeamTarget, named_by
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.lock import Lock
from fleetwheel.once import Once
from fleetwheel.processes import run_group
from fleetwheel.sources import store
from fleetwheel.team.loading import place_of
from fleetwheel.team.pins import Team, with_own
from fleetwheel.team.reading import resolved
from fleetwheel.work import work_directory

TREE_BYTES = 100 * 2**20
TREE_FILES = 10_000
"""With directories."""
TREE_DEPTH = 50
BUILD_S = 600
EPOCH = "1577836800"
"""The time that files in a wheel get, so that the same tree is the same wheel: 2020-01-01."""
NOT_CODE = {".git", ".hg", ".svn", "node_modules", "__pycache__"}
NOT_CODE |= {".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox"}
EARLIER_BUILDS = {"build", "dist"}
"""At the top of a project; setuptools would take files of such a build into the next one."""
GIVE_IT = "build its wheel yourself, and name it under packages: with #sha256=HEX behind it"
UPWARD_ENDS = (".git", ".hg")
"""Directories at which hatchling looks no further up for a .gitignore or .hgignore."""
_building = Mutex()


@Once
def with_own_wheel(team: Team) -> Team:
    """Return what a team's project asks for with its own wheel, built once for each state of it.

    The build runs as the user of this process, in a copy of the project, with what pip on this
    machine is configured with. The wheel lies in the store, under its hash.
    Raises FleetwheelError with the build's words, and for a wheel that is not good for each host.
    """
    directory, base = place_of(team)
    root = resolved(directory, base, team.path)
    try:
        with _building:
            tree = _tree(root, team.path)
            noted = files.cache_directory() / "projects" / _digest(root, tree)
            own = _noted(noted) or _kept(_build(root, tree, team.path), team.path)
            files.replace(noted, own)
    except OSError as error:
        words = f"its files cannot be read or copied: {error.strerror}"
        raise _unbuilt(team.path, words) from error
    return with_own(team, own)


def own_requirement(team: TeamTarget | Team | None) -> str:
    """Return what asks for a project's own wheel in the store by its path; empty without one."""
    if team is None or not team.own:
        return ""
    filename, _, sha256 = team.own.partition("#sha256=")
    url = store.kept_at(filename, sha256).as_uri()
    return f"{named_by(team.own)[0]} @ {url}#sha256={sha256}"


def with_wheel_here(lock: Lock, target: Target) -> Lock:
    """Return a lock with the project's own wheel where this machine has built the same one."""
    name, _, place = own_requirement(target.team).partition(" @ ")
    if not place:
        return lock
    there, here = lock.urls[name], place.partition("#")[0]
    return lock.model_copy(update={"text": lock.text.replace(f'"{there}"', f'"{here}"')})


def _tree(root: Path, said: str) -> list[Path]:
    """Return the project's files, relative and sorted; FleetwheelError for what leads elsewhere."""
    found: list[Path] = []
    size, deepest = 0, len(root.parts) + TREE_DEPTH
    for seen, path in enumerate(_walk(root), 1):
        mode = path.lstat()
        size += 0 if stat.S_ISDIR(mode.st_mode) else mode.st_size
        if seen > TREE_FILES or size > TREE_BYTES or len(path.parts) > deepest:
            raise FleetwheelError(
                f"{said} has more than {TREE_BYTES >> 20} MB, {TREE_FILES} files and directories,"
                f" or {TREE_DEPTH} levels of them, which is too much to build its wheel from",
                hint=f"keep data elsewhere, or {GIVE_IT}",
            )
        if stat.S_ISDIR(mode.st_mode):
            continue
        if stat.S_ISLNK(mode.st_mode):
            resolved(path, root, f"{said}/{path.relative_to(root)}")
        elif not stat.S_ISREG(mode.st_mode):
            raise FleetwheelError(
                f"{said}/{path.relative_to(root)} is no file", hint="take it out of the project"
            )
        found.append(path.relative_to(root))
    return sorted(found)


def _walk(root: Path) -> Iterator[Path]:
    """Yield what is below a directory: no environments, caches, repositories, builds.

    Raises OSError for a directory that cannot be read.
    """
    for place, directories, names in os.walk(root, onerror=_raise):
        here = Path(place)
        links = [name for name in directories if (here / name).is_symlink()]
        passed_over = {*NOT_CODE, *links, *(EARLIER_BUILDS if here == root else ())}
        directories[:] = [
            name
            for name in directories
            if name not in passed_over
            and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (
            here / name for name in [*directories, *names, *links] if not name.endswith(".pyc")
        )


def _raise(error: OSError) -> None:
    raise error


def _digest(root: Path, tree: list[Path]) -> str:
    found = hashlib.sha256()
    for path in tree:
        whole = root / path
        content = whole.readlink() if whole.is_symlink() else store.sha256(whole)
        found.update(f"{path}\0{whole.is_symlink()}\0{content}\0".encode())
    return found.hexdigest()


def _noted(path: Path) -> str | None:
    """Return the wheel that was built of a tree before, where it is still in the store."""
    if not path.is_file():
        return None
    own = path.read_text(encoding="utf-8")
    wheel = store.kept_at(*own.split("#sha256="))
    return own if wheel.is_file() else None


def _build(root: Path, tree: list[Path], said: str) -> tuple[str, bytes]:
    """Return the name and content of the wheel that pip builds of a copy of the files."""
    with work_directory("build") as work:
        for name in ("tmp", *UPWARD_ENDS):
            (work / name).mkdir()
        for path in tree:
            copy = work / "project" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, copy, follow_symlinks=False)
        command = [sys.executable, "-P", "-m", "pip", "wheel", "--no-deps", "--no-input", "--quiet"]
        command += ["--ignore-requires-python", "--disable-pip-version-check"]
        command += ["--wheel-dir", str(work / "wheels"), str(work / "project")]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"GIT_CEILING_DIRECTORIES": str(work), "TMPDIR": str(work / "tmp")}
        words = _run(command, work, environment, said)
        built = sorted((work / "wheels").glob("*.whl"))
        if len(built) != 1:
            raise _unbuilt(said, words or "no wheel came of it")
        return built[0].name, built[0].read_bytes()


def _run(command: list[str], work: Path, environment: dict[str, str], said: str) -> str:
    """Run a build, and return its last words."""
    with (work / "log").open("w+b") as log:
        try:
            status = run_group(
                command, cwd=work, env=environment, output=log, errors=log, timeout=BUILD_S
            )
        except subprocess.TimeoutExpired as error:
            raise _unbuilt(said, f"it took longer than {BUILD_S} s") from error
        log.seek(max(log.seek(0, os.SEEK_END) - 1500, 0))
        words = log.read().decode("utf-8", "replace").replace(str(work), "").strip()
    if status != 0:
        raise _unbuilt(said, words)
    return words


def _kept(wheel: tuple[str, bytes], said: str) -> str:
    """Put a wheel into the store, and return its file name with its hash."""
    name, content = wheel
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename as error:
        raise _unbuilt(said, f"{name} is no file name of a wheel") from error
    if any(tag.platform != "any" for tag in tags):
        raise FleetwheelError(
            f"{said} has compiled parts: {name} holds for systems like this machine alone",
            hint=f"for the hosts, {GIVE_IT}",
        )
    sha256 = hashlib.sha256(content).hexdigest()
    with store.beside(store.kept_at(name, sha256)) as new:
        new.write_bytes(content)
    return f"{name}#sha256={sha256}"


def _unbuilt(said: str, words: str) -> FleetwheelError:
    return FleetwheelError(
        f"the wheel of {said} cannot be built: {words}",
        hint=f"see `pip wheel --no-deps {said}`; or leave install out, or {GIVE_IT}",
    )
