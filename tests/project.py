"""A copy of the project, to run deploys in without touching the checkout."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
PARTS = ("deploys", "inventory", "inventory.py", "config.py")


def run_pyinfra(
    directory: Path, *arguments: str, env: dict[str, str] | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run pyinfra in a project directory as a person would; its output is in ``stdout``."""
    return subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), *arguments],
        cwd=directory,
        env={**os.environ, "COLUMNS": "300", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )


def with_environment(host: dict[str, Any]) -> dict[str, Any]:
    """Return a host's entry in a report as if what is said of its one environment were its own."""
    found = host["environments"]
    assert len(found) <= 1, found
    nothing = {"why": "", "drift": [], "choice": None, "generation": None, "smoke": None}
    (one,) = found or [nothing]
    why = "\n".join(filter(None, [host["why"], one["why"]]))
    own = {key: one[key] for key in ("choice", "generation", "smoke")}
    return {**host, **own, "why": why, "drift": [*host["drift"], *one["drift"]]}


@dataclass
class Project:
    """A project directory of its own, which deploys to this machine under a root of its own."""

    directory: Path
    root: Path

    def command(self, *arguments: str, **data: str) -> list[str]:
        given = {"root": str(self.root), **data}
        options = [word for item in given.items() for word in ("--data", "=".join(item))]
        return [
            str(Path(sys.executable).with_name("pyinfra")),
            "inventory.py",
            *arguments,
            *options,
        ]

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, **data: str
    ) -> subprocess.CompletedProcess[str]:
        """Run pyinfra as a person would; the output is kept together in ``stdout``."""
        words = self.command(*arguments, **data)[1:]
        return run_pyinfra(self.directory, *words, env=env, seconds=600)

    def deploy(self, **data: str) -> subprocess.CompletedProcess[str]:
        return self.run("-y", "deploys/torch.py", **data)

    def report(self) -> dict[str, Any]:
        """Return this machine's entry in the newest report, with that of its only environment."""
        newest = max((self.directory / "reports").glob("*.json"))
        return with_environment(json.loads(newest.read_text())["hosts"][0])

    def record(self) -> dict[str, Any]:
        """Return the record of this machine's environment "default"."""
        state = json.loads((self.root / "state.json").read_text())
        record: dict[str, Any] = state["environments"]["default"]
        return record

    def python(self, program: str) -> str:
        """Run a program with the environment in use."""
        return subprocess.check_output(
            [self.root / "current/bin/python", "-c", program], text=True
        ).strip()

    def generations(self) -> set[str]:
        return {path.name for path in (self.root / "envs").iterdir()}

    def tree(self) -> dict[str, float]:
        """Return every path under the root with its time of change."""
        return {str(path): path.lstat().st_mtime for path in self.root.rglob("*")}


def copy_of_checkout(directory: Path) -> Path:
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.yaml", "*.yml")
            shutil.copytree(source, directory / part, ignore=ignored)
        else:
            shutil.copy(source, directory / part)
    return directory
