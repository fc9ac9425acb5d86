"""uv in an overlay: it reads one site-packages, so what the environment below has is shown there.

Without that, ``uv pip install`` of a package that needs torch would bring another torch.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetwheel.node.build import CONSTRAINTS
from fleetwheel.node.link import ENVIRONMENTS
from fleetwheel.node.place import HERE
from fleetwheel.node.uv import uv_path
from fleetwheel.node.verify import site_packages

INSTALLER = "fleetwheel\n"
"""What says of a package's metadata that it stands for one of the environment below."""
BAD_USAGE, NOT_THERE, INTERRUPTED = 2, 127, 130


def by_hand(words: list[str]) -> int:
    """Run the host's uv for an overlay: ``DIR NAME ARGUMENT...``; return its exit code."""
    if len(words) < 2:
        print("usage: fleetwheel-node overlay-uv DIR NAME ARGUMENT...", file=sys.stderr)
        return BAD_USAGE
    root, directory, arguments = HERE.parents[1], Path(words[0]), words[2:]
    try:
        return run_uv(root / ENVIRONMENTS / words[1], directory, [str(uv_path(root)), *arguments])
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"uv of {directory}: {error}", file=sys.stderr)
        return NOT_THERE


def run_uv(base: Path, directory: Path, command: list[str]) -> int:
    """Run uv; for ``uv pip`` the overlay is its environment, with what is below in it."""
    if "pip" not in command:
        return subprocess.call(command)
    constraints = [os.environ.get("UV_CONSTRAINT", ""), (base / CONSTRAINTS).as_uri()]
    told = {"VIRTUAL_ENV": str(directory), "UV_CONSTRAINT": " ".join(constraints).strip()}
    with showing(base, directory):
        return subprocess.call(command, env={**os.environ, **told})


@contextmanager
def showing(base: Path, directory: Path) -> Iterator[None]:
    """Show uv the packages of an environment in an overlay, for as long as the block runs."""
    site = site_packages(directory)
    with (directory / "pyvenv.cfg").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        hide(site)
        own = {project(info) for info in site.glob("*.dist-info")}
        try:
            for metadata in site_packages(base).glob("*.dist-info/METADATA"):
                if project(metadata.parent) not in own:
                    show(metadata, site)
            yield
        finally:
            hide(site)


def project(info: Path) -> str:
    """Return the normalised name of a package, by its ``NAME-VERSION.dist-info``."""
    return re.sub(r"[-_.]+", "-", info.name.partition("-")[0]).lower()


def show(metadata: Path, site: Path) -> None:
    """Stand for a package that is below.

    RECORD names these files alone, so that uv can take it away and install another.
    """
    info = site / metadata.parent.name
    info.mkdir()
    (info / "INSTALLER").write_text(INSTALLER)
    shutil.copyfile(str(metadata), str(info / "METADATA"))
    names = ("INSTALLER", "METADATA", "RECORD")
    (info / "RECORD").write_text("".join(f"{info.name}/{name},,\n" for name in names))


def hide(site: Path) -> None:
    """Take away what stands for packages below, after a run that was ended too."""
    for installer in site.glob("*.dist-info/INSTALLER"):
        if installer.read_text(errors="replace") == INSTALLER:
            shutil.rmtree(str(installer.parent))
