"""Deploys of a copy of the project to the test fleet, and what their reports say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.project import copy_of_checkout, with_environment
from tests.rig.fleet import Fleet


class FleetProject:
    """A project directory whose inventory is the fleet."""

    def __init__(self, directory: Path, rig: Fleet) -> None:
        directory.mkdir()
        self.directory, self.rig = copy_of_checkout(directory), rig

    def inventory(self, **defaults: object) -> None:
        self.rig.inventory(self.directory / "inventory" / "fleet.yaml", **defaults)

    def begin(self, *options: str, deploy: str = "torch") -> subprocess.Popen[str]:
        """Start one of deploys/; what it says is kept together in ``stdout``."""
        pyinfra = str(Path(sys.executable).with_name("pyinfra"))
        return subprocess.Popen(
            [pyinfra, "-y", "inventory.py", f"deploys/{deploy}.py", *options],
            cwd=self.directory,
            env={**os.environ, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def deploy(self, *options: str, deploy: str = "torch", timeout: float = 240) -> tuple[int, str]:
        """Run one of deploys/ to its end; return its exit code and what it said."""
        running = self.begin(*options, deploy=deploy)
        try:
            said, _ = running.communicate(timeout=timeout)
        finally:
            running.kill()
        return running.returncode, said

    def report(self) -> dict[str, dict[str, Any]]:
        """Return each host's entry in the newest report, with that of its only environment."""
        newest = max((self.directory / "reports").glob("*.json"))
        hosts = json.loads(newest.read_text())["hosts"]
        found = {host["name"]: host for host in hosts}
        alone = (name for name, host in found.items() if len(host["environments"]) < 2)
        return found | {name: with_environment(found[name]) for name in alone}

    def status(self) -> dict[str, str]:
        return {name: host["status"] for name, host in self.report().items()}
