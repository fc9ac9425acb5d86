"""An environment with real torch, for the tests of this folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.sources.configured import configured_sources
from fleetwheel.sources.survey import survey
from tests.project import Project, copy_of_checkout


@pytest.fixture(scope="session")
def torch_cpu_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python with torch for CPU and numpy, as the main job installs them."""
    base = tmp_path_factory.mktemp("torch-cpu")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    done = project.deploy()
    assert done.returncode == 0, done.stdout
    yield project.root / "current/bin/python"
    shutil.rmtree(base)


RTX_4090 = """\
#!/bin/sh
# An RTX 4090 on driver 580.95.05, as nvidia-smi tells it.
case "$*" in
*--query-gpu=*)
    echo "0, GPU-6a35e6f5-0000-4000-8000-000000000000, 00000000:01:00.0,\
 NVIDIA GeForce RTX 4090, 8.9, 24564, 580.95.05" ;;
*) echo "| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05    CUDA Version: 13.0 |" ;;
esac
"""


@dataclass
class CudaDeployment:
    """A host that says it has a GPU, on which CUDA wheels were built, tested, and left unused."""

    project: Project
    done: "subprocess.CompletedProcess[str]"
    entry: dict[str, Any]
    """The host's entry in the report."""
    current: Path
    """What was in use before."""

    @property
    def python(self) -> Path:
        return self.project.root / "envs" / self.entry["generation"] / "bin/python"


@pytest.fixture(scope="session")
def cuda_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaDeployment]:
    """Torch 2.14.1 for CUDA 13.0, 5 GB on disk: one for all tests."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    local = [source for source in configured_sources() if not source.url.startswith("http")]
    known = survey(local, ["torch"]).wheels
    if not any(wheel.filename.startswith("torch-2.14.1-") for wheel in known):
        pytest.skip("pip has torch 2.14.1 on no local disk, and it is a download of 3 GB")
    base = tmp_path_factory.mktemp("torch-cuda")
    for name in ("project", "bin"):
        (base / name).mkdir()
    stub = base / "bin/nvidia-smi"
    stub.write_text(RTX_4090)
    stub.chmod(0o755)
    project = Project(copy_of_checkout(base / "project"), base / "root")
    cpu = project.deploy(accelerator="cpu")
    assert cpu.returncode == 0, cpu.stdout
    current = (project.root / "current").readlink()
    path = {"PATH": f"{stub.parent}:{os.environ['PATH']}"}
    done = project.run("-y", "deploys/torch.py", env=path, torch='"2.14.1"')
    yield CudaDeployment(project, done, project.report(), current)
    shutil.rmtree(base)
