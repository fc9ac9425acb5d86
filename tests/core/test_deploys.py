"""Whole deploys over pretended hosts: what a dry run says of each, and that it does nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from fleetwheel.deploy.record import Hold, Record
from tests.project import copy_of_checkout, run_pyinfra
from tests.samples import CPU_HOST, REQUEST, choice, state_of
from tests.small_wheels import make_wheel

FACTS = Path(__file__).parents[1] / "fixtures" / "facts"
INVENTORY = """\
from pathlib import Path as _Path

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
RECORD = Record(
    generation="2.12.1+cpu-cp311-000000000000-1",
    request=REQUEST,
    lock="pylock.x.toml",
    choice=choice(torch="2.12.1+cpu"),
    driver=CPU_HOST.driver,
    gpus=(),
    hold=Hold(since=datetime(2026, 11, 1, tzinfo=UTC), rolled_back_from="2.13.0+cpu-1"),
    deployed_at=datetime(2026, 11, 1, tzinfo=UTC),
)
SPACE = "264212084 25733540  80657372"
HOSTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "cpu": ({"gpu.Gpus": "no_gpu"}, {}),
    "rtx": ({"gpu.Gpus": "rtx_4090"}, {}),
    "broken": ({"gpu.Gpus": "updated_without_a_reboot"}, {}),
    "bare": ({"python.Pythons": "none"}, {}),
    "musl": ({"platform.Platform": "musl_on_arm"}, {}),
    "arm": ({}, {"platform uname Linux x86_64": "platform uname Linux aarch64"}),
    "full": ({}, {SPACE: "264212084 264212084 0"}),
    "readonly": ({}, {"environments writable yes\n": ""}),
    "held": (
        {},
        {
            "environments ended": "".join(
                f"environments record {line}\n" for line in state_of(RECORD).text().splitlines()
            )
            + "environments ended"
        },
    ),
}
"""Recorded parts that make up a host's answer, and what is changed in it."""


def answer(parts: dict[str, str], changes: dict[str, str]) -> str:
    """Return what a host answers to everything, put together from recorded parts."""
    cases = {
        "platform.Platform": "debian",
        "python.Pythons": "several",
        "environments.Environments": "fresh_host",
        "gpu.Gpus": "no_gpu",
        **parts,
    }
    files = [FACTS / fact / f"{case}.yaml" for fact, case in cases.items()]
    said = "".join(yaml.safe_load(file.read_text())["output"] for file in files)
    for old, new in changes.items():
        assert old in said
        said = said.replace(old, new)
    return said


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a dry run over all the hosts says."""
    base = tmp_path_factory.mktemp("planned")
    wheels = base / "wheels"
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(wheels, "torch", "2.14.1+cu130", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_aarch64")
    make_wheel(wheels, "numpy", "2.4.0")
    project = copy_of_checkout(base)
    (project / "inventory.py").write_text(INVENTORY)
    (project / "answers").mkdir()
    for name, host in HOSTS.items():
        (project / "answers" / f"{name}.txt").write_text(answer(*host))
    done = run_pyinfra(
        project,
        "inventory.py",
        "deploys/torch.py",
        "--dry",
        env={
            "XDG_CACHE_HOME": str(base / "cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        },
    )
    assert done.returncode == 0, done.stdout
    assert not list((project / "locks").glob("*"))
    return done.stdout


def row(said: str, host: str) -> str:
    return next(line for line in said.splitlines() if line.startswith(f"@fake/{host}"))


@pytest.mark.parametrize(
    ("host", "status", "words"),
    [
        ("cpu", "would change", "install torch 2.13.0+cpu"),
        ("rtx", "would change", "install torch 2.14.1+cu130"),
        ("broken", "refused", "Reboot the host"),
        ("bare", "refused", "Python"),
        ("musl", "refused", "Linux aarch64"),
        ("arm", "failed", "none of pip's sources on this controller has uv"),
        ("full", "failed", "has 0 MB free"),
        ("readonly", "failed", "cannot write to /opt/fleetwheel"),
        ("held", "on hold", "lift_hold=true"),
    ],
)
def test_what_is_planned(said: str, host: str, status: str, words: str) -> None:
    row = next(line for line in said.splitlines() if line.startswith(f"@fake/{host} "))
    assert status in row
    assert words in following(said, row)


def following(said: str, row: str) -> str:
    """Return a row of the table with the lines that go on with it."""
    lines = said.splitlines()
    start = lines.index(row)
    more = [line for line in lines[start + 1 :] if not line.startswith(" ")]
    end = lines.index(more[0], start + 1) if more else len(lines)
    return "\n".join(lines[start:end])


def test_a_host_with_a_broken_driver_never_gets_cpu(said: str) -> None:
    row = next(line for line in said.splitlines() if line.startswith("@fake/broken "))
    assert "install torch" not in following(said, row)


def test_a_source_that_is_down_is_named_once(said: str) -> None:
    assert said.count("http://127.0.0.1:9") == 1
