"""CUDA wheels for real without a GPU: chosen, installed and tested, but never activated."""

import os
import shutil
from pathlib import Path

import pytest

from fleetwheel.wheels.sources import configured_sources
from fleetwheel.wheels.survey import survey
from tests.project import Project

pytestmark = [pytest.mark.real, pytest.mark.slow]
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


@pytest.fixture
def pretended_gpu(tmp_path: Path) -> dict[str, str]:
    """An environment in which nvidia-smi tells of an RTX 4090."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    local = [s for s in configured_sources() if not s.url.startswith("http")]
    if not any(
        wheel.filename.startswith("torch-2.14.1-") for wheel in survey(local, ["torch"]).wheels
    ):
        pytest.skip("pip has torch 2.14.1 on no local disk, and it is a download of 3 GB")
    stub = tmp_path / "bin/nvidia-smi"
    stub.parent.mkdir()
    stub.write_text(RTX_4090)
    stub.chmod(0o755)
    return {"PATH": f"{stub.parent}:{os.environ['PATH']}"}


def test_the_right_wheels_and_an_honest_failure(
    project: Project, pretended_gpu: dict[str, str]
) -> None:
    cpu = project.deploy(accelerator="cpu")
    assert cpu.returncode == 0, cpu.stdout
    current = (project.root / "current").readlink()
    try:
        done = project.run("-y", "deploys/torch.py", env=pretended_gpu, torch='"2.14.1"')
        assert done.returncode == 1, done.stdout
        entry = project.report()
        assert entry["status"] == "failed"
        assert (entry["choice"]["torch"], entry["choice"]["variant"]) == ("2.14.1", "cu130")
        assert "install NVIDIA driver 580.65.06 or newer" in entry["why"]
        assert entry["smoke"]["passed"] is False
        installed = project.root / "envs" / entry["generation"] / "lib"
        assert list(installed.glob("python3*/site-packages/nvidia_cublas-*.dist-info"))
        assert (project.root / "current").readlink() == current
        assert project.python("import torch; print(torch.version.cuda)") == "None"
    finally:
        shutil.rmtree(project.root)
