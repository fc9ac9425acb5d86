"""Building a generation: an environment with the wheels of a lock, complete or not there at all.

Everything happens under ``root``:

    bin/uv                a link to the pinned uv, whose name has its version and digest
    certificates.pem      the authorities that wheel sources are checked against, if not uv's own
    cache/uv              uv's cache, on the same file system so that environments are hard links
    cache/wheels          wheels that the controller sent, each under its hash
    envs/<id>             a generation: an immutable virtual environment with a copy of its lock
    envs/.building-<id>   a generation that is not complete
    current               the generation in use, a symbolic link replaced by rename; on Windows a
                          directory junction, or a file with its name on disks that have none
    state.json            what was deployed, why, and what the smoke test found
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from fleetwheel.node.clean import sweep
from fleetwheel.node.look import locked
from fleetwheel.node.moving import move
from fleetwheel.node.readers import close_tree, give, make_private, number_of
from fleetwheel.node.root import Failure, exclusive
from fleetwheel.node.uv import Fetching, forget_trimmed, place_uv, uv
from fleetwheel.node.verify import (
    damaged_packages,
    environment_python,
    file_hash,
    programs_and_modules,
    record_own,
    site_packages,
)

SITE_HOOK = Path(__file__).with_name("site_hook.py")
PIP = Path(__file__).with_name("pip.sh")
CONSTRAINTS = "constraints.txt"
"""What pip and uv are kept to in an overlay (overlay.py): the torch of the environment."""


def build(
    root: str,
    id: str,
    lock: str,
    python: str,
    environment: dict[str, str],
    needed_bytes: int,
    uv_sha256: str,
    uv_name: str = "",
    delivered: str | None = None,
    wheels: dict[str, str] | None = None,
    offline: bool = False,
    certificates: str | None = None,
    group: str | None = None,
) -> dict[str, Any]:
    """Make the generation ``id`` from the text of a PEP 751 lock; ``current`` is not touched.

    ``delivered`` is the same lock with the addresses that hold for this host. ``wheels`` are those
    that the controller sends, file name to hash: if some are missing, the answer only names them.
    ``certificates`` is the text of the authorities that uv trusts in place of its own.
    The members of a ``group`` alone may read the generation.
    """
    base, readers = Path(root), number_of(group)
    with exclusive(base):
        place_uv(base, uv_name, uv_sha256)
        if (base / "envs" / id).exists():  # since the controller looked, another one made it
            return {"built": id}
        make_room(base)
        if readers is not None:
            close_cache(base)
        require_space(base, needed_bytes)
        missing = place_wheels(base, wheels or {})
        if missing:
            return {"missing": missing}
        stage = base / "envs" / (".building-" + id)
        if certificates:
            trusted = base / "certificates.pem"
            trusted.write_text(certificates, encoding="utf-8")
            environment = {**environment, "SSL_CERT_FILE": str(trusted)}
        try:
            make_private(stage)
            make_environment(base, stage, python, environment)
            made = [*programs_and_modules(stage), stage / "pyvenv.cfg", stage / "pylock.toml"]
            (stage / "pylock.toml").write_bytes(lock.encode())
            install(base, stage, environment, delivered or lock, offline)
            hook = site_packages(stage) / "fleetwheel_generation.py"
            hook.write_text(SITE_HOOK.read_text())
            start = hook.with_name("zz_fleetwheel.pth")
            start.write_text("import fleetwheel_generation; fleetwheel_generation.settle()\n")
            record_own(stage, [*made, hook, start, write_constraints(stage), *place_pip(stage)])
            give(stage, readers)
            move(stage, base / "envs" / id)
        finally:
            shutil.rmtree(str(stage), ignore_errors=True)
    return {"built": id}


def make_room(root: Path) -> None:
    """Remove what earlier runs left behind; the lock is held, so nobody works in it."""
    (root / "envs").mkdir(parents=True, exist_ok=True)
    sweep(root)
    for left in (root / "cache" / "uv").glob(".tmp*"):
        shutil.rmtree(str(left), ignore_errors=True)
    forget_trimmed(root / "cache" / "uv")


def close_cache(root: Path) -> None:
    """Leave the cache to who deploys: it has the same files as an environment that others have not.

    Files are hard links, so that only directories keep readers apart.
    """
    cache = root / "cache"
    cache.mkdir(exist_ok=True)
    if cache.stat().st_mode & 0o077:
        close_tree(cache)


def require_space(root: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(str(root)).free
    if free < needed_bytes:
        raise Failure(
            f"{root} has {free / 1e9:.1f} GB free,"
            f" the environment needs {needed_bytes / 1e9:.1f} GB",
            "free some space, or name another root in the inventory",
        )


def place_wheels(root: Path, wheels: dict[str, str]) -> list[str]:
    """Put the wheels that arrived in their places; return the names of those that are missing."""
    incoming = root / "cache" / "wheels" / "incoming"
    if wheels:
        incoming.mkdir(parents=True, exist_ok=True)
    for name, sha256 in wheels.items():
        sent, place = incoming / name, wheel_path(root, name, sha256)
        if sent.exists() and file_hash(sent).hex() == sha256:
            place.parent.mkdir(exist_ok=True)
            sent.chmod(0o644)
            move(sent, place)
    return [name for name, sha256 in wheels.items() if not wheel_path(root, name, sha256).exists()]


def wheel_path(root: Path, name: str, sha256: str) -> Path:
    return root / "cache" / "wheels" / sha256 / name


def place_pip(stage: Path) -> list[Path]:
    """Give an environment without pip one that says whose it is; return what that made."""
    if sys.platform == "win32":
        return []
    programs = environment_python(stage).parent
    version = site_packages(stage).parent.name[len("python") :]
    names = [programs / name for name in ("pip", "pip3", f"pip{version}")]
    if any(os.path.lexists(str(name)) for name in names):
        return []
    for name in names:
        name.write_bytes(PIP.read_bytes())
        name.chmod(0o755)
    return names


def make_environment(root: Path, stage: Path, python: str, environment: dict[str, str]) -> None:
    uv(root, environment, "venv", "--relocatable", "--no-project", "--python", python, str(stage))


def write_constraints(stage: Path) -> Path:
    """Write which torch is here, as pip and uv read it; its release decides about its partners."""
    torch = (locked(stage) or {}).get("torch")
    file = stage / CONSTRAINTS
    file.write_text(f"torch=={torch}\n" if torch else "")
    return file


def install(root: Path, stage: Path, environment: dict[str, str], lock: str, offline: bool) -> None:
    """Install a lock and check every file against RECORD.

    Files are hard links into uv's cache: if one was edited there, its package leaves the cache and
    is installed afresh.
    """
    interpreter = str(environment_python(stage))
    sync = ["pip", "sync", "--no-build", "--link-mode", "hardlink", "--python", interpreter]
    sync += ["--preview-features", "pylock", *(["--offline"] if offline else [])]
    delivered = stage / "pylock.delivered.toml"
    delivered.write_bytes(lock.encode())
    sync.append(str(delivered))
    progress = stage / "progress"
    uv(root, environment, *sync, told=Fetching(progress).hear)
    progress.unlink(missing_ok=True)
    damaged = damaged_packages(stage)
    if damaged:
        uv(root, environment, "cache", "clean", *damaged)
        uv(root, environment, *sync, *["--reinstall-package=" + name for name in damaged])
        damaged = damaged_packages(stage)
    if damaged:
        raise Failure(
            "installed files differ from the wheels' RECORD: " + ", ".join(damaged),
            "the disk or the wheel source is at fault: check the disk, then run with relock",
        )
    delivered.unlink()
