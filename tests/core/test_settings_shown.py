"""``fleetwheel facts --settings``: every setting of a host, and where it comes from."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.inventory.load import VARIABLE
from fleetwheel.inventory.settings import Settings
from tests.project import copy_of_checkout

LAB = """\
defaults:
  root: /srv/wheels
  user: ops
groups:
  wide:
    torch: "2.13"
    sources: ["https://me:secret@wheels.example.org/simple"]
    hosts: {ws-1: , ws-2: }
  narrow:
    torch: "2.14"
    hosts: {ws-1: {keep: 4, pyinfra: {ssh_connect_retries: 3}}}
"""
OWN = """\
wide = (["ws-1", "ws-2"], {"torch": "2.13", "keep": 4})
narrow = (["ws-1"], {"torch": "2.14"})
alone = [("ws-3", {"keep": 0}), ("ws-4", {"ssh_password": "secret", "sources": "me:secret@h/a"})]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = copy_of_checkout(tmp_path_factory.mktemp("project"))
    (directory / "inventory/lab.yaml").write_text(LAB)
    (directory / "own.py").write_text(OWN)
    (directory / "group_data").mkdir()
    (directory / "group_data/all.py").write_text("smoke = 'always'\n")
    return directory


def show(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("fleetwheel"), "facts", "--settings", *words],
        cwd=project,
        env={**os.environ, "COLUMNS": "200", VARIABLE: ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings(project: Path, *words: str) -> dict[str, dict[str, tuple[Any, str]]]:
    hosts = json.loads(show(project, "--json", *words).stdout)["hosts"]
    return {
        host["name"]: {
            key: (said["value"], said["from"]) for key, said in host.get("settings", {}).items()
        }
        for host in hosts
    }


def test_the_later_group_wins_and_every_setting_says_where_it_stands(project: Path) -> None:
    shown = settings(project, "--data", "python=3.12t")
    one, two = shown["ws-1"], shown["ws-2"]
    assert one["torch"] == ("2.14", "group narrow, inventory/lab.yaml:10")
    assert two["torch"] == ("2.13", "group wide, inventory/lab.yaml:6")
    assert one["keep"] == (4, "host, inventory/lab.yaml:11")
    assert two["keep"] == (3, "default")
    assert one["root"] == ("/srv/wheels", "defaults, inventory/lab.yaml:2")
    assert one["python"] == two["python"] == ("3.12t", "--data")
    assert one["ssh_user"] == ("ops", "defaults, inventory/lab.yaml:3")
    assert one["ssh_connect_retries"] == (3, "host, inventory/lab.yaml:11")
    assert one["ssh_strict_host_key_checking"] == ("yes", "default")
    assert one["smoke"] == ("always", "group all")
    assert set(Settings.model_fields) <= one.keys()


def test_the_rule_is_that_of_pyinfra(project: Path) -> None:
    shown = settings(project, "own.py")
    assert shown["ws-1"]["torch"] == ("2.14", "group narrow")
    assert shown["ws-1"]["keep"] == (4, "group wide")
    assert shown["ws-2"]["torch"] == ("2.13", "group wide")


def test_a_host_with_a_bad_setting_says_so_and_the_others_are_shown(project: Path) -> None:
    done = show(project, "own.py")
    assert done.returncode == 4
    assert "keep: must be greater than or equal to 1" in done.stdout
    assert "ws-2  torch" in done.stdout


def test_no_password_is_shown(project: Path) -> None:
    yaml, own = show(project), show(project, "own.py", "--json")
    assert "https://***@wheels.example.org/simple" in yaml.stdout
    assert '"***"' in own.stdout and "***@h/a" in own.stdout
    assert "secret" not in yaml.stdout + yaml.stderr + own.stdout + own.stderr


def test_a_deploy_follows_what_is_shown(project: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), "inventory.py", "debug-inventory"],
        cwd=project, env={**os.environ, VARIABLE: ""}, capture_output=True, text=True,
    )  # fmt: skip
    one = (done.stdout + done.stderr).partition("[ws-1]")[2].partition("[ws-2]")[0]
    assert "Groups: wide, narrow" in one
    assert '"torch": "2.14"' in one


@pytest.mark.parametrize("words", [["--save", "there"], ["inventory"]])
def test_recorded_hosts_have_no_inventory_to_show(project: Path, words: list[str]) -> None:
    done = show(project, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--settings is about an inventory" in done.stderr
