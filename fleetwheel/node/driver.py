"""The NVIDIA driver and GPUs of this host: what NVML, the kernel and the disk say.

The states are those that a controller finds (collectors/gpu.py), which asks nvidia-smi as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from fleetwheel.node.smoke.children import Job, ask

LIBRARY = "libnvidia-ml.so.1"
FOLDERS = (
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nvidia",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
    "/run/opengl-driver/lib",
)
"""Where the dynamic linker may not look."""
SIGNS = ("dev/nvidiactl", "dev/dxg", "etc/nv_tegra_release")
"""A container may see the driver but no PCI bus; WSL and Jetson have their GPU elsewhere."""
WINDOWS_LIBRARIES = (
    r"%SystemRoot%\System32\nvml.dll",
    r"%ProgramFiles%\NVIDIA Corporation\NVSMI\nvml.dll",
)


@dataclass(frozen=True)
class SeenGpu:
    """A GPU as far as it is compared; None where NVML does not tell."""

    index: int
    name: str
    uuid: str | None = None
    pci_bus_id: str | None = None
    memory_total_mib: int | None = None
    ecc: bool | None = None
    mig: bool | None = None
    pcie_width: int | None = None
    remapping_pending: bool | None = None
    remapping_failed: bool | None = None


class SeenDriver(NamedTuple):
    """The driver with its state, what is installed of it, and the GPUs in index order."""

    state: str
    version: str | None = None
    module: str | None = None
    library: str | None = None
    gpus: tuple[SeenGpu, ...] = ()


def gpu_of(values: dict[str, Any]) -> SeenGpu:
    """Return a GPU from NVML's document or a record; TypeError for one without index or name."""
    names = [field.name for field in fields(SeenGpu)]
    return SeenGpu(**{name: values[name] for name in names if name in values})


def nvidia(seconds: float, tree: Path = Path("/")) -> SeenDriver:
    """Return the driver and the GPUs; NVML gets so many seconds before the driver is hung."""
    if sys.platform == "win32":
        paths = [Path(os.path.expandvars(path)) for path in WINDOWS_LIBRARIES]
        there = [path for path in paths if path.exists()]
        return answered(there[0], None, seconds) if there else SeenDriver("no-gpu")
    module = loaded_module(tree)
    cards = has_cards(tree)
    if not (module or cards or any((tree / sign).exists() for sign in SIGNS)):
        return SeenDriver("no-gpu")
    library = next((path for path in libraries(tree) if path.is_file()), None)
    if library is not None:
        return answered(library, module, seconds)
    missing = module or cards or (tree / "etc/nv_tegra_release").exists()
    return SeenDriver("no-driver" if missing else "no-gpu", module, module)


def loaded_module(tree: Path) -> str | None:
    """Return the version of the kernel module that is loaded."""
    said = text(tree / "sys/module/nvidia/version").strip()
    line = text(tree / "proc/driver/nvidia/version").partition("\n")[0]
    found = re.match(r"NVRM version:.* (\d{3}\.[\d.]*) ", line)
    return said or (found[1] if found else None)


def has_cards(tree: Path) -> bool:
    """Whether a display device of NVIDIA is on the PCI bus."""
    return any(
        text(device / "vendor").strip() == "0x10de" and text(device / "class").startswith("0x03")
        for device in (tree / "sys/bus/pci/devices").glob("*")
    )


def libraries(tree: Path) -> Iterator[Path]:
    """Yield where NVML may be, the first that the dynamic linker would take first."""
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        yield Path(folder) / LIBRARY
    try:
        listed = subprocess.run(
            [str(tree / "sbin/ldconfig"), "-p"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=5,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        listed = ""
    for found in re.finditer(r"libnvidia-ml\.so\.1 \(libc6,.*=> (.*)", listed):
        yield Path(found[1])
    for place in FOLDERS:
        yield tree / place[1:] / LIBRARY


def answered(library: Path, module: str | None, seconds: float) -> SeenDriver:
    """Ask NVML, in a child that nobody waits for when it hangs."""
    folders = [os.environ.get("LD_LIBRARY_PATH", ""), str(library.parent)]
    environment = {"LD_LIBRARY_PATH": ":".join(filter(None, folders))}
    told = ask([Job("nvml", {}, environment)], seconds)[0]
    found = re.search(r"\.so\.(\d+(?:\.\d+)+)$", str(library.resolve()))
    installed = found[1] if found else None
    if "gpus" not in told:
        hung = told["error"].startswith("no answer")
        return SeenDriver("hung" if hung else "unparsable", module, module, installed)
    gpus = tuple(gpu_of(gpu) for gpu in told["gpus"] if "lost" not in gpu)
    version = told["driver"].get("version") or module
    return SeenDriver(told["driver"]["state"], version, module, installed, gpus)


def text(path: Path) -> str:
    """Return what a file holds; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
