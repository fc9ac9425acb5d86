"""The examples for Kubernetes: valid for its API, and their commands run here as a node would."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwheel.node.trust import why_distrusted
from tests import node_program
from tests.node_host import Host
from tests.samples import CPU_HOST, state_of

EXAMPLES = Path("examples/kubernetes")
VALIDATE = "kubernetes-validate==1.37.0"
MOUNTS = """
set -e
root=$1 host=$2 tmp=$3
shift 3
mkdir -p /opt/fleetwheel
mount --bind "$root" /opt/fleetwheel
mount --rbind / "$host"
mount -o remount,bind,ro "$host"
if test -n "$tmp"; then
    mount -t tmpfs tmpfs "$host$tmp"
    mkdir -p "$host$root"
    mount --bind "$root" "$host$root"
fi
exec "$@"
"""
"""A container's view of the host, whose root directory is at its usual place.

The launcher in it names the directory below /tmp that a test has deployed to.
"""
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace"),
    pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU"),
]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def run_in_container(
    root: Path, place: Path, command: Sequence[str], tmp: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command where the file system of the host is mounted on /host, read-only.

    ``tmp`` is an empty directory in it that may be written.
    """
    host = place / "host"
    host.mkdir(exist_ok=True)
    words = [str(host) if word == "/host" else word for word in command]
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", root, host, tmp, *words],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_api_takes_the_examples(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", VALIDATE]
    subprocess.run(pip, check=True)
    files = sorted(EXAMPLES.glob("*.yaml"))
    command = [tmp_path / "venv/bin/kubernetes-validate", "--strict", *files]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" passed for resource ") == 3


def test_node_problem_detector_is_told(tmp_path: Path) -> None:
    """Exit code 0 is healthy and 1 a problem; the output becomes the condition's message."""
    (config, _) = documents("node-problem-detector.yaml")
    monitor = json.loads(config["data"]["fleetwheel.json"])
    (rule,) = monitor["rules"]
    assert rule["condition"] in [condition["type"] for condition in monitor["conditions"]]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    host = Host(tmp_path / "root", CPU_HOST.model_copy(update={"boot_id": boot}))
    (host.root / "state.json").write_text(state_of(host.record).text())
    node_program.placed(host.root)
    assert not why_distrusted(host.root)
    command = [rule["path"], *rule["args"]]

    well = run_in_container(host.root, tmp_path, command)
    assert (well.returncode, well.stdout) == (0, "torch 2.13.0 cpu, as deployed\n"), well.stderr
    host.install("stray", "1.0")
    drifted = run_in_container(host.root, tmp_path, command)
    assert drifted.returncode == 1
    assert drifted.stdout == "package: stray: expected not there, found 1.0\n"
    assert len(drifted.stdout.strip()) <= monitor["pluginConfig"]["max_output_length"]


def test_the_job_before_a_run_tests_the_node(torch_cpu_python: Path, tmp_path: Path) -> None:
    (job,) = documents("preflight-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert mounts == ["/host", "/host/tmp"]
    root, command = torch_cpu_python.parents[2], container["command"]
    done = run_in_container(root, tmp_path, command, tmp="/tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok: torch ")
