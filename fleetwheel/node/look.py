"""What stands under the root of this host, and what the host is; nothing is written."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from fleetwheel.node.compare import Environment
from fleetwheel.node.driver import text
from fleetwheel.node.verify import environment_python, site_packages
from fleetwheel.node.versions import normal

PACKAGE = re.compile(r'^name = "([^"]*)"$.*?^version = "([^"]*)"$', re.MULTILINE | re.DOTALL)
"""How uv writes a package into a lock; Python before 3.11 reads no TOML."""
BOOT = r"SYSTEM\CurrentControlSet\Control"


def owner(path: Path) -> str:
    """Return the name of who owns a file, or the number of who has none."""
    try:
        return path.owner()
    except (KeyError, NotImplementedError):
        return str(path.stat().st_uid)


def environment(generation: Path) -> Environment | None:
    """Return a generation as it stands here; None where there is none."""
    if not generation.is_dir():
        return None
    python = environment_python(generation)
    return Environment(os.access(str(python), os.X_OK), packages_here(generation))


def unreachable(generation: Path) -> str:
    """Return what of a generation this user cannot ``run FILE`` or ``read FILE``; maybe nothing.

    What is gone, or what nobody can run, is no matter of who asks.
    """
    python = environment_python(generation)
    try:
        runs = os.stat(str(python)).st_mode & 0o111  # noqa: PTH116 - exists() hides who may not look
    except PermissionError:
        real = os.path.realpath(str(python))
        return f"run {python}" + (f", which leads to {real}" if real != str(python) else "")
    except OSError:
        runs = 0
    if runs and not os.access(str(python), os.X_OK):
        return f"run {python}"
    sites = generation.glob("[Ll]ib/python3*/site-packages")
    places = [generation, generation / "lib", *sites, generation / "pylock.toml"]
    closed = [path for path in places if path.exists() and not os.access(str(path), os.R_OK)]
    return f"read {closed[0]}" if closed else ""


def packages_here(generation: Path) -> dict[str, str]:
    """Return normalised name to version; a package that is there twice gets both."""
    found: dict[str, list[str]] = {}
    try:
        site = site_packages(generation)
    except StopIteration:
        return {}
    for metadata in sorted(site.glob("*.dist-info/METADATA")):
        lines = text(metadata).partition("\n\n")[0].splitlines()
        fields = dict(reversed([line.split(": ", 1) for line in lines if ": " in line]))
        name = re.sub(r"[-_.]+", "-", fields.get("Name", "")).lower()
        found.setdefault(name, []).append(normal(fields.get("Version", "")))
    return {name: ", ".join(versions) for name, versions in found.items()}


def locked(generation: Path) -> dict[str, str] | None:
    """Return the packages of the lock that a generation keeps; None without one."""
    lock = text(generation / "pylock.toml")
    packages = lock.split("[[packages]]")[1:]
    known = [found for found in map(PACKAGE.search, packages) if found]
    return {found[1]: normal(found[2]) for found in known} or None


def boot_id() -> str | None:
    """Return what changes with every boot, as a controller reads it."""
    if sys.platform != "win32":
        return text(Path("/proc/sys/kernel/random/boot_id")).strip() or None
    import winreg

    def value(path: str, name: str) -> str:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{BOOT}\{path}") as key:
                found = winreg.QueryValueEx(key, name)[0]
        except OSError:
            return ""
        return found.hex().upper() if isinstance(found, bytes) else hex(found)

    boots = value(r"Session Manager\Memory Management\PrefetchParameters", "BootId")
    return "-".join(filter(None, [boots, value("Windows", "ShutdownTime")])) or None
