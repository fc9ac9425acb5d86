"""What an installation costs on one host: fleetwheel against uv alone, and against Ansible's pip.

Run it with ``python -m benchmarks.install [--ansible PROGRAM] [--rounds 3]``. Everything goes to a
temporary directory, from the wheel sources that pip is configured with, each time with an empty
cache; the three take turns, and medians are printed. Needs 6 GB of disk.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.project import Project, copy_of_checkout

UV = Path(sys.executable).with_name("uv")
TORCH = "2.13.0"


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def run(*command: object) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}")


def deploy(project: Project, **data: str) -> float:
    """Return the seconds of a deploy, without those of its smoke test."""

    def action() -> None:
        done = project.deploy(torch=f'"{TORCH}"', **data)
        if done.returncode != 0:
            sys.exit(done.stdout[-2000:])

    seconds = timed(action)
    entry = project.report()
    return seconds - (entry["smoke"]["seconds"] if entry["status"] == "changed" else 0)


def with_uv(base: Path, lock: Path) -> float:
    """Return the seconds that uv alone takes for the same wheels."""
    cache = ["--no-config", "--no-progress", "--cache-dir", base / "cache"]

    def action() -> None:
        run(UV, "venv", *cache, "--python", sys.executable, base / "venv")
        run(UV, "pip", "sync", *cache, "--python", base / "venv/bin/python", lock)

    return timed(action)


def with_ansible(program: str, base: Path) -> float:
    """Return the seconds of Ansible's pip module on this machine, the same releases asked for."""
    tasks = {"name": [f"torch=={TORCH}", "numpy"], "virtualenv": str(base / "venv")}
    tasks["virtualenv_command"] = f"{sys.executable} -m venv"
    tasks["extra_args"] = "--no-cache-dir --prefer-binary"
    module = ["-m", "ansible.builtin.pip", "-a", json.dumps(tasks)]
    return timed(lambda: run(program, "localhost", "-c", "local", *module))


def disk(path: Path) -> int:
    """Return the bytes that a tree takes, hard links once."""
    seen = {}
    for file in path.rglob("*"):
        status = file.lstat()
        seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def measure(base: Path, ansible: str | None) -> dict[str, float]:
    """Return the figures of one round."""
    (base / "project").mkdir(parents=True)
    project = Project(copy_of_checkout(base / "project"), base / "root")
    found = {"fleetwheel": deploy(project)}
    (lock,) = (project.directory / "locks").glob("pylock.*.toml")
    found["uv alone"] = with_uv(base / "uv", lock)
    if ansible:
        found["Ansible"] = with_ansible(ansible, base / "ansible")
    before = disk(project.root)
    found["second environment"] = deploy(project, packages="numpy,idna")
    found["second environment, MB"] = (disk(project.root) - before) / 1e6
    found["nothing to do"] = deploy(project, packages="numpy,idna")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ansible", help="the program `ansible` of ansible-core")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        base = Path(tempfile.mkdtemp(prefix="fleetwheel-benchmark-"))
        try:
            rounds.append(measure(base, options.ansible))
        finally:
            shutil.rmtree(base)
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    for name, figure in median.items():
        print(f"{name:24} {figure:8.1f}   {figure / median['uv alone']:5.2f} x uv alone")


if __name__ == "__main__":
    main()
