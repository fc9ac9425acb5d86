"""Install fleetwheel into .venv beside this file, then run its main job or its tests.

python3 quickstart.py              pyinfra -y inventory.py deploys/torch.py
python3 quickstart.py test         pytest over tests/unit, then over tests/core
python3 quickstart.py test ...     pytest with these arguments
python3 quickstart.py install      nothing more

Needs Python 3.11 or newer and nothing else. What is installed is pinned by hash.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = (ROOT / ".venv").resolve()  # of a pull, a link to what stays when its tree is replaced
BIN = VENV / "bin"
PYTHON = BIN / "python"
CORES = os.cpu_count() or 1
TESTS = (
    # More than there are cores: many of these wait, for what hangs on purpose or for a host.
    ["tests/unit", f"--numprocesses={min(8, 2 * CORES)}", "--dist=worksteal"],
    ["tests/core", f"--numprocesses={min(8, CORES + 1)}", "--dist=loadfile"],
)


def main(arguments):
    if sys.version_info < (3, 11):  # noqa: UP036 - it is here to be told
        sys.exit(f"fleetwheel needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    if os.name == "nt":
        sys.exit("fleetwheel runs on Linux, and deploys to Windows: see docs/windows.md")
    os.chdir(ROOT)
    if arguments == ["install"]:
        install("requirements.txt")
    elif arguments[:1] == ["test"]:
        install("requirements-dev.txt")
        for words in [arguments[1:]] if arguments[1:] else TESTS:
            show(BIN / "pytest", *words)
    elif not arguments:
        install("requirements.txt")
        show(BIN / "pyinfra", "-y", "inventory.py", "deploys/torch.py")
    else:
        sys.exit(__doc__)


def show(*command):
    """Print a command and run it; one that fails ends this program with its status."""
    print("$", os.path.relpath(command[0], ROOT), *command[1:], flush=True)
    if status := subprocess.call(list(command)):
        sys.exit(status)


def install(requirements):
    """Install the pinned requirements and fleetwheel itself, unless they are there."""
    wanted = hashlib.sha256(
        Path(requirements).read_bytes() + Path("pyproject.toml").read_bytes()
    ).hexdigest()
    done = VENV / f"installed-{requirements}"
    if PYTHON.exists() and done.exists() and done.read_text() == wanted:
        return
    print(f"Installing {requirements} into .venv (about half a minute)", flush=True)
    make_environment()
    pip("install", "--require-hashes", "-r", requirements)
    pip("install", "--no-deps", "--no-build-isolation", "-e", ".")
    done.write_text(wanted)


def make_environment():
    """Make .venv; on a Debian without python3-venv its pip does the work from outside."""
    if PYTHON.exists():
        return
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        run(sys.executable, "-m", "venv", "--without-pip", VENV)
    else:
        run(sys.executable, "-m", "venv", VENV)


def pip(*arguments):
    if (BIN / "pip").exists():
        run(PYTHON, "-m", "pip", "-qq", *arguments)
    elif (
        subprocess.call([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0
    ):
        run(sys.executable, "-m", "pip", "--python", PYTHON, "-qq", *arguments)
    else:
        shutil.rmtree(VENV)
        sys.exit("This Python has neither pip nor ensurepip: on Debian, apt install python3-venv")


def run(*command):
    if subprocess.call(list(command)) != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main(sys.argv[1:])
