"""The inventory as pyinfra sees it: pyinfra is run for real, in a copy of the project."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.inventory.load import VARIABLE, group_of
from tests.hostile_server import busy, serving
from tests.project import copy_of_checkout, run_pyinfra

STRICT = {"ssh_strict_host_key_checking": "yes"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_checkout(tmp_path_factory.mktemp("project"))


def pyinfra(
    project: Path, *arguments: str, text: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pyinfra in a copy of the project, with an inventory of this text if there is one."""
    lab = project / "lab.yaml"
    lab.write_text(text)
    return run_pyinfra(
        cwd or project,
        *arguments,
        env={VARIABLE: str(lab) if text else ""},
    )


def inventory_of(output: str) -> dict[str, tuple[str, Any]]:
    """Return the groups and data of each host that debug-inventory shows."""
    shown = re.findall(
        r"\[(\S+)\] *\n--> Groups: ([^\n]*)\n--> Data:\n(\{.*?\})\n", output, re.DOTALL
    )
    return {name: (group_of(groups.split(", ")), json.loads(data)) for name, groups, data in shown}


def test_pyinfra_without_a_file_sees_this_machine(project: Path) -> None:
    done = pyinfra(project, "inventory.py", "debug-inventory")
    assert inventory_of(done.stdout) == {"@local": ("", {})}
    assert pyinfra(project, "-y", "inventory.py", "exec", "--", "true").returncode == 0


def test_pyinfra_sees_hosts_in_their_groups(project: Path, tmp_path: Path) -> None:
    text = """\
groups:
  work-stations: {keep: 4, hosts: {ws-01: , ws-02: {address: 192.0.2.1}}}
hosts: {"@local": }
"""
    place = ("--chdir", str(project), "inventory.py", "debug-inventory")
    done = pyinfra(project, *place, text=text, cwd=tmp_path)
    keep = {**STRICT, "keep": 4}
    assert inventory_of(done.stdout) == {
        "ws-01": ("work-stations", keep),
        "ws-02": ("work-stations", {"ssh_hostname": "192.0.2.1", **keep}),
        "@local": ("", STRICT),
    }


def test_the_command_line_has_the_last_word(project: Path) -> None:
    text = "hosts: {a: {keep: 4, torch: '2.14'}}\n"
    data = ("--data", "keep=5", "--data", 'torch="2.10"')
    done = pyinfra(project, "inventory.py", "debug-inventory", *data, text=text)
    assert inventory_of(done.stdout)["a"][1] == {**STRICT, "keep": 5, "torch": "2.10"}


def test_pyinfra_ends_at_a_mistake_with_a_sentence(project: Path) -> None:
    text = "hosts:\n  a: {adress: x}\n  b: {prt: 1}\n"
    done = pyinfra(project, "-y", "inventory.py", "exec", "--", "true", text=text)
    assert done.returncode == 1
    assert 'lab.yaml:2: hosts.a.adress: unknown key (did you mean "address"?)\n' in done.stdout
    assert "lab.yaml:3: hosts.b.prt: unknown key" in done.stdout
    assert "Traceback" not in done.stdout
    assert "Connecting" not in done.stdout


def test_our_modules_come_before_others_of_their_name(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "operations").mkdir()
    (tmp_path / "operations" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert pyinfra(project, "inventory.py", "debug-inventory").returncode == 0


def test_pyinfra_from_elsewhere_says_where_to_run_it(project: Path, tmp_path: Path) -> None:
    done = pyinfra(project, str(project / "inventory.py"), "debug-inventory", cwd=tmp_path)
    assert done.returncode == 1
    assert "in the root of the clone" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_server_that_is_no_ssh_server_is_told_in_a_sentence(project: Path) -> None:
    with serving(busy) as port:
        text = f"hosts: {{a: {{address: 127.0.0.1, port: {port}}}}}\n"
        done = pyinfra(project, "-y", "inventory.py", "deploys/torch.py", text=text)
    assert "[a] SSH error (it hung up before it spoke SSH" in done.stdout
    table = done.stdout.partition("smoke  why")[2]
    assert re.search(r"a +unreachable .*SSH error \(it hung up before it spoke SSH", table)
    assert "Traceback" not in done.stdout


def test_mistakes_on_the_command_line_are_told_at_once(project: Path) -> None:
    mistakes = [word for data in ("torch=2.10", "keep=0", "pakages=a") for word in ("--data", data)]
    done = pyinfra(project, "inventory.py", "deploys/torch.py", "--dry", *mistakes)
    assert done.returncode == 1
    assert """torch: "2.10" in YAML, --data 'torch="2.10"' on the command line""" in done.stdout
    assert "keep: must be greater than or equal to 1" in done.stdout
    assert 'pakages: unknown key (did you mean "packages"?)' in done.stdout
    assert "Traceback" not in done.stdout


def test_a_lost_key_does_not_end_the_run_for_others(project: Path) -> None:
    text = "hosts: {a: {address: 127.0.0.1, port: 9, key: ~/lost}, '@local': }\n"
    done = pyinfra(project, "-y", "inventory.py", "exec", "--", "true", text=text)
    assert "key: ~/lost cannot be used (No such file or directory); a: tried with" in done.stdout
    assert "[@local] Success" in done.stdout
    assert "Traceback" not in done.stdout
