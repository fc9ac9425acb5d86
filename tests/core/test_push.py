"""Wheels pushed over real SSH: real torch to a host without a way out, and what is sent again."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project
from tests.small_wheels import make_wheel
from tests.sshd import PROGRAM, known_hosts, sshd

pytestmark = pytest.mark.real


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    if PROGRAM is None:
        pytest.skip("sshd is not installed: scripts/install-test-tools.sh")
    with sshd(tmp_path) as port:
        yield port


def test_real_torch_is_pushed(project: Project, port: int, tmp_path: Path) -> None:
    (project.directory / "inventory" / "lab.yaml").write_text(
        f"hosts:\n  far: {{key: {tmp_path}/id, address: 127.0.0.1, port: {port},"
        f" known_hosts: {known_hosts(tmp_path, 'host', port)}, distribution: push}}\n"
    )
    done = project.deploy()
    assert done.returncode == 0, done.stdout
    assert "MB to send" in done.stdout
    assert project.python("import torch; print(torch.__version__)")


@pytest.mark.parametrize("way", ["rsync", "SFTP"])
def test_both_ways_to_send_bring_whole_wheels(
    way: str, project: Project, port: int, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    ballast = {"torch/__init__.py": "", "torch/ballast": os.urandom(1 << 20).hex()}
    torch = make_wheel(wheels, "torch", "2.13.0+cpu", tag=tag, files=ballast)
    make_wheel(wheels, "numpy", "2.4.0")
    (project.directory / "inventory" / "lab.yaml").write_text(
        f"hosts:\n  far: {{key: {tmp_path}/id, address: 127.0.0.1, port: {port},"
        f" known_hosts: {known_hosts(tmp_path, 'host', port)}}}\n"
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    rsync = shutil.which("rsync") if way == "rsync" else "/bin/false"
    if rsync is None:
        pytest.skip("rsync is not installed: scripts/install-test-tools.sh")
    spy = programs / "rsync"
    spy.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexec {rsync} "$@"\n')
    spy.chmod(0o755)
    done = project.run(
        "-y",
        "deploys/torch.py",
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        },
    )
    # The made-up torch fails its smoke test, once it is installed.
    assert "kept in envs/ for a look" in done.stdout, done.stdout
    sha256 = hashlib.sha256(torch.read_bytes()).hexdigest()
    sent = project.root / "cache" / "wheels" / sha256 / torch.name
    assert sent.read_bytes() == torch.read_bytes()
    assert ("sending torch-2.13.0+cpu" in done.stdout) is (way == "SFTP")
    assert "--partial" in (tmp_path / "asked").read_text()
