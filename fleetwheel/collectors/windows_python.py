"""What a Python on Windows says of itself, in one line: runs there.

An older one than 3.8 need not get through this; exit code 3 is one that fleetwheel cannot use.
"""

import ctypes
import os
import sys
import sysconfig
from pathlib import Path


def home(path: Path) -> Path:
    """Return the interpreter that a virtual environment was made from, or the path itself."""
    config = path.parents[1] / "pyvenv.cfg"
    if not config.exists():
        return path
    pairs = [line.partition("=") for line in config.read_text(encoding="utf-8").splitlines()]
    values = {name.strip(): value.strip() for name, _, value in pairs}
    return Path(values["home"], "python.exe")


def memory_kib() -> int:
    """Return the memory that Windows has to give; 0 where it does not say."""
    status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX begins with its size, and a load
    return status[1] // 1024 if ctypes.CDLL("kernel32").GlobalMemoryStatusEx(status) else 0


if __name__ == "__main__":
    bits = 64 if sys.maxsize > 2**32 else 32
    free_threaded = "t" if "free-threading" in sys.version else "-"
    venv = (Path(os.__file__).parent / "venv" / "__init__.py").exists()
    version, name = sys.version.split()[0], sys.implementation.name
    path = home(Path(sys.executable).resolve())
    print(f"pythons python {version} {name} {bits} {free_threaded} {venv:d} {path}")
    print(f"pythons machine {sysconfig.get_platform()} {path}")
    if bits == 64:
        print(f"platform memory_kib {memory_kib()}")
    sys.exit(0 if sys.version_info >= (3, 8) and bits == 64 else 3)
