"""Whole deploys over pretended hosts: what a dry run says of each, and that it does nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.project import copy_of_checkout
from tests.small_wheels import make_wheel

FACTS = Path(__file__).parents[1] / "fixtures" / "facts"
INVENTORY = """\
from pathlib import Path as _Path

from operations._outcome import show_at_exit as _show_at_exit

_show_at_exit()
hosts = [
    (
        f"@fake/{path.stem}",
        {
            "fake_responses": {"answer platform": path.read_text()},
            "fake_delay": 0,
            "fake_delay_jitter": 0,
        },
    )
    for path in sorted(_Path("answers").iterdir())
]
"""
HOSTS = {
    "cpu": {"gpu.Gpus": "no_gpu"},
    "rtx": {"gpu.Gpus": "rtx_4090"},
    "broken": {"gpu.Gpus": "updated_without_a_reboot"},
}


def answer(parts: dict[str, str]) -> str:
    """Return what a host answers to everything, put together from recorded parts."""
    cases = {
        "platform.Platform": "debian",
        "python.Pythons": "several",
        "environments.Environments": "fresh_host",
        **parts,
    }
    files = [FACTS / fact / f"{case}.yaml" for fact, case in cases.items()]
    return "".join(yaml.safe_load(file.read_text())["output"] for file in files)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a dry run over all the hosts says."""
    base = tmp_path_factory.mktemp("planned")
    wheels = base / "wheels"
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(wheels, "torch", "2.14.1+cu130", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(wheels, "numpy", "2.4.0")
    project = copy_of_checkout(base)
    (project / "inventory.py").write_text(INVENTORY)
    (project / "answers").mkdir()
    for name, parts in HOSTS.items():
        (project / "answers" / f"{name}.txt").write_text(answer(parts))
    pyinfra = Path(sys.executable).with_name("pyinfra")
    done = subprocess.run(
        [pyinfra, "inventory.py", "deploys/torch.py", "--dry"],
        cwd=project,
        env={
            **os.environ,
            "COLUMNS": "300",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert not list((project / "locks").glob("*"))
    return done.stdout


def row(said: str, host: str) -> str:
    return next(line for line in said.splitlines() if line.startswith(f"@fake/{host}"))


def test_a_host_without_gpu_gets_the_cpu_wheel(said: str) -> None:
    assert "would change" in row(said, "cpu")
    assert "torch 2.13.0+cpu" in row(said, "cpu")


def test_a_gpu_host_gets_the_newest_wheel_that_runs_on_it(said: str) -> None:
    assert "torch 2.14.1+cu130" in row(said, "rtx")


def test_a_host_whose_driver_is_broken_is_refused_and_never_gets_cpu(said: str) -> None:
    assert "refused" in row(said, "broken")
    assert "cpu" not in row(said, "broken").split("refused")[1].split("accelerator")[0]


def test_a_source_that_is_down_is_named_once(said: str) -> None:
    assert said.count("http://127.0.0.1:9") == 1
