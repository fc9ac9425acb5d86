"""A pylock.toml (PEP 751) of a team as pins."""

from collections.abc import Collection, Sequence
from pathlib import Path

from packaging.pylock import Package, Pylock, PylockValidationError

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.pins import BUILD_IT, Pin, Team, TeamFile, team_of, unbuilt
from fleetwheel.team.reading import read_bytes, toml

OTHERS = {
    "uv.lock": "name its directory: project: DIRECTORY",
    "poetry.lock": "`poetry export --output requirements.txt`, and requirements: requirements.txt",
    "pdm.lock": "`pdm export --output requirements.txt`, and requirements: requirements.txt",
    "Pipfile.lock": "`pipenv requirements --hash > requirements.txt`, and requirements: that file",
    "pixi.lock": "list what comes from PyPI in a requirements.txt, and requirements: that file",
    "environment.yml": "list what pip installs in a requirements.txt, and requirements: that file",
    "environment.yaml": "list what pip installs in a requirements.txt, and requirements: that file",
}
"""Files of other tools, and the way from them."""


def read_pylock(file: TeamFile, path: Path, base: Path) -> Team:
    """Return what a pylock.toml asks for; FleetwheelError for what hosts cannot install."""
    if path.name in OTHERS:
        raise FleetwheelError(f"{file.path} is no pylock.toml", hint=OTHERS[path.name])
    document = toml(read_bytes(path, base, file.path), file.path)
    try:
        lock = Pylock.from_dict(document)
    except (PylockValidationError, ValueError, RecursionError) as error:
        raise FleetwheelError(
            f"{file.path} is no lock of PEP 751: {error}",
            hint="make it again, such as with `uv export --format pylock.toml`",
        ) from error
    _require_known(file, "extras", file.extras, lock.extras or ())
    _require_known(file, "groups", file.groups, lock.dependency_groups or ())
    groups = file.groups or tuple(lock.default_groups or ())
    return team_of(
        file.model_copy(update={"groups": groups}),
        [pin for package in lock.packages if (pin := _pin(package, file.path))],
        requires_python=str(lock.requires_python or ""),
        whole=True,
    )


def _require_known(file: TeamFile, key: str, asked: Sequence[str], known: Collection[str]) -> None:
    missing = [name for name in asked if name not in known]
    if missing:
        there = ", ".join(sorted(known)) or "none"
        raise FleetwheelError(
            f"{file.path} has no {', '.join(missing)} among its {key}, which are: {there}",
            hint=f"name one of these under {key}:, or leave {key} out",
        )


def _pin(package: Package, said: str) -> Pin | None:
    """Return the pin of a package; None where the host's variant of torch brings it."""
    place = f"{said}, {package.name}"
    known = Pin(requirement=f"{package.name}=={package.version}", place=place)
    if package.version is not None and known.with_variant:
        return known.model_copy(update={"marker": str(package.marker or "")})
    if package.is_direct or package.version is None:
        where = "git" if package.vcs else "a directory" if package.directory else "an address"
        raise FleetwheelError(f"{said}: {unbuilt(package.name, where)}", hint=BUILD_IT)
    stated = [wheel.hashes for wheel in package.wheels or ()]
    stated += [package.sdist.hashes] if package.sdist else []
    hashes = sorted({each.get("sha256", "") for each in stated} - {""})
    if not hashes:
        raise FleetwheelError(
            f"{said}: {package.name} has no hash of the kind sha256", hint="make the lock again"
        )
    return known.model_copy(update={"marker": str(package.marker or ""), "hashes": tuple(hashes)})
