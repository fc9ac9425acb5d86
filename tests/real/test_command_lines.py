"""Twenty command lines as people and CI jobs type them: how pyinfra ends, and how we do."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project, copy_of_checkout, run_pyinfra

pytestmark = pytest.mark.real
FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
PYINFRA = FLEETWHEEL.with_name("pyinfra")
COLOUR = re.compile(r"\x1b\[(\d+;)*[349]\d(;\d+)*m")
INVENTORY = """\
defaults: {{root: "{root}", accelerator: cpu}}
hosts: {{"@local": {{}}}}
groups: {{lab: {{hosts: {{down: {{address: 127.0.0.1, port: 9}}}}}}}}
"""
UP = "--limit=@local"
DEPLOY = "inventory.py deploys/torch.py"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Project:
    base = tmp_path_factory.mktemp("lab")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    (project.directory / "inventory/lab.yaml").write_text(INVENTORY.format(root=base / "root"))
    return project


def ours(lab: Project, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLEETWHEEL, *line.split()],
        cwd=lab.directory,
        env={**os.environ, "COLUMNS": "300"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def last(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else ""


# The order counts: the first that applies deploys, and later ones find nothing to do.
LINES = [
    # pyinfra's exit status and a part of its last line; ours
    (f"{DEPLOY} -y --limit nope", 1, "debug-inventory", "deploy -y --limit nope", 1, "there are"),
    (f"{DEPLOY} -y --limit a,b", 1, "--limit a --limit b", "deploy -y --limit a,b", 1, "there are"),
    (f"{DEPLOY} -y --limit lba", 1, "debug-inventory", "deploy --limit lbab", 1, "you mean lab?"),
    (
        "nope.py deploys/torch.py -y",
        1,
        "no such inventory file",
        "deploy nope.py",
        1,
        "or name hosts",
    ),
    (f"{DEPLOY} --dry -y", 1, "leave one", "deploy --dry-run --yes", 1, "leave one out"),
    (f"{DEPLOY} {UP}", 1, "--dry only looks", f"deploy {UP}", 1, "--dry-run to look alone"),
    (f"{DEPLOY} -y --data user=x", 1, "ssh_user", "deploy --data user", 1, "is not KEY=VALUE"),
    (f"{DEPLOY} -y --data keep=x", 1, "has every key", "deploy --data keep=x", 1, "every key"),
    (f"{DEPLOY} -y --data hue=3", 1, "has every key", "deploy --data hue=3", 1, "every key"),
    (f"{DEPLOY} --dry {UP}", 0, "constraint", f"deploy --dry-run {UP}", 0, "constraint"),
    (None, 0, "", f"deploy --dry-run --detailed-exitcodes {UP}", 2, "constraint"),
    (f"{DEPLOY} -y {UP}", 0, ".json", None, 0, ""),
    (None, 0, "", f"deploy --yes {UP}", 0, ".json"),
    (None, 0, "", f"deploy --detailed-exitcodes {UP}", 0, ".json"),
    (f"{DEPLOY} -y --limit lab", 1, "", "deploy --yes --limit lab", 4, ".json"),
    (None, 0, "", f"deploy --detailed-exitcodes --yes {UP} --data rebuild=true", 2, ".json"),
    (None, 0, "", f"smoke --detailed-exitcodes {UP}", 0, ".json"),
    (None, 0, "", f"rollback --dry-run {UP} --data generation=no-such", 4, "no-such"),
    ("inventory.py deploys/mirror.py -y", 1, "", f"mirror {UP}", 4, ".json"),
    (None, 0, "", "deploy --nonsense", 1, "No such option"),
]


@pytest.mark.parametrize(("theirs", "status", "said", "line", "code", "words"), LINES)
def test_twenty_command_lines(
    lab: Project,
    theirs: str | None,
    status: int,
    said: str,
    line: str | None,
    code: int,
    words: str,
) -> None:
    if theirs:
        done = run_pyinfra(lab.directory, *theirs.split(), seconds=300)
        assert done.returncode == status, done.stdout
        assert said in last(done.stdout)
        assert "Traceback" not in done.stdout
    if line:
        done = ours(lab, line)
        assert done.returncode == code, done.stdout + done.stderr
        assert words in last(done.stdout) + last(done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout or code == 1  # a table, for all but bad usage


def test_there_are_twenty() -> None:
    assert len(LINES) == 20


def test_json_goes_to_standard_output_alone(lab: Project) -> None:
    done = ours(lab, f"deploy --dry-run --json - {UP}")
    assert [host["name"] for host in json.loads(done.stdout)["hosts"]] == ["@local"]
    assert "@local" in done.stderr


def test_a_dry_run_of_the_smoke_test_tests_nothing(lab: Project) -> None:
    before = lab.tree()
    done = ours(lab, f"smoke --dry-run {UP}")
    assert (done.returncode, "would change" in done.stdout) == (0, True)
    assert lab.tree() == before


def test_quiet_says_nothing_but_the_table(lab: Project) -> None:
    assert ours(lab, f"deploy --dry-run --quiet {UP}").stderr == ""


def at_a_terminal(
    lab: Project, line: str, answer: str = "", program: Path = FLEETWHEEL, **env: str
) -> tuple[int, str]:
    """Return exit status and all output of a command that a person runs at a terminal."""
    mine, theirs = pty.openpty()
    os.write(mine, answer.encode())
    process = subprocess.Popen(
        [program, *line.split()],
        cwd=lab.directory, env={**os.environ, **env}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while part := _read(mine):
        seen += part
    os.close(mine)
    return process.wait(300), seen.decode()


def _read(terminal: int) -> bytes:
    """Return what was written at the other end; nothing once that is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.mark.parametrize(("answer", "applied"), [("n\n", False), ("y\n", True)])
def test_at_a_terminal_it_asks_once(lab: Project, answer: str, applied: bool) -> None:
    before = len(list((lab.directory / "reports").glob("*.json")))
    code, said = at_a_terminal(lab, f"deploy {UP} --data rebuild=true", answer)
    assert code == 0, said
    assert said.count("Apply to 1 host?") == 1
    assert (len(list((lab.directory / "reports").glob("*.json"))) > before) == applied


COLOURED = [
    (FLEETWHEEL, f"deploy --dry-run {UP} --data rebuild=true"),
    (FLEETWHEEL, f"drift {UP} --data accelerator=cuda"),
    (FLEETWHEEL, "report --kind smoke"),
    (PYINFRA, f"{DEPLOY} --dry {UP} --data rebuild=true"),
]


@pytest.mark.parametrize(("program", "line"), COLOURED)
def test_no_colour_where_it_is_not_wanted(lab: Project, program: Path, line: str) -> None:
    assert COLOUR.search(at_a_terminal(lab, line, program=program, TERM="xterm")[1])
    said = at_a_terminal(lab, line, program=program, TERM="xterm", NO_COLOR="1")[1]
    assert not COLOUR.search(said)


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fleetwheel", "--version"], capture_output=True, text=True
    )
    assert "version 0.1.0" in done.stdout
