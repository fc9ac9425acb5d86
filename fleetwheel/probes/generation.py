"""Build, activate and clean up the generations of one host: runs there, Python 3.8 or newer.

Reads ``input``, a dictionary with ``action`` and that function's arguments, as a global name (see
``connection/remote.py``) and prints one JSON document: ``{"ok": true, ...}``, or ``{"ok": false,
"error": ..., "hint": ...}`` with exit code 1. Everything happens under ``root``:

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

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

OFD_GETLK, FLOCK = 36, "hhqqi"
"""Linux's F_OFD_GETLK, which Python knows from 3.9 on, and its struct flock on 64 bits."""

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import select

SITE_HOOK = '''\
"""Keeps a process in the generation it started in, and holds a lease on it until the process ends.

Started through ``current``, a Python would import from wherever ``current`` points later on.
"""

import os
import sys


def _settle():
    started = sys.prefix
    generation = os.path.realpath(started)

    def resolved(path):
        inside = path == started or path.startswith(started + os.sep)
        return generation + path[len(started):] if inside else path

    sys.path[:] = [resolved(path) for path in sys.path]
    sys.prefix, sys.exec_prefix = resolved(sys.prefix), resolved(sys.exec_prefix)
    sys.executable = resolved(sys.executable or "")
    return generation


def _lease(generation):
    # A read lock of the open file, which children share. Who cannot write to the file can take no
    # write lock of it, and so cannot keep this one away; with flock everybody could.
    import fcntl
    import struct

    handle = os.open(os.path.join(generation, "pyvenv.cfg"), os.O_RDONLY)
    lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(handle, 37, lock)  # F_OFD_SETLK of Linux 3.15, which Python knows from 3.9 on
    return handle


_generation = _settle()
try:
    _handle = _lease(_generation)
except (ImportError, OSError):
    _handle = None  # Windows refuses to remove a program that runs; elsewhere the lease is advice
'''


