"""Working PyTorch on many Windows and Linux machines, and a proof that it works."""

from pathlib import Path

__version__ = "0.1.0"

if Path(__file__).with_name("facts").is_file():
    raise ImportError(
        "this clone has text files where it should have symbolic links: run\n"
        "  git config core.symlinks true && git checkout -- fleetwheel\n"
        "in it (Windows: in developer mode or as administrator), or pip install the wheel"
    )
