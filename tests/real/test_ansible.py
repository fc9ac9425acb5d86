"""An Ansible inventory over SSH hosts, read by Ansible and deployed to by pyinfra and by us."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.inventory.load import VARIABLE
from tests.project import copy_of_checkout
from tests.rig.fleet import Fleet, HostSpec, fleet, missing

NOT_HERE = missing() or (
    None if shutil.which("ansible-inventory") else "no ansible-inventory: see test_test_tools"
)
pytestmark = [pytest.mark.real, pytest.mark.skipif(NOT_HERE is not None, reason=str(NOT_HERE))]
INI = """\
[workstations]
a ansible_host={a.address} ansible_port={a.port}
b ansible_host={b.address} ansible_port={b.port} fleetwheel_root=/srv/b

[lab:children]
workstations

[lab:vars]
ansible_user=root
ansible_ssh_private_key_file={key}
fleetwheel_root=/srv/lab
fleetwheel_accelerator=cpu

[here]
localhost ansible_connection=local
"""
YAML = """\
lab:
  vars: {{ansible_user: root, ansible_ssh_private_key_file: {key}, fleetwheel_accelerator: cpu}}
  hosts:
    a: {{ansible_host: {a.address}, ansible_port: {a.port}}}
    b: {{ansible_host: {b.address}, ansible_port: {b.port}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("ansible")
    (base / "project").mkdir()
    with fleet(base / "fleet", [HostSpec("a"), HostSpec("b")]) as rig:
        directory = copy_of_checkout(base / "project")
        _write(directory, rig)
        yield directory


def _write(directory: Path, rig: Fleet) -> None:
    said = {"a": rig["a"], "b": rig["b"], "key": rig.directory / "id"}
    (directory / "hosts.ini").write_text(INI.format(**said))
    (directory / "hosts.yml").write_text(YAML.format(**said))
    (directory / ".ssh").mkdir()
    shutil.copy(rig.known_hosts, directory / ".ssh/known_hosts")
    for kept in (".config", ".pip"):
        if (Path.home() / kept).is_dir():
            (directory / kept).symlink_to(Path.home() / kept)


def run(project: Path, program: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        cwd=project,
        env={**os.environ, "COLUMNS": "200", "HOME": str(project), VARIABLE: "", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("inventory", ["@ansible/hosts.ini", "@ansible/hosts.yml"])
def test_the_hosts_answer(project: Path, inventory: str) -> None:
    done = run(project, "fleetwheel", "facts", inventory, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    hosts = json.loads(done.stdout)["hosts"]
    assert [host["name"] for host in hosts] == ["a", "b"]
    assert all(host["profile"]["os"] == "linux" for host in hosts)
    assert ("localhost is left out" in done.stderr) == inventory.endswith("ini")


def test_variables_are_settings(project: Path) -> None:
    done = run(project, "fleetwheel", "facts", "@ansible/hosts.ini", "--settings", "--json")
    hosts = {host["name"]: host for host in json.loads(done.stdout)["hosts"]}
    assert hosts["a"]["groups"] == ["lab", "workstations"]
    roots = {name: host["settings"]["root"] for name, host in hosts.items()}
    assert roots == {
        "a": {"value": "/srv/lab", "from": "Ansible, hosts.ini"},
        "b": {"value": "/srv/b", "from": "Ansible, hosts.ini"},
    }


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("fleetwheel", ["deploy", "@ansible/hosts.ini", "--dry-run", "--limit", "workstations"]),
        ("pyinfra", ["--dry", "@ansible/hosts.ini", "deploys/torch.py", "--limit", "workstations"]),
    ],
)
def test_a_deploy_reaches_them_by_their_groups(
    project: Path, program: str, words: list[str]
) -> None:
    done = run(project, program, *words)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("would change") == 2, said
    assert "cpu" in said


def test_a_host_key_that_nobody_knows_is_refused(project: Path, tmp_path: Path) -> None:
    done = run(project, "fleetwheel", "facts", "@ansible/hosts.ini", HOME=str(tmp_path))
    assert done.returncode == 4
    assert done.stdout.count("no answer") == 2, done.stdout


@pytest.mark.parametrize("program", ["fleetwheel", "pyinfra"])
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("bad.ini", "[lab:chil\n", "ansible-inventory failed"),
        (
            "typo.ini",
            "a fleetwheel_tarch=1\n",
            'a: fleetwheel_tarch: unknown key (did you mean "to',
        ),
        ("gone.ini", None, "there is no such file or directory"),
    ],
)
def test_a_mistake_is_a_sentence(
    project: Path, program: str, name: str, text: str | None, said: str
) -> None:
    if text:
        (project / name).write_text(text)
    words = ["deploys/torch.py", "--dry"] if program == "pyinfra" else ["--dry-run"]
    first = [] if program == "pyinfra" else ["deploy"]
    done = run(project, program, *first, f"@ansible/{name}", *words)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(f"@ansible/{name}: ") == 1
    assert "Traceback" not in done.stderr


def test_a_machine_without_ansible_says_so(project: Path) -> None:
    path = str(Path(sys.executable).parent)
    done = run(project, "fleetwheel", "facts", "@ansible/hosts.ini", PATH=path)
    assert done.returncode == 1
    assert "this machine has no ansible-inventory, which reads it" in done.stderr
    assert "install ansible-core" in done.stderr
