"""CUDA wheels for real without a GPU: chosen, installed and tested, but never activated."""

import pytest

from tests.real.conftest import CudaDeployment

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_right_wheels_and_an_honest_failure(cuda_deployment: CudaDeployment) -> None:
    project, done, entry = cuda_deployment.project, cuda_deployment.done, cuda_deployment.entry
    assert done.returncode == 1, done.stdout
    assert entry["status"] == "failed"
    assert (entry["choice"]["torch"], entry["choice"]["variant"]) == ("2.14.1", "cu130")
    assert "install NVIDIA driver 580.65.06 or newer" in entry["why"]
    assert entry["smoke"]["passed"] is False
    installed = project.root / "envs" / entry["generation"] / "lib"
    assert list(installed.glob("python3*/site-packages/nvidia_cublas-*.dist-info"))
    assert (project.root / "current").readlink() == cuda_deployment.current
    assert project.python("import torch; print(torch.version.cuda)") == "None"
