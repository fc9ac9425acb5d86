"""``fleetwheel facts`` over an inventory, and over hosts that it has recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetwheel.cli import commands
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Gpu, Installation, Profile
from fleetwheel.inventory.recorded import (
    HostSnapshot,
    load_snapshots,
    read_snapshot,
    replay,
    replayed,
    save_snapshots,
)
from fleetwheel.inventory.settings import Settings
from tests.node_program import placed
from tests.project import copy_of_checkout

RTX = HostSnapshot(
    name="ws-01",
    settings=Settings(torch="2.14", sources=("https://user:secret@wheels.example/simple",)),
    profile=Profile(
        os="linux",
        arch="x86_64",
        distribution="Debian GNU/Linux 12 (bookworm)",
        glibc="2.36",
        driver=Driver(state=DriverState.OK, version="580.95.05"),
        gpus=tuple(
            Gpu(index=i, name="NVIDIA GeForce RTX 4090", compute_capability="8.9") for i in (0, 1)
        ),
    ),
    installation=Installation(root="/opt/fleetwheel", free_bytes=81_700_000_000),
)
BROKEN = HostSnapshot(
    name="[red]evil\x1b[31m/host",
    profile=Profile(os="linux", arch="x86_64", driver=Driver(state=DriverState.HUNG)),
    installation=Installation(root="/opt/fleetwheel"),
)
INVENTORY = """\
from pathlib import Path as _Path

from fleetwheel.inventory.recorded import read_snapshot as _read, replay as _replay

print("an inventory that prints", file=__import__("sys").stderr)
lab = [("@fake/good", _replay(_read(_Path("ws-01.json"))))]
others = [
    ("@fake/mute", {"fake_delay": 0}),
    ("@fake/failing", {"fake_delay": 0, "fake_responses": {
        "answer platform": {"success": False, "stderr": "sh: 1: Permission denied"}}}),
    ("@fake/babbling", {"fake_delay": 0, "fake_responses": {"answer platform": "Welcome!"}}),
    ("@fake/slip", {"fake_delay": 0, "pakages": "numpy"}),
    ("down", {"ssh_hostname": "127.0.0.1", "ssh_port": 1}),
]
"""


def run(*arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(commands, ["facts", *arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = copy_of_checkout(tmp_path_factory.mktemp("asked"))
    (directory / "inventory.py").write_text(INVENTORY)
    save_snapshots(directory, [RTX])
    return directory


def ask(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would: pyinfra makes sockets its own, so not in this process."""
    return subprocess.run(
        [Path(sys.executable).with_name("fleetwheel"), "facts", *arguments],
        cwd=project,
        env={**os.environ, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def found(project: Path) -> dict[str, Any]:
    done = ask(project, "inventory.py", "--json", "--save", "records")
    assert done.returncode == 4, done.stderr
    assert done.stderr == "an inventory that prints\nrecorded 1 of 6 hosts in records\n"
    return {host["name"]: host for host in json.loads(done.stdout)["hosts"]}


def test_a_host_that_answers_has_a_profile(found: dict[str, Any]) -> None:
    good = found["@fake/good"]
    assert set(good) == {"name", "profile", "installation"}
    assert good["profile"]["driver"]["state"] == "ok"
    assert good["profile"]["gpus"][1]["compute_capability"] == "8.9"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("@fake/mute", "it gave no answer"),
        ("@fake/failing", "Permission denied"),
        ("@fake/babbling", "could not process fact"),
        ("@fake/slip", 'did you mean "packages"'),
        ("down", "Could not connect"),
    ],
)
def test_a_host_that_does_not_answer_says_why(found: dict[str, Any], name: str, why: str) -> None:
    assert set(found[name]) == {"name", "error"}
    assert why in found[name]["error"]
    assert "Traceback" not in found[name]["error"]


def test_what_was_recorded_is_what_the_host_said(project: Path, found: dict[str, Any]) -> None:
    (answer,) = load_snapshots(project / "records")
    assert answer.profile == RTX.profile
    assert answer.document() == found["@fake/good"]