class Failure(Exception):  # noqa: N818 - it is no error of this program
    """What went wrong on this host, with what mends it."""

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.hint = hint


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the host's lock, so that two controllers never change one root at a time."""
    root.mkdir(parents=True, exist_ok=True)
    # A lock that others can open is one that they can hold.
    with os.fdopen(os.open(str(root / ".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        (root / ".lock").chmod(0o600)
        try:
            _lock(lock)
        except (BlockingIOError, PermissionError):
            raise Failure(
                f"another run is at work in {root}", "wait for it to end, then run again"
            ) from None
        # uv holds the lock too: should this program be killed, nobody builds beside it.
        os.set_inheritable(lock.fileno(), True)
        yield


def _lock(handle: IO[str]) -> None:
    if sys.platform == "win32":
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
) -> dict[str, Any]:
    """Make the generation ``id`` from the text of a PEP 751 lock; ``current`` is not touched.

    ``delivered`` is the same lock with the addresses that hold for this host. ``wheels`` are those
    that the controller sends, file name to hash: if some are missing, the answer only names them.
    ``certificates`` is the text of the authorities that uv trusts in place of its own.
    """
    base = Path(root)
    with exclusive(base):
        place_uv(base, uv_name, uv_sha256)
        sweep(base)
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
            make_environment(base, stage, python, environment)
            made = [*programs_and_modules(stage), stage / "pyvenv.cfg", stage / "pylock.toml"]
            (stage / "pylock.toml").write_bytes(lock.encode())
            install(base, stage, environment, delivered or lock, offline)
            hook = site_packages(stage) / "fleetwheel_generation.py"
            hook.write_text(SITE_HOOK)
            start = hook.with_name("zz_fleetwheel.pth")
            start.write_text("import fleetwheel_generation\n")
            record_own(stage, [*made, hook, start])
            stage.rename(base / "envs" / id)
        finally:
            shutil.rmtree(str(stage), ignore_errors=True)
    return {"built": id}


def place_uv(root: Path, name: str, sha256: str) -> None:
    """Put a uv that was sent to ``bin/uv.new`` in its place, if it is the one that was meant.

    Its name tells the next run what it is, so that nobody has to run it for that.
    """
    uv, sent = uv_path(root), root / "bin" / "uv.new"
    if not sent.exists():
        return
    if file_hash(sent).hex() != sha256:
        raise Failure(f"{sent} is not the uv that was sent", "run again to send it again")
    sent.chmod(0o755)
    if sys.platform == "win32":
        sent.replace(uv)
        return
    sent.replace(uv.with_name(name))
    point(uv, Path(name))
    for older in uv.parent.glob("uv-*"):
        if older.name != name:
            older.unlink()


def uv_path(root: Path) -> Path:
    return root / "bin" / ("uv.exe" if sys.platform == "win32" else "uv")


def sweep(root: Path) -> None:
    """Remove what interrupted runs left behind; the lock is held, so nobody works in it."""
    (root / "envs").mkdir(parents=True, exist_ok=True)
    for left in (*(root / "envs").glob(".*-*"), *(root / "cache" / "uv").glob(".tmp*")):
        shutil.rmtree(str(left), ignore_errors=True)


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
            sent.replace(place)
    return [name for name, sha256 in wheels.items() if not wheel_path(root, name, sha256).exists()]


def wheel_path(root: Path, name: str, sha256: str) -> Path:
    return root / "cache" / "wheels" / sha256 / name


def make_environment(root: Path, stage: Path, python: str, environment: dict[str, str]) -> None:
    uv(root, environment, "venv", "--relocatable", "--no-project", "--python", python, str(stage))


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


NAMED = 20
"""Files that no RECORD names, of which an answer has so many."""
MIB = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}


class Fetching:
    """Keeps a line in a file on how much of a wheel set is there, from what uv says of itself."""

    BEGUN = re.compile(r"\s*Downloading (\S+) \(([0-9.]+)(KiB|MiB|GiB)\)")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all_mib = self.fetched_mib = 0.0
        self.waiting: dict[str, float] = {}

    def hear(self, line: str) -> None:
        begun = self.BEGUN.match(line)
        if begun:
            size = float(begun[2]) * MIB[begun[3]]
            self.waiting[begun[1]] = size
            self.all_mib += size
        elif line.strip().startswith("Downloaded "):
            self.fetched_mib += self.waiting.pop(line.split()[1], 0.0)
        else:
            return
        text = f"fetched {self.fetched_mib:.0f} of {self.all_mib:.0f} MiB"
        if self.waiting:
            text += f", at {', '.join(list(self.waiting)[:3])}"
        self.path.write_text(text + "\n", encoding="utf-8")


def uv(
    root: Path,
    environment: dict[str, str],
    *arguments: str,
    told: Callable[[str], None] = lambda line: None,
) -> None:
    """Run uv, telling each line that it says; raise Failure with its words when it fails."""
    command = [str(uv_path(root)), "--no-config", "--color", "never"]
    command += ["--no-python-downloads", "--cache-dir", str(root / "cache" / "uv"), *arguments]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    said: list[str] = []
    try:
        for line in process.stdout or ():
            said.append(line)
            told(line)
        process.wait()
    except BaseException:
        process.kill()
        raise
    if process.returncode != 0:
        raise explained(arguments, "".join(said).strip())


def explained(arguments: tuple[str, ...], output: str) -> Failure:
    """Return uv's failure with the repair that its words call for."""
    hints = (
        ("Hash mismatch", "a wheel or the lock was changed: run with --data relock=true"),
        ("No space left on device", "free some space on the host, then run again"),
        ("Permission denied", "run as the owner of the root, or name another root"),
        (
            "401 Unauthorized",
            "the source wants a user name and password",
        ),
        ("Failed to fetch", "the host cannot reach the source: check its network or proxy"),
    )
    hint = next((hint for words, hint in hints if words in output), "")
    return Failure(f"uv {' '.join(arguments[:2])} failed: {output[-3000:]}", hint)


def environment_python(stage: Path) -> Path:
    return stage / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(stage: Path) -> Path:
    if sys.platform == "win32":
        return stage / "Lib" / "site-packages"
    return next((stage / "lib").glob("python3*/site-packages"))


def damaged_packages(stage: Path) -> list[str]:
    """Return the names of installed packages with a file that differs from its RECORD hash."""
    files = [file for file in recorded_files(stage) if file[2].startswith("sha256=")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        intact = pool.map(lambda file: recorded_hash(file[1]) == file[2], files)
    # strict= came with Python 3.10
    checked = zip(files, intact)  # noqa: B905
    return sorted({file[0] for file, same in checked if not same})


def recorded_files(stage: Path) -> list[tuple[str, Path, str]]:
    """Return package, path and hash of every file that a RECORD names.

    A package without METADATA is none: nobody would miss it, and its RECORD could name anything.
    """
    site = site_packages(stage)
    records = [(m.parent.name.split("-")[0], m.parent) for m in site.glob("*.dist-info/METADATA")]
    return [
        (package, Path(os.path.normpath(str(site / row[0]))), row[1])
        for package, place in [*records, ("fleetwheel", stage)]
        if (place / "RECORD").exists()
        for row in csv.reader((place / "RECORD").read_text(encoding="utf-8").splitlines())
        if len(row) > 1
    ]


def programs_and_modules(stage: Path) -> list[Path]:
    """Return all that an environment could run or import; links are not followed."""
    site = site_packages(stage)
    found = []
    for place in (environment_python(stage).parent, site):
        for directory, directories, names in os.walk(str(place)):
            links = [name for name in directories if (Path(directory) / name).is_symlink()]
            found += [Path(directory) / name for name in names + links]
    return found


def record_own(stage: Path, own: list[Path]) -> None:
    """Write a RECORD of what no wheel brought: by uv for each environment, and by fleetwheel."""
    site = str(site_packages(stage))
    rows = [
        [os.path.relpath(str(path), site), "" if path.is_symlink() else recorded_hash(path), ""]
        for path in own
        if os.path.lexists(str(path))
    ]
    with (stage / "RECORD").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def unrecorded_files(stage: Path) -> list[str]:
    """Return programs and modules that no RECORD names, as paths in the generation.

    What Python compiled of a module that one names is exempt.
    """
    recorded = {path for _, path, _ in recorded_files(stage)}
    return sorted(
        str(path.relative_to(stage))
        for path in programs_and_modules(stage)
        if path not in recorded and source_of(path) not in recorded
    )


def source_of(bytecode: Path) -> Path | None:
    """Return the module that ``__pycache__/x.cpython-311.pyc`` was compiled from."""
    if bytecode.parent.name != "__pycache__" or bytecode.suffix != ".pyc":
        return None
    return bytecode.parent.parent / (bytecode.name.split(".")[0] + ".py")


def recorded_hash(path: Path) -> str:
    """Return the hash of a file as RECORD writes it; empty when it cannot be read."""
    try:
        return "sha256=" + base64.urlsafe_b64encode(file_hash(path)).rstrip(b"=").decode()
    except OSError:
        return ""


def file_hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.digest()


def activate(root: str, id: str, record: str, keep: int, failed: list[str]) -> dict[str, Any]:
    """Point ``current`` at a generation, write the record, and clean up."""
    base = Path(root)
    with exclusive(base):
        generation = base / "envs" / id
        if not (generation / "pyvenv.cfg").exists():
            raise Failure(f"generation {id} is not there any more", "run again to build it")
        os.utime(str(generation))
        prepared = prepare(base / "state.json", record)
        point(base / "current", Path("envs") / id)
        prepared.replace(base / "state.json")
        removed = clean(base, keep, failed)
        trim(base)
    return {"activated": id, "removed": removed}


def point(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target`` in one step: never absent, never half made."""
    new = link.with_name(f".{link.name}-{os.getpid()}")
    remove_link(new)
    if sys.platform == "win32":
        point_junction(link, target, new)
    else:
        new.symlink_to(target)
        new.replace(link)


def point_junction(link: Path, target: Path, new: Path) -> None:
    """Make ``link`` a junction, or where the disk has none a file with the name of the target.

    Windows replaces no directory, so there is a moment between two renames without a ``link``. One
    that was interrupted there is made by the next run, which finds nothing in use.
    """
    old = link.with_name(f".{link.name}-old")
    remove_link(old)
    try:
        create_junction(link.parent / target, new)
    except OSError:
        remove_link(new)  # the empty directory that was to become one
        new.write_text(f"{target}\n", encoding="utf-8")
    if os.path.lexists(str(link)) and not link.is_file():
        link.rename(old)
    new.replace(link)
    remove_link(old)


def create_junction(target: Path, link: Path) -> None:
    """Make a directory junction, for which Windows wants no special rights."""
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(target), str(link))


def remove_link(link: Path) -> None:
    """Remove a symbolic link, a junction or a file; what it leads to stays."""
    if not os.path.lexists(str(link)):
        return
    try:
        link.unlink()
    except PermissionError:
        link.rmdir()


def generation_in_use(root: Path) -> str:
    """Return the id of the generation that ``current`` leads to."""
    current = root / "current"
    if current.is_file():
        current = root / current.read_text(encoding="utf-8").strip()
    return current.resolve().name


def prepare(path: Path, text: str) -> Path:
    """Write a text to the disk beside a file, which it can then replace without failing."""
    new = path.with_name(f".{path.name}-{os.getpid()}")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new


def record(root: str, record: str) -> dict[str, Any]:
    """Write the record alone: after a smoke test that activates nothing."""
    with exclusive(Path(root)):
        prepare(Path(root) / "state.json", record).replace(Path(root) / "state.json")
    return {}


def drop_bytecode(root: str, id: str) -> dict[str, Any]:
    """Drop what Python compiled in a generation: on a full disk it writes half of a file.

    It believes that file ever after, so that an earlier run may have spoilt the generation.
    """
    with exclusive(Path(root)):
        for bytecode in (Path(root) / "envs" / id).rglob("__pycache__"):
            shutil.rmtree(str(bytecode), ignore_errors=True)
    return {}


def verify(root: str, id: str) -> dict[str, Any]:
    """Name packages with files that differ from their RECORD, and files that none names."""
    generation = Path(root) / "envs" / id
    return {
        "damaged": damaged_packages(generation),
        "unrecorded": unrecorded_files(generation)[:NAMED],
    }


def clean(root: Path, keep: int, failed: list[str]) -> list[str]:
    """Remove failed generations and all but the newest ``keep``; never current or one in use."""
    envs = root / "envs"
    current = generation_in_use(root)
    others = [path for path in envs.iterdir() if path.name[0] != "." and path.name != current]
    good = [path for path in others if path.name not in failed]
    good.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    kept = good[: keep - 1]
    removed = []
    for path in others:
        if path in kept or in_use(path):
            continue
        leaving = path.with_name(".removing-" + path.name)
        try:
            path.rename(leaving)
        except OSError:  # it stays for the next run: cleaning decides nothing
            continue
        if in_use(leaving):  # by a process that started in between
            leaving.rename(path)
            continue
        shutil.rmtree(str(leaving), ignore_errors=True)
        removed.append(path.name)
    return removed


def trim(root: Path) -> None:
    """Drop from the caches what no generation is made of: uv fetches it again if it is wanted.

    Files in uv's cache that a generation uses are hard links, and have more than one name.
    """
    shutil.rmtree(str(root / "cache" / "wheels" / "incoming"), ignore_errors=True)
    locks = [path.read_text(encoding="utf-8") for path in root.glob("envs/*/pylock.toml")]
    for place in root.glob("cache/wheels/*"):
        if not any(place.name in lock for lock in locks):
            shutil.rmtree(str(place), ignore_errors=True)
    for unpacked in root.glob("cache/uv/archive-*/*"):
        if not any(path.stat().st_nlink > 1 for path in unpacked.rglob("*") if path.is_file()):
            shutil.rmtree(str(unpacked), ignore_errors=True)


def in_use(generation: Path) -> bool:
    """Whether a process that runs from the generation holds the lease that it took at its start.

    Asked without taking a lock, which a process that starts right now would meet. Before there was
    a RECORD beside it the lease was a flock.
    """
    if sys.platform == "win32":
        return False
    lease = generation / "pyvenv.cfg"
    try:
        with lease.open("r+") as file:
            whole = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            found = struct.unpack(FLOCK, fcntl.fcntl(file, OFD_GETLK, whole))
            if found[0] != fcntl.F_UNLCK:
                return True
            if not (generation / "RECORD").exists():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def end_with_controller() -> None:
    """End this program when nobody reads its output any more, as after Ctrl-C or a lost link."""
    poll = select.poll()
    poll.register(1, 0)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def terminated(number: int, frame: object) -> None:
    raise Failure(f"ended by signal {number}", "run again: it starts over where this began")


def main(input: dict[str, Any]) -> int:
    signal.signal(signal.SIGTERM, terminated)
    if sys.platform != "win32":
        threading.Thread(target=end_with_controller, daemon=True).start()
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "build": build,
        "activate": activate,
        "record": record,
        "drop_bytecode": drop_bytecode,
        "verify": verify,
    }
    arguments = dict(input)
    try:
        answer = {"ok": True, **actions[arguments.pop("action")](**arguments)}
    except Failure as failure:
        answer = {"ok": False, "error": str(failure), "hint": failure.hint}
    except OSError as error:
        answer = {"ok": False, "error": str(error), "hint": "check the root's owner and disk"}
    print(json.dumps(answer))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(globals()["input"]))
