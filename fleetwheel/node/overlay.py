"""A user's own environment on top of one of this host: ``<root>/bin/overlay DIR [NAME]``.

It is a venv of the same Python with a copy of site_hook.py in it, which puts the packages of
``<root>/environments/NAME`` behind the user's own; nothing in it names a generation. The user runs
all of this; whoever deploys runs nothing in an overlay.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from fleetwheel.node.build import CONSTRAINTS, SITE_HOOK
from fleetwheel.node.link import DEFAULT, ENVIRONMENTS, leading, link_of
from fleetwheel.node.place import HERE
from fleetwheel.node.root import Failure
from fleetwheel.node.uninstall import drop
from fleetwheel.node.verify import environment_python, site_packages

BASE_PYTHON = "import os, sys; print(os.path.realpath(sys._base_executable))"
HAS_PIP = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ensurepip') is None)"
SEEN = """
import sys
from importlib.metadata import version
print(f"torch {version('torch')}, Python {sys.version_info[0]}.{sys.version_info[1]}")
"""
UV = """\
#!/bin/sh
# Written by fleetwheel: a uv that sees here what the environment below this one has.
exec {program} overlay-uv {directory} {name} "$@"
"""
NO_PIP = """\
#!/bin/sh
# Written by fleetwheel. Without it, pip would be that of the system, which installs elsewhere.
echo "pip: the Python of this environment brings none: uv pip install PACKAGE" >&2
exit 1
"""
PIP_CONF = """\
# Written by fleetwheel: torch stays that of the environment below this one.
[install]
constraint = {constraints}
"""


def by_hand(words: list[str]) -> int:
    """Make an overlay, say how it is used, and return the exit code."""
    parser = argparse.ArgumentParser(
        "overlay", description="Make an environment of your own on top of one of this host."
    )
    parser.add_argument("directory", metavar="DIR", help="a new or an empty directory")
    parser.add_argument("name", metavar="NAME", nargs="?", default=DEFAULT, help="%(default)s")
    options = parser.parse_args(words)
    directory, root = Path(os.path.abspath(options.directory)), HERE.parents[1]  # noqa: PTH100 - no links
    try:
        base = base_of(root, options.name)
        print(overlay(directory, base))
    except (Failure, OSError) as failure:
        hint = getattr(failure, "hint", "")
        print(f"overlay: {failure}{': ' if hint else ''}{hint}", file=sys.stderr)
        return 1
    return 0


def base_of(root: Path, name: str) -> Path:
    """Return the link to an environment that an overlay can stand on. Raises Failure."""
    if sys.platform == "win32":
        raise Failure("there are no overlays on Windows", "make a venv with the packages you need")
    if name not in leading(root):
        names = ", ".join(leading(root)) or "no environment"
        raise Failure(f"this host has no environment {name!r} in {root}", f"it has {names}")
    python = environment_python(link_of(root, name))
    if not os.access(str(python), os.X_OK):
        raise Failure(f"you may not run {python}", "ask who runs this host")
    base = root / ENVIRONMENTS / name
    if not (base / CONSTRAINTS).exists():
        raise Failure(
            f"the environment {name!r} was built by an earlier fleetwheel",
            "ask for it to be built again: deploys/torch.py --data rebuild=true",
        )
    return base


def overlay(directory: Path, base: Path) -> str:
    """Make an overlay on an environment, and return how it is used. Raises Failure."""
    refuse_place(directory, base.parents[1])
    existed = directory.is_dir()
    try:
        has_pip = make_venv(directory, base)
        site = site_packages(directory)
        hook = site / "fleetwheel_generation.py"
        hook.write_text(SITE_HOOK.read_text(encoding="utf-8"), encoding="utf-8")
        # !a: Python reads a .pth in the encoding of the user's locale.
        call = f"import fleetwheel_generation; fleetwheel_generation.attach({str(base)!a})\n"
        (site / "zz_fleetwheel.pth").write_text(call, encoding="ascii")
        write_uv(directory, base)
        if has_pip:
            constrain_pip(directory, base)
        else:
            write_script(directory / "bin" / "pip", NO_PIP)
        seen = run(environment_python(directory), "-I", "-c", SEEN)
    except BaseException:
        left = list(directory.iterdir()) if existed else [directory]
        for path in filter(os.path.lexists, map(str, left)):
            drop(Path(path))
        raise
    return how_to_use(directory, base, seen, has_pip)


def refuse_place(directory: Path, root: Path) -> None:
    """Raise Failure for a directory that holds something, or lies in the root."""
    if os.path.lexists(str(directory)):
        if not directory.is_dir():
            raise Failure(f"{directory} is there and no directory", "name a new one")
        if any(directory.iterdir()):
            raise Failure(f"{directory} is not empty", "name a new one")
    real, home = os.path.realpath(str(directory)), os.path.realpath(str(root))
    if real == home or real.startswith(home + os.sep):
        raise Failure(f"{directory} is in {root}, which deploys look after", "name another place")
    if os.pathsep in str(directory) or not str(directory).isprintable():
        raise Failure(f"{str(directory)!r} cannot be on a PATH", "name one without such letters")


def make_venv(directory: Path, base: Path) -> bool:
    """Make a venv of an environment's Python; return whether pip is in it.

    The interpreter is named with its version: what ``python3`` means changes with the system.
    """
    python = run(environment_python(base), "-I", "-c", BASE_PYTHON)
    has_pip = subprocess.call([python, "-I", "-c", HAS_PIP]) == 0
    run(Path(python), "-I", "-m", "venv", *([] if has_pip else ["--without-pip"]), str(directory))
    if has_pip:  # before 3.12 it brings an old setuptools, which would hide the environment's
        own = environment_python(directory)
        run(own, "-I", "-m", "pip", "uninstall", "--yes", "--quiet", "setuptools")
    return has_pip


def run(program: Path, *arguments: str) -> str:
    """Return what a program prints; raise Failure with its last line where it fails."""
    done = subprocess.run(
        [str(program), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Failure(f"{program} failed", "".join(said[-1:]))
    return done.stdout.strip()


def write_uv(directory: Path, base: Path) -> None:
    program, place = str(base.parents[1] / "bin" / "fleetwheel-node"), str(directory)
    text = UV.format(program=shlex.quote(program), directory=shlex.quote(place), name=base.name)
    write_script(directory / "bin" / "uv", text)


def write_script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o755)


def constrain_pip(directory: Path, base: Path) -> None:
    """Keep pip to the environment's torch, besides what its other configuration keeps it to."""
    python = str(environment_python(directory))
    asked = subprocess.run(
        [python, "-I", "-m", "pip", "config", "list"],
        env={**os.environ, "PIP_QUIET": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    found = dict(re.findall(r"^(global|install)\.constraint='(.*)'$", asked.stdout, re.MULTILINE))
    others = (found.get("install") or found.get("global") or "").split()
    constraints = "\n    ".join([*others, (base / CONSTRAINTS).as_uri()])
    (directory / "pip.conf").write_text(PIP_CONF.format(constraints=constraints), encoding="utf-8")


def how_to_use(directory: Path, base: Path, seen: str, has_pip: bool) -> str:
    """Return what a user has to know of a new overlay."""
    pip = "  pip install PACKAGE\n" if has_pip else ""
    return (
        f"{directory} is yours, on top of the environment {base.name} ({seen}):\n"
        f"  . {shlex.quote(str(directory / 'bin' / 'activate'))}\n"
        f"{pip}  uv pip install PACKAGE\n"
        "What runs keeps the packages that it started with; what you start after an update of"
        f" {base.name} has the new ones."
    )
