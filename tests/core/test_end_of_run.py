"""What pyinfra does when a run of deploys/ ends, and that other programs end as they did."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import copy_of_checkout, run_pyinfra

MUTE = "hosts = [('@fake/mute', {'fake_delay': 0})]\n"
ANOTHER_PROGRAM = """
import atexit, signal, sys
import click
from pyinfra import logger
from pyinfra.api import Config
from pyinfra.context import ctx_config

ctx_config.set(Config())
sys.argv[1:] = ["-y", "inventory.py", "deploys/torch.py"]
registered = []
keep = atexit.register
atexit.register = lambda function, *rest: (registered.append(function), keep(function, *rest))
before = signal.getsignal(signal.SIGINT), list(logger.handlers), sys.path[:]
with click.Context(click.Command("other"), info_name="other") as context:
    context.params["operations"] = ("deploys/torch.py",)
    import {module}
sys.path[:] = [place for place in sys.path if place != "."]
assert before == (signal.getsignal(signal.SIGINT), list(logger.handlers), sys.path)
print([f for f in registered if f.__module__.partition(".")[0] in ("operations", "fleetwheel")])
"""
WITHOUT_ARGUMENTS = """
import functools, sys
import pyinfra_cli.main as pyinfra

pyinfra.cli = functools.partial(pyinfra.cli, sys.argv[1:])
del sys.argv[1:]
pyinfra.main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_of_checkout(tmp_path_factory.mktemp("project"))
    (project / "lab.py").write_text(MUTE)
    return project


def python(project: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["inventory", "config"])
def test_another_program_stays_as_it_is(project: Path, module: str) -> None:
    done = python(project, ANOTHER_PROGRAM.format(module=module))
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("deploy", ["torch", "smoke", "drift"])
def test_a_report_is_of_the_kind_of_the_deploy(project: Path, deploy: str) -> None:
    """As pyinfra's command line read its arguments, wherever they came from."""
    done = python(project, WITHOUT_ARGUMENTS, "-y", "lab.py", f"deploys/{deploy}.py")
    assert "\n@fake/mute  failed" in done.stderr
    newest = max((project / "reports").glob("*.json"))
    assert json.loads(newest.read_text())["kind"] == {"torch": "deploy"}.get(deploy, deploy)


def test_only_deploys_end_with_a_table(project: Path) -> None:
    (project / "mine.py").write_text("")
    down = "@ssh/127.0.0.1"
    data = ("--data", "ssh_port=9")
    assert "unreachable" in run_pyinfra(project, "-y", *data, down, "deploys/torch.py").stdout
    assert "unreachable" not in run_pyinfra(project, "-y", *data, down, "mine.py").stdout
    assert "unreachable" not in run_pyinfra(project, "-y", *data, down, "exec", "--", "id").stdout


@pytest.mark.parametrize(("option", "told"), [("--diff", True), ("--json", False)])
def test_a_change_that_is_none_is_told_where_changes_are_listed(
    project: Path, option: str, told: bool
) -> None:
    done = run_pyinfra(project, "--dry", option, "lab.py", "deploys/torch.py")
    assert "failed" in done.stdout
    assert ("pyinfra counts @fake/mute under Change" in done.stdout) == told


def test_a_pyinfra_without_fleetwheel_says_where_one_is(project: Path) -> None:
    hidden = "import sys; sys.modules['fleetwheel.operations._report'] = None"
    done = python(project, f"{hidden}{WITHOUT_ARGUMENTS}", "-y", "@local", "deploys/torch.py")
    assert done.returncode == 1
    assert "this pyinfra has no fleetwheel; .venv/bin has one" in done.stderr
    assert "Traceback" not in done.stderr
