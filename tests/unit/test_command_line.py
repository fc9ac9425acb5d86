"""Which hosts a command line means, what its data says, and how a run ends for scripts."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyinfra.api.arguments import all_argument_meta

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.command_line import checked_data, data_value, select
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations._command_line import known_names
from fleetwheel.reporting.report import (
    EnvironmentReport,
    HostReport,
    Report,
    Status,
    deploy_exit_status,
)
from tests.samples import CPU_HOST, GPU_HOST

HOSTS = {"ws-1": ["teaching"], "ws-2": ["teaching", "gpu-lab"], "h100-1": ["cluster"]}
PROFILES = {"ws-1": CPU_HOST, "h100-1": GPU_HOST, "gone": GPU_HOST}
DRIVER = GPU_HOST.driver.version


def chosen(*limit: str) -> list[str]:
    return select(HOSTS, limit, lambda: PROFILES)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (["ws-1"], ["ws-1"]),
        (["ws-*"], ["ws-1", "ws-2"]),
        (["h100-1,ws-1"], ["ws-1", "h100-1"]),
        (["teaching", "h100-1"], ["ws-1", "ws-2", "h100-1"]),
        (["gpu-lab,cluster"], ["ws-2", "h100-1"]),
        (["gpu"], ["h100-1"]),
        (["cpu"], ["ws-1"]),
        (["driver>=1"], ["h100-1"]),
        ([f"driver={DRIVER}"], ["h100-1"]),
        (["driver=" + str(DRIVER).partition(".")[0]], ["h100-1"]),
        (["os=linux"], ["ws-1", "h100-1"]),
        (["glibc>=2.2"], ["ws-1", "h100-1"]),
        ([f"glibc={GPU_HOST.glibc}"], ["ws-1", "h100-1"]),
    ],
)
def test_a_limit_means_hosts_groups_patterns_and_facts(
    limit: list[str], expected: list[str]
) -> None:
    assert chosen(*limit) == expected


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("teachin", "did you mean teaching?"),
        ("ws-3", "did you mean ws-"),
        ("driver<1", "makes a new report"),
        ("ws-1,", "there are cluster"),
        ("!ws-1", "name those that are meant"),
    ],
)
def test_a_limit_that_means_no_host_is_refused(word: str, hint: str) -> None:
    with pytest.raises(FleetwheelError) as caught:
        chosen(word)
    assert hint in caught.value.hint


def test_an_unknown_fact_is_named() -> None:
    with pytest.raises(FleetwheelError, match="--limit colour=red: no such fact"):
        chosen("colour=red")


def test_a_group_comes_before_a_fact_of_its_name() -> None:
    assert select({"a": ["gpu"], "b": []}, ["gpu"], lambda: {"b": GPU_HOST}) == ["a"]


def test_no_report_is_read_for_names() -> None:
    def profiles() -> dict[str, object]:
        raise AssertionError("a report was read")

    assert select(HOSTS, ["ws-1", "teaching"], profiles) == ["ws-1", "ws-2"]  # type: ignore[arg-type]


def test_data_is_in_the_words_of_the_inventory_or_of_pyinfra() -> None:
    said = {"user": "ops", "port": 22, "keep": 3, "ssh_key": "k", "mine": 1}
    expected = {"ssh_user": "ops", "ssh_port": 22, "keep": 3, "ssh_key": "k", "mine": 1}
    assert checked_data(said, {"ssh_key", "mine"}) == expected
    assert checked_data(said, None) == expected


@pytest.mark.parametrize("sudo", [True, False])
def test_sudo_can_be_taken_back(sudo: bool) -> None:
    assert checked_data({"sudo": sudo}, ()) == {"_sudo": sudo}


@pytest.mark.parametrize("key", ["colour", "torch_version", "pyinfra", "_typo", "ssh_usr"])
def test_data_that_nobody_reads_is_refused_with_the_names_that_there_are(key: str) -> None:
    with pytest.raises(FleetwheelError) as caught:
        checked_data({"keep": 3, key: 1}, known_names([]))
    message = caught.value.message
    assert message.startswith(f"--data {key}: no such setting; there are ")
    for name in (*Settings.model_fields, "address", "sudo"):
        assert re.search(rf"\b{name}\b", message), name


def test_data_of_the_way_to_windows_is_for_the_inventory() -> None:
    with pytest.raises(FleetwheelError, match="--data os: is for the inventory"):
        checked_data({"os": "windows"}, known_names([]))


def test_data_that_pyinfra_or_the_deploy_file_reads_is_let_through(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "a, b = host.data.colour, host.data.get('size')\nc = host.data['form'].strip()\n"
    )
    names = known_names([file])
    assert {"colour", "size", "form"} <= names
    assert not {"get", "strip", "data"} & names
    assert {*all_argument_meta, "ssh_user", "docker_platform", "fake_delay"} <= names
    assert checked_data({"colour": 1, "_timeout": 5}, names) == {"colour": 1, "_timeout": 5}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kep": 3}, 'kep: unknown key \\(did you mean "keep"'),
        ({"keep": "many"}, "keep: must be a whole number"),
        ({"port": 0}, "port: must be greater"),
        ({"root": "relative"}, "root: "),
    ],
)
def test_data_that_is_not_valid_is_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(FleetwheelError, match=f"--data {words}"):
        checked_data(data, None)


@pytest.mark.parametrize(
    ("statuses", "plain", "detailed"),
    [
        ([], 0, 0),
        (["unchanged", "on hold", "not begun"], 0, 0),
        (["unchanged", "changed"], 0, 2),
        (["would change"], 0, 2),
        (["failed"], 4, 4),
        (["refused", "changed"], 4, 6),
        (["unreachable", "not begun"], 4, 4),
    ],
)
def test_exit_status(statuses: list[Status], plain: int, detailed: int) -> None:
    hosts = tuple(HostReport(name=str(n), status=status) for n, status in enumerate(statuses))
    found = Report(at=datetime.now(UTC), hosts=hosts)
    assert (
        deploy_exit_status(found, detailed=False),
        deploy_exit_status(found, detailed=True),
    ) == (plain, detailed)


def test_a_failed_and_a_changed_environment_of_one_host_count_as_both() -> None:
    host = HostReport(name="a", status="unchanged").with_environments(
        [EnvironmentReport(status="changed"), EnvironmentReport(name="vision", status="failed")]
    )
    found = Report(at=datetime.now(UTC), hosts=(host,))
    assert deploy_exit_status(found, detailed=True) == 6
    assert deploy_exit_status(found, detailed=False) == 4


@pytest.mark.parametrize(
    ("status", "code"), [("changed", 0), ("would change", 0), ("failed", 4), ("refused", 4)]
)
def test_a_smoke_test_changes_nothing(status: Status, code: int) -> None:
    found = Report(kind="smoke", at=datetime.now(UTC), hosts=(HostReport(name="a", status=status),))
    assert deploy_exit_status(found, detailed=True) == code


def test_values_are_those_that_pyinfra_makes() -> None:
    texts = ["3", "010", "true", "False", '"2.10"', "[1, 2]", "2.10", "null", "a b", ""]
    program = (
        "import sys; from pyinfra_cli import util;"
        " print(*[repr(util.parse_cli_arg(text)) for text in sys.argv[1:]], sep='\\n')"
    )
    theirs = subprocess.check_output([sys.executable, "-c", program, *texts], text=True)
    assert [repr(data_value(text)) for text in texts] == theirs.splitlines()
