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
NAMED = """\
defaults:
  keep: 2
  environments:
    vision: {packages: [torchvision, timm]}
    course: {keep: 1}
groups:
  lab:
    environments:
      vision: {torch: "2.14"}
    hosts:
      ws-1: {environments: {course: null}}
      ws-2: {environments: {vision: {torch: "2.13"}}}
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


def show(
    project: Path, *words: str, columns: int = 200, inventory: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("fleetwheel"), "facts", "--settings", *words],
        cwd=project,
        env={**os.environ, "COLUMNS": str(columns), VARIABLE: inventory},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings(
    project: Path, *words: str, inventory: str = ""
) -> dict[str, dict[str, tuple[Any, str]]]:
    hosts = json.loads(show(project, "--json", *words, inventory=inventory).stdout)["hosts"]
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
    assert {*Settings.model_fields} - {"environments"} <= one.keys()


def test_an_environment_has_the_values_that_count_for_it(project: Path) -> None:
    (project / "named.yaml").write_text(NAMED)
    shown = settings(project, "--data", "python=3.12t", inventory="named.yaml")
    one, two = shown["ws-1"], shown["ws-2"]
    assert one["vision.packages"] == (["torchvision", "timm"], "defaults, named.yaml:4")
    assert one["vision.torch"] == ("2.14", "group lab, named.yaml:9")
    assert two["vision.torch"] == ("2.13", "host, named.yaml:12")
    assert one["vision.keep"] == (2, "as default")
    assert one["keep"] == (2, "defaults, named.yaml:2")
    assert one["vision.python"] == ("3.12t", "as default")
    assert one["environments.course"] == (None, "host, named.yaml:11")
    assert not {"environments", "course.keep"} & one.keys()
    assert two["course.keep"] == (1, "defaults, named.yaml:5")
    own = settings(project, "--data", 'environments={"vision": {"keep": 4}}', "own.py")["ws-1"]
    assert own["vision.keep"] == (4, "--data") and own["vision.torch"] == ("2.14", "as default")


def test_where_the_default_has_more_to_say_the_others_inherit_from_the_host(project: Path) -> None:
    (project / "named.yaml").write_text(
        "hosts: {ws-1: {keep: 2, environments: {default: {keep: 5}, vision: }}}"
    )
    one = settings(project, inventory="named.yaml")["ws-1"]
    assert one["default.keep"] == (5, "host, named.yaml:1")
    assert one["vision.keep"] == (2, "as the host")


def test_values_have_room_on_80_columns(project: Path) -> None:
    (project / "named.yaml").write_text(NAMED)
    lines = show(project, columns=80, inventory="named.yaml").stdout.splitlines()
    assert lines[0] == "ws-1 (lab)" and max(map(len, lines)) <= 80
    at = next(i for i, line in enumerate(lines) if line.startswith("vision.packages"))
    assert lines[at].split() == ["vision.packages", '["torchvision",', '"timm"]', "defaults"]
    assert lines[at + 1].split() == ["named.yaml:4"]


def test_the_rule_is_that_of_pyinfra(project: Path) -> None:
    shown = settings(project, "own.py")
    assert shown["ws-1"]["torch"] == ("2.14", "group narrow")
    assert shown["ws-1"]["keep"] == (4, "group wide")
    assert shown["ws-2"]["torch"] == ("2.13", "group wide")


def test_a_host_with_a_bad_setting_says_so_and_the_others_are_shown(project: Path) -> None:
    done = show(project, "own.py")
    assert done.returncode == 4
    assert "keep: must be greater than or equal to 1" in done.stdout
    ws_2 = done.stdout.partition("\nws-2 (wide, own)\n")[2].splitlines()
    assert ws_2[1].split() == ["torch", "2.13", "group", "wide"]


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
