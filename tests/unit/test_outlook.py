"""The outlook: which release is a host's last, and what would keep it with the newest."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetwheel.choice.outlook import outlook
from fleetwheel.choice.request import Request
from fleetwheel.cli import commands
from fleetwheel.host.profile import Driver, DriverState, Gpu, Installation, Profile, Python
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from fleetwheel.inventory.settings import Settings
from fleetwheel.matrix.matrix import load_matrix

NEWEST = str(max(load_matrix().releases))
PYTHON = Python(path="/usr/bin/python3", version="3.12.3")


def profile(*capabilities: str, driver: str | None = "580.95.05", **other: Any) -> Profile:
    state = DriverState.OK if capabilities else DriverState.NO_GPU
    gpus = [Gpu(index=i, name=f"GPU {i}", compute_capability=c) for i, c in enumerate(capabilities)]
    fields: dict[str, Any] = {
        "os": "linux",
        "arch": "x86_64",
        "glibc": "2.36",
        "pythons": (PYTHON,),
        "driver": Driver(state=state, version=driver if capabilities else None),
        "gpus": tuple(gpus),
    }
    return Profile(**{**fields, **other})


BROKEN = profile().model_copy(update={"driver": Driver(state=DriverState.VERSION_MISMATCH)})


def run(*arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(commands, ["outlook", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("host", "last", "keeps"),
    [
        (profile("6.1"), "2.14.1+cu126", None),
        (profile("8.9", driver="550.90.07"), "2.14.1+cu126", "driver 580.65.06 or newer"),
        (profile("8.9", driver="470.57.02"), None, "driver 580.65.06 or newer"),
        (profile("6.1", "12.0"), None, "gpus: leaving Pascal (6.1) out"),
        (profile("8.9", pythons=(Python(path="", version="3.9.1"),)), "2.8.0+cu129", "Python 3."),
        (profile(driver=None, glibc="2.17"), "2.6.0+cpu", None),
        (BROKEN, None, "Reboot"),
    ],
)
def test_a_host_that_the_newest_release_leaves_behind(
    host: Profile, last: str | None, keeps: str | None
) -> None:
    found = outlook(host, Request(), load_matrix())
    assert (found.newest, found.served, found.last) == (NEWEST, False, last)
    assert found.reasons
    assert keeps is None or any(way.startswith(keeps) for way in found.keeps)
    assert not any("pin" in line for line in (*found.reasons, *found.keeps))


@pytest.mark.parametrize("host", [profile("8.9"), profile("8.9", "12.0"), profile()])
@pytest.mark.parametrize("pin", [None, "2.10", ">=2.10,<2.13"])
def test_a_host_that_is_served_whatever_it_pins(host: Profile, pin: str | None) -> None:
    found = outlook(host, Request(torch=pin), load_matrix())
    assert found.served
    assert (found.reasons, found.keeps) == ((), ())
    assert found.last is not None and found.last.startswith(NEWEST)


def test_a_gpu_that_is_left_out_does_not_count() -> None:
    host = profile("6.1", "12.0")
    assert outlook(host, Request(gpus=(1,)), load_matrix()).served


@pytest.fixture
def records(tmp_path: Path) -> Path:
    installation = Installation(root="/opt/fleetwheel")
    hosts = {"old": profile("6.1"), "new": profile("8.9"), "left-out": profile("6.1", "12.0")}
    settings = {"left-out": Settings(gpus=(1,))}
    save_snapshots(
        tmp_path,
        [
            HostSnapshot(
                name=name,
                profile=host,
                installation=installation,
                settings=settings.get(name, Settings()),
            )
            for name, host in hosts.items()
        ],
    )
    return tmp_path


def test_the_outlook_of_a_recorded_fleet(records: Path) -> None:
    result = run(str(records))
    assert result.exit_code == 0
    assert f"torch {NEWEST}, the newest release, serves 2 of 3" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("old")]
    assert "2.14.1+cu126" in row
    assert "\nnew" not in result.stdout


def test_the_outlook_as_json(records: Path) -> None:
    hosts = {host["name"]: host for host in json.loads(run(str(records), "--json").stdout)["hosts"]}
    assert {name: host["served"] for name, host in hosts.items()} == {
        "old": False,
        "new": True,
        "left-out": True,
    }
    assert set(hosts["old"]) == {
        *("name", "environment", "newest", "served", "last", "reasons", "keeps"),
    }


def test_the_outlook_of_one_host_by_its_parts() -> None:
    result = run("--driver", "580.95.05", "--gpu", "GTX 1080 Ti", "--json")
    (host,) = json.loads(result.stdout)["hosts"]
    assert host["last"] == "2.14.1+cu126"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "8.9"], "--gpu needs --driver"),
        (["@local", "--gpu", "8.9"], "not both"),
        (["nowhere.json"], "cannot be read"),
    ],
)
def test_bad_usage_is_a_sentence(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert words in result.stderr


def test_choose_takes_a_recorded_host(records: Path) -> None:
    runner = CliRunner()
    arguments = ["choose", "--offline", "--profile", str(records / "old.json")]
    assert "torch 2.14.1+cu126" in runner.invoke(commands, arguments).stdout
    assert "torch 2.10.0+cu1" in runner.invoke(commands, [*arguments, "--torch", "2.10"]).stdout
    refused = runner.invoke(commands, [*arguments, "--gpu", "8.9"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    left_out = ["choose", "--offline", "--profile", str(records / "left-out.json")]
    assert f"torch {NEWEST}" in runner.invoke(commands, left_out).stdout


def test_each_environment_has_its_own_outlook(records: Path) -> None:
    path = records / "old.json"
    document = json.loads(path.read_text())
    document["settings"]["environments"] = {"display": {"accelerator": "cpu"}}
    path.write_text(json.dumps(document))
    hosts = json.loads(run(str(path), "--json").stdout)["hosts"]
    assert {host["environment"]: host["served"] for host in hosts} == {
        "default": False,
        "display": True,
    }
    assert "old   default" in run(str(path)).stdout