def test_a_limit_names_a_host_or_a_group(project: Path) -> None:
    done = ask(project, "inventory.py", "--limit", "lab")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["host", "@fake/good"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inventory.py", "--limit", "nobody"], "no such host or group"),
        (["no-such-thing"], "names no host"),
        (["gpu-01,"], "a host without a name"),
        (["@nowhere"], "Invalid connector: nowhere"),
        (["broken.py"], "broken.py"),
        (["--json", "-"], "a --json without FILE prints to standard output by itself"),
    ],
)
def test_bad_usage_is_a_sentence(project: Path, arguments: list[str], words: str) -> None:
    (project / "broken.py").write_text("hosts = [\n")
    done = ask(project, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_it_needs_no_project_directory(tmp_path: Path) -> None:
    assert ask(tmp_path, "@local").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_recorded_hosts_are_a_table(tmp_path: Path) -> None:
    save_snapshots(tmp_path, [RTX, BROKEN])
    result = run(str(tmp_path))
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    for word in ("2 x GeForce RTX 4090", "580.95.05", "81.7 GB", "hung", "[red]evil?"):
        assert word in result.stdout


def test_a_record_comes_back_without_the_sources(tmp_path: Path) -> None:
    (path,) = save_snapshots(tmp_path, [RTX])
    assert "secret" not in path.read_text()
    back = read_snapshot(path)
    assert (back.profile, back.installation) == (RTX.profile, RTX.installation)
    assert back.settings == Settings(torch="2.14")


def test_no_name_leaves_the_directory(tmp_path: Path) -> None:
    names = ["../../etc/x", "..", "a/b", "@docker/debian:12", "ws 01"]
    save_snapshots(tmp_path / "records", [RTX.model_copy(update={"name": name}) for name in names])
    assert len(list((tmp_path / "records").iterdir())) == len(names)
    assert sorted(answer.name for answer in load_snapshots(tmp_path / "records")) == sorted(names)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_a_replayed_host_answers_as_it_did() -> None:
    data = replay(RTX)
    assert data["torch"] == "2.14"
    (text,) = data["fake_responses"].values()
    assert replayed([text]) == RTX.state
    assert replayed(["platform os linux"]) is None
    assert replayed([]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no recorded host"),
        ("[]", "is no recorded host"),
        ('{"name": "a", "profile": {"os": "beos"}}', "profile.os"),
        ('{"name": "a", "settings": {"keep": 0}}', "settings.keep"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(FleetwheelError, match=words) as caught:
        load_snapshots(tmp_path)
    assert "bad.json" in str(caught.value)


def test_a_record_that_cannot_be_written_ends_with_1(tmp_path: Path) -> None:
    save_snapshots(tmp_path, [RTX])
    result = run(str(tmp_path), "--save", "/dev/null/records")
    assert result.exit_code == 1
    assert "--save /dev/null/records: Not a directory" in result.stderr


def test_a_host_that_keeps_the_program_is_asked_by_it(project: Path, tmp_path: Path) -> None:
    question = placed(tmp_path / "root") / "question.sh"
    said = 'ask_pythons() { say skipped "from what is kept"; }\n'
    question.write_text(question.read_text() + said)
    (project / "kept.py").write_text(f'lab = [("@local", {{"root": "{tmp_path}/root"}})]\n')
    done = ask(project, "kept.py", "--json")
    (host,) = json.loads(done.stdout)["hosts"]
    assert host["profile"]["problems"] == ["skipped from what is kept"]


def test_pyinfra_prints_the_host_that_it_runs_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyinfra", "@local", "fact", "fleetwheel.facts.host.Host"]
    done = subprocess.run(
        [*command, f"root={tmp_path}/it's"], capture_output=True, text=True, check=True, timeout=60
    )
    answer = done.stdout + done.stderr
    document, _ = json.JSONDecoder().raw_decode(answer[answer.index('{\n    "@local"') :])
    state = document["@local"]
    assert state["profile"]["os"] == "linux"
    assert state["profile"]["pythons"]
    assert state["installation"]["root"] == f"{tmp_path}/it's"
    assert state["installation"]["writable"]
