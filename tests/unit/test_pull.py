"""Pull mode: what it asks of a schedule, and its program in a real shell with git and rsync."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleetwheel.errors import FleetwheelError
from fleetwheel.host import itself
from fleetwheel.host.trust import Trust
from fleetwheel.inventory.load import ListedHost, fleet
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations.schedule import JOBS
from fleetwheel.reporting.report import HostReport, report_of
from fleetwheel.schedule import pull
from tests.machine import away_while_asked

URL = "https://git.example.org/fleet.git"
UGLY = """50% of $HOME's "fleet" `id`"""
NAME = 'a"b\\c'
COMMAND = """#!/bin/sh
printf '%s\\n' "$FLEETWHEEL_SELF" "$@" >>said-{name}
test ! -e fail-{name}
"""


def of(**values: Any) -> Schedule:
    return Schedule(**{"mode": "pull", "directory": "/srv/fleet", "source": URL, **values})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": None}, "needs a source"),
        ({"source": "https://me:secret@git.example.org/x"}, "credentials do not belong"),
        ({"source": "https://token@git.example.org/x"}, "credentials do not belong"),
        ({"source": "ssh://me:secret@git.example.org/x"}, "credentials do not belong"),
        ({"source": "ext::sh -c id"}, "neither a URL"),
        ({"source": "--upload-pack=id"}, "neither a URL"),
        ({"source": "ssh://-oProxyCommand=id/x"}, "neither a URL"),
        ({"source": "fleet"}, "neither a URL"),
        ({"source": "http://git.example.org/x"}, "add verify: true"),
        ({"source": "git://git.example.org/x"}, "add verify: true"),
        ({"source": "/srv/nfs/fleet", "verify": True}, "only what comes from git"),
        ({"branch": "--force"}, "no branch"),
        ({"branch": "a b"}, "no branch"),
        ({"user": "fleet"}, "runs as root"),
        ({"mode": "push"}, "must be 'check', 'pull' or 'slurm'"),
    ],
)
def test_what_cannot_be_pulled(values: dict[str, Any], words: str) -> None:
    said = {"mode": "pull", "directory": "/srv/fleet", "source": URL, **values}
    with pytest.raises(FleetwheelError) as raised:
        Settings.from_data({"schedule": said})
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "token@" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "git"),
    [
        (URL, True),
        ("git@git.example.org:team/fleet.git", True),
        ("ssh://git@git.example.org:2222/fleet", True),
        ("file:///srv/nfs/fleet", True),
        ("/srv/nfs/fleet.git", True),
        ("/srv/nfs/fleet", False),
    ],
)
def test_what_is_from_git(source: str, git: bool) -> None:
    assert of(source=source).from_git == git
    assert ("git" in pull.PullJob(of(source=source), "a").programs) == git


def test_the_command_line_names_another_mode() -> None:
    check = Schedule(directory="/srv/fleet", source=URL)
    assert check.in_mode("pull") == of()
    with pytest.raises(FleetwheelError, match="needs a source"):
        Schedule(directory="/srv/fleet").in_mode("pull")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"uniform": True}, "uniform"),
        ({"mirror": "@local:8080"}, "mirror"),
        ({"environments": {"nlp": {"project": "/srv/nlp"}}}, "nlp: /srv/nlp does not come with"),
        ({"environments": {"nlp": {"lock": "~/pylock.toml"}}}, "as in lock: teams/nlp"),
        ({"environments": {"nlp": {"project": "teams/nlp"}, "vision": None}}, ""),
        ({}, ""),
    ],
)
def test_a_host_that_pulls_sees_no_others(data: dict[str, Any], words: str) -> None:
    settings = Settings.from_data({**data, "schedule": of()})
    if words:
        with pytest.raises(FleetwheelError, match=words):
            pull.refuse_sight_of_others(settings)
    else:
        pull.refuse_sight_of_others(settings)


def test_windows_does_not_pull() -> None:
    with pytest.raises(FleetwheelError, match="needs a Linux host"):
        pull.PullJob(of(), "a").windows_files("C:\\x")


def test_every_mode_is_a_job() -> None:
    modes = get_args(Schedule.model_fields["mode"].annotation)
    assert tuple(JOBS) == modes
    names = [path.rpartition("/")[2] for job in JOBS.values() for path in job.may_have]
    assert len({job.name for job in JOBS.values()}) == len(modes)
    assert all(name.startswith(tuple(job.name for job in JOBS.values())) for name in names)


LAB = """\
defaults: {user: ops, sudo: true}
hosts:
  a: {keep: 7, mirror: store, key: /k, pyinfra: {_timeout: 9}}
  store: {address: 192.0.2.9}
"""


def test_a_host_of_the_inventory_is_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    monkeypatch.setenv("FLEETWHEEL_INVENTORY", str(tmp_path))
    monkeypatch.setenv(itself.SELF, "a")
    data = {"keep": 7, "mirror": "http://192.0.2.9:8765"}
    (host,) = fleet()
    assert host == ListedHost("@local", (), {**data, "mirror": host.data["mirror"]})
    assert host.data["mirror"].startswith("http://192.0.2.9:")
    entry = HostReport(name="@local", status="clean", why="")
    assert [found.name for found in report_of([entry]).hosts] == ["a"]

    monkeypatch.setenv(itself.SELF, "gone")
    with pytest.raises(FleetwheelError, match="gone: the inventory has no such host"):
        fleet()
    monkeypatch.delenv(itself.SELF)
    assert [found.name for found in report_of([entry]).hosts] == ["@local"]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
@pytest.mark.parametrize(
    "schedule",
    [
        of(),
        of(verify=True, hook=["tell", UGLY], prometheus="/srv/" + UGLY, html="/srv/w/f.html"),
        of(source="/srv/" + UGLY, directory="/srv/" + UGLY, inventory=UGLY, deep=True),
    ],
    ids=["plain", "all", "ugly"],
)
def test_shellcheck_accepts_the_program(schedule: Schedule) -> None:
    text = pull.pull_files(schedule, NAME, systemd=True)[pull.PROGRAM]
    # As information it says that quoted text is not expanded, and functions are not called here.
    command = ["shellcheck", "--shell=sh", "--severity=warning", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.stdout == ""


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    files = pull.pull_files(of(at="Mon..Fri 06:30"), "a", systemd=True)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = [tmp_path / "fleetwheel-pull.service", tmp_path / "fleetwheel-pull.timer"]
    units[0].write_text(files[pull.SERVICE].replace(pull.PROGRAM, str(program)))
    units[1].write_text(files[pull.TIMER])
    command = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_cron_starts_it() -> None:
    files = pull.pull_files(of(at="03:15", delay=0), "a", systemd=False)
    line = "15 3 * * * root /usr/local/sbin/fleetwheel-pull 2>&1 | logger -t fleetwheel-pull\n"
    assert files[pull.CRON].endswith(line)
    with pytest.raises(FleetwheelError, match="needs systemd"):
        pull.pull_files(of(at="Mon 03:15"), "a", systemd=False)


def _stages(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    assert {sample.labels["host"] for sample in samples} <= {NAME}
    named = [sample for sample in samples if sample.name == "fleetwheel_pull_exit_code"]
    return {sample.labels["stage"]: sample.value for sample in named}


class Lab:
    """A host with the program, whose fleetwheel only notes what it was told."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.source = base / "a source"
        self.repository = base / "fleet.git"
        self.state = base / "state"
        self.directory = base / UGLY
        self.textfile = base / "metrics of 50%.prom"
        self.trust = Trust()
        self.edit: Callable[[str], str] = str
        for directory in (self.source, self.state, self.directory):
            directory.mkdir()
        (self.source / "inventory.py").write_text("first")
        for name in ("pyinfra", "fleetwheel"):
            program = self.directory / ".venv/bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(COMMAND.replace("{name}", name))
            program.chmod(0o755)

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, "-C", str(self.source), *arguments], check=True)

    def publish(self) -> None:
        """Commit what the source has."""
        if not self.repository.exists():
            self.git("init", "-q", "--bare", "-b", "main", str(self.repository))
            self.git("init", "-q", "-b", "main")
        self.git("add", "--all")
        self.git("commit", "-q", "-m", "change")
        self.git("push", "-q", "--force", str(self.repository), "HEAD:main")

    def pull(self, *, blocks: int | None = None, **values: Any) -> tuple[int, str]:
        """Run the program; return its exit code and what it said.

        ``blocks`` of 512 bytes are the most that it may write to one file.
        """
        said = {"directory": self.directory, "prometheus": self.textfile, **values}
        # The schedule refuses paths below /tmp, which is where tests live.
        plain = {name: str(v) if isinstance(v, Path) else v for name, v in said.items()}
        schedule = of().model_copy(update=plain)
        text = pull.pull_files(schedule, NAME, self.trust, systemd=True)[pull.PROGRAM]
        program = self.base / "program"
        program.write_text(self.edit(text.replace(pull.STATE, str(self.state))))
        limit = f"ulimit -f {blocks}; " if blocks else ""
        done = subprocess.run(
            ["sh", "-c", f'{limit}exec sh "$0"', str(program)],
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(self.base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
        )
        return done.returncode, done.stdout

    def stages(self) -> dict[str, float]:
        """Return how each stage ended that ran, which the text file has too."""
        ran = _stages((self.state / "codes").read_text())
        told = _stages(self.textfile.read_text())
        assert ran.items() <= told.items()
        return ran

    def told(self) -> dict[str, float]:
        """Return how each stage last ended, as Prometheus reads the text file."""
        return _stages(self.textfile.read_text())

    def has(self, name: str) -> str | None:
        path = self.directory / "tree" / name
        return path.read_text() if path.exists() else None


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lacks = [tool for tool in ("git", "rsync", "flock") if not shutil.which(tool)]
    if lacks:
        pytest.skip(f"no {' and no '.join(lacks)}: scripts/install-test-tools.sh")
    return Lab(tmp_path)


GOOD = {"source": 0, "trust": 0, "install": 0, "deploy": 0, "check": 0}


def test_a_directory_is_copied(lab: Lab) -> None:
    (lab.source / "locks").mkdir()
    (lab.source / "old").write_text("")
    for name in (".venv", "reports"):
        (lab.source / name).mkdir()
        (lab.source / name / "theirs").write_text("")
    assert lab.pull(source=lab.source) == (0, "")
    assert lab.stages() == GOOD
    assert lab.has("said-pyinfra") == f"{NAME}\n-y\n--\ninventory.py\ndeploys/torch.py\n"
    assert lab.has(".venv/theirs") is None

    for name in ("locks/own", "reports/own"):
        (lab.directory / "tree" / name).write_text("")
    (lab.source / "inventory.py").write_text("second one")
    (lab.source / "old").unlink()
    assert lab.pull(source=lab.source) == (0, "")
    assert lab.has("inventory.py") == "second one"
    assert lab.has("old") is None
    assert lab.has("locks/own") == lab.has("reports/own") == ""


def test_a_directory_that_is_not_mounted_takes_nothing_away(lab: Lab) -> None:
    lab.pull(source=lab.source)
    (lab.source / "inventory.py").unlink()
    code, said = lab.pull(source=lab.source)
    assert code == 1
    assert "there is no project directory" in said
    assert lab.stages() == GOOD | {"source": 1}
    assert lab.has("inventory.py") == "first"


@pytest.mark.parametrize("from_git", [True, False])
def test_a_directory_of_somebody_else_is_left_alone(lab: Lab, from_git: bool) -> None:
    (lab.directory / "precious").write_text("")
    lab.publish()
    code, said = lab.pull(source=lab.repository if from_git else lab.source)
    assert code == 1
    assert "holds something else" in said
    assert (lab.directory / "precious").read_text() == ""
    assert lab.has("inventory.py") is None


def test_git_goes_forward_and_never_elsewhere(lab: Lab) -> None:
    lab.publish()
    assert lab.pull(source=lab.repository) == (0, "")
    (lab.source / "inventory.py").write_text("second one")
    lab.publish()
    (lab.directory / "tree/inventory.py").write_text("edited by hand")
    assert lab.pull(source=lab.repository) == (0, "")
    assert lab.has("inventory.py") == "second one"

    lab.git("commit", "-q", "--amend", "-m", "another history")
    (lab.source / "inventory.py").write_text("third one")
    lab.publish()
    code, said = lab.pull(source=lab.repository)
    assert code == 1
    assert "its history was rewritten" in said
    assert lab.has("inventory.py") == "second one"


def test_a_branch(lab: Lab) -> None:
    lab.publish()
    (lab.source / "inventory.py").write_text("canary")
    lab.git("commit", "-q", "-a", "-m", "canary")
    lab.git("push", "-q", str(lab.repository), "HEAD:canary/first")
    assert lab.pull(source=lab.repository, branch="canary/first") == (0, "")
    assert lab.has("inventory.py") == "canary"
    assert lab.pull(source=lab.repository, branch="no-such")[0] != 0
    assert lab.has("inventory.py") == "canary"


def test_a_failed_pull_is_told(lab: Lab) -> None:
    lab.publish()
    hook = lab.base / "hook"
    hook.write_text('#!/bin/sh\necho "$1 $(cat)" >"${0%/*}/told"\n')
    hook.chmod(0o755)
    schedule = {"source": lab.repository, "hook": [str(hook), UGLY]}
    assert lab.pull(**schedule)[0] == 0
    assert not (lab.base / "told").exists()
    (lab.directory / "tree/fail-pyinfra").write_text("")
    shutil.rmtree(lab.repository)
    assert lab.pull(**schedule)[0] != 0
    assert (lab.base / "told").read_text() == f"{UGLY} \n"
    stages = lab.stages()
    assert stages["source"] != 0
    assert (stages["install"], stages["deploy"], stages["check"]) == (0, 1, 0)


def test_stages_that_did_not_run_keep_their_gauges(lab: Lab) -> None:
    """An alert on a deploy must not resolve because the next pull got less far."""
    lab.pull(source=lab.source)
    shutil.rmtree(lab.directory / ".venv")
    lab.pull(source=lab.source)
    assert lab.stages() == {"source": 0, "trust": 0, "install": 1, "check": 127}
    for _ in range(2):
        (lab.source / "inventory.py").unlink(missing_ok=True)
        lab.pull(source=lab.source)
        assert lab.told() == {"source": 1, "trust": 0, "install": 1, "deploy": 0, "check": 127}


def test_the_clone_installs_itself(lab: Lab) -> None:
    shutil.rmtree(lab.directory / ".venv")
    code, said = lab.pull(source=lab.source)
    assert code == 127
    assert "no quickstart.py that could install it" in said
    assert lab.stages() == {"source": 0, "trust": 0, "install": 1, "check": 127}

    (lab.source / "quickstart.py").write_text(
        "import os, pathlib, sys\n"
        "assert sys.argv[1:] == ['install']\n"
        "os.mkdir('.venv/bin')\n"
        "for name in ('pyinfra', 'fleetwheel'):\n"
        "    program = pathlib.Path('.venv/bin', name)\n"
        "    program.write_text('#!/bin/sh\\n')\n"
        "    program.chmod(0o755)\n"
    )
    assert lab.pull(source=lab.source) == (0, "")
    assert lab.stages() == GOOD


def test_nothing_is_deployed_by_what_is_half_installed(lab: Lab) -> None:
    (lab.source / "quickstart.py").write_text("raise SystemExit(3)")
    assert lab.pull(source=lab.source)[0] == 3
    assert lab.stages() == {"source": 0, "trust": 0, "install": 3, "check": 0}
    assert lab.has("said-pyinfra") is None


def test_one_pull_at_a_time(lab: Lab) -> None:
    with subprocess.Popen(
        ["flock", lab.state / "lock", "sh", "-c", "echo locked; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == "locked\n"
        code, said = lab.pull(source=lab.source)
        other.stdin.write("\n")
        other.stdin.close()
    assert code == 75
    assert "the pull before this one still runs" in said
    assert lab.has("inventory.py") is None


root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534


@root
@pytest.mark.parametrize(
    "theirs", ["", "..", ".venv", ".venv/bin/pyinfra", "tree", "tree/inventory.py", "tree/locks"]
)
def test_nothing_runs_that_another_user_can_change(lab: Lab, theirs: str) -> None:
    """Such as the quickstart.py of a directory which git refuses for its dubious ownership."""
    (lab.source / "locks").mkdir()
    (lab.source / "locks/one").write_text("")
    lab.publish()
    schedule = {"source": lab.repository, "verify": False}
    assert lab.pull(**schedule) == (0, "")
    (lab.directory / "tree/quickstart.py").write_text("open('/dev/stderr', 'w').write('taken')")
    for said in lab.directory.glob("tree/said-*"):
        said.unlink()
    shutil.rmtree(lab.repository)  # so that what is there stays
    os.chown(lab.directory / theirs, NOBODY, NOBODY)
    code, said = lab.pull(**schedule)
    os.chown(lab.base, 0, 0)
    assert code == 1 or "fatal" in said
    place = (lab.directory / theirs).resolve()
    assert f"{place} belongs to nobody ({NOBODY}) (trust: in the inventory can allow that)" in said
    assert "taken" not in said
    stages = lab.stages()
    assert stages.pop("source") != 0
    assert stages == {"trust": 1}
    assert not list(lab.directory.glob("tree/said-*"))


@root
def test_the_interpreter_is_judged_with_its_library(lab: Lab) -> None:
    (lab.base / "opt/bin").mkdir(parents=True)
    (lab.base / "opt/bin/python3.11").touch()
    (lab.base / "opt/lib/python3.11").mkdir(parents=True)
    (lab.base / "opt/lib/python311.zip").touch()
    library = lab.base / "opt/lib/python3.11/os.py"
    library.touch()
    (lab.directory / ".venv/bin/python").symlink_to(lab.base / "opt/bin/python3.11")
    assert lab.pull(source=lab.source) == (0, "")
    os.chown(library, NOBODY, NOBODY)
    code, said = lab.pull(source=lab.source)
    assert (code, lab.stages()) == (1, {"source": 0, "trust": 1})
    assert f"{library} belongs to nobody ({NOBODY})" in said


@root
def test_nothing_is_fetched_to_a_directory_of_another_user(lab: Lab) -> None:
    os.chown(lab.directory, NOBODY, NOBODY)
    code, said = lab.pull(source=lab.source)
    assert code == 1
    assert f"{lab.directory} belongs to nobody ({NOBODY})" in said
    assert f": nothing is fetched to {lab.directory}" in said
    assert sorted(path.name for path in lab.directory.iterdir()) == [".venv"]


@root
def test_a_directory_that_is_away_while_the_pull_looks(lab: Lab) -> None:
    quickstart = lab.directory / "tree/quickstart.py"
    quickstart.parent.mkdir()
    quickstart.write_text("open('/dev/stderr', 'w').write('taken')")
    os.chown(lab.directory, NOBODY, NOBODY)
    lab.base.chmod(0o1777)
    lab.edit = lambda text: away_while_asked(text, lab.directory)
    code, said = lab.pull(source=lab.source)
    assert (code, lab.stages()) == (1, {"source": 1, "trust": 1})
    assert "taken" not in said
    assert sorted(path.name for path in lab.directory.iterdir()) == [".venv", "tree"]


@root
def test_whom_the_inventory_trusts_may_own_what_a_pull_runs(lab: Lab) -> None:
    os.chown(lab.directory, NOBODY, 1235)
    lab.directory.chmod(0o2775)
    lab.trust = Trust(users=("nobody",))
    code, said = lab.pull(source=lab.source)
    assert (code, "group unknown (1235) can write to" in said) == (1, True)
    lab.trust = Trust(users=("nobody",), groups=("1235",))
    assert lab.pull(source=lab.source) == (0, "")


def test_what_was_never_verified_does_not_run(lab: Lab) -> None:
    """It came before the schedule said ``verify``, or its signer is no longer accepted."""
    lab.publish()
    assert lab.pull(source=lab.repository) == (0, "")
    (lab.directory / "tree/said-pyinfra").unlink()
    code, said = lab.pull(source=lab.repository, verify=True)
    assert code == 1
    assert said.count("has no signature that this host accepts") == 2
    assert lab.stages() == {"source": 1, "trust": 1}
    assert lab.has("said-pyinfra") is None
    assert lab.has("said-fleetwheel") is not None, "only the first pull's"


def test_half_a_tree_is_never_deployed(lab: Lab) -> None:
    lab.publish()
    assert lab.pull(source=lab.repository) == (0, "")
    (lab.source / "inventory.py").write_text("second one")
    (lab.source / "zeros").write_text("0" * (4 << 20))
    lab.publish()
    assert lab.pull(source=lab.repository, blocks=2048)[0] != 0
    assert lab.stages()["source"] != 0
    assert (lab.has("inventory.py"), lab.has("zeros")) == ("first", None)
    assert lab.pull(source=lab.repository) == (0, "")
    assert lab.has("inventory.py") == "second one"


def test_locks_that_were_left_over_stop_no_pull(lab: Lab) -> None:
    lab.publish()
    assert lab.pull(source=lab.repository) == (0, "")
    (lab.source / "inventory.py").write_text("second one")
    lab.publish()
    for name in (
        "index",
        "repository/index",
        "repository/HEAD",
        "repository/config",
        "repository/refs/heads/fetched",
        "repository/packed-refs",
        "repository/shallow",
    ):
        (lab.state / f"{name}.lock").write_text("")
    assert lab.pull(source=lab.repository) == (0, "")
    assert lab.has("inventory.py") == "second one"


def test_power_lost_between_two_renames(lab: Lab) -> None:
    assert lab.pull(source=lab.source) == (0, "")
    (lab.directory / "tree").rename(lab.directory / "old")
    (lab.directory / "new").mkdir()
    shutil.rmtree(lab.source)
    code, said = lab.pull(source=lab.source)
    assert code == 1
    assert lab.stages() == GOOD | {"source": 1}, said
    assert lab.has("inventory.py") == "first"


def test_what_a_hook_leaves_running_holds_no_lock(lab: Lab) -> None:
    hook = lab.base / "hook"
    hook.write_text('#!/bin/sh\nsleep 60 >/dev/null 2>&1 &\necho $! >"${0%/*}/left"\n')
    hook.chmod(0o755)
    schedule = {"source": lab.base / "nowhere", "hook": [str(hook)]}
    assert lab.pull(**schedule)[0] == 1
    left = int((lab.base / "left").read_text())
    try:
        assert lab.pull(source=lab.source) == (0, "")
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_copy_is_writable_for_root_alone(lab: Lab) -> None:
    (lab.source / "deploys").mkdir(mode=0o777)
    (lab.source / "deploys").chmod(0o777)
    (lab.source / "inventory.py").chmod(0o666)
    (lab.source / "tool").write_text("")
    (lab.source / "tool").chmod(0o6775)
    os.mkfifo(lab.source / "fifo")
    assert lab.pull(source=lab.source)[0] == 0
    tree = lab.directory / "tree"
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tree.iterdir()}
    assert modes["deploys"] == 0o755
    assert modes["inventory.py"] == 0o644
    assert modes["tool"] == 0o755
    assert "fifo" not in modes


@pytest.mark.parametrize("kind", ["link", "fifo", "directory link"])
def test_nothing_that_waits_for_the_text_file_is_opened(lab: Lab, kind: str) -> None:
    other = lab.base / "other"
    other.mkdir()
    (other / "shadow").write_text("theirs")
    for path in (lab.textfile, lab.textfile.with_name(f"{lab.textfile.name}.new")):
        if kind == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(other / "shadow" if kind == "link" else other)
    assert lab.pull(source=lab.source) == (0, "")
    assert lab.stages() == GOOD
    assert not lab.textfile.is_symlink()
    assert [path.read_text() for path in other.iterdir()] == ["theirs"]
    assert not list(lab.base.glob(".fleetwheel*"))


@root
def test_gauges_do_not_follow_another_users_link_to_a_directory(lab: Lab) -> None:
    theirs, etc = lab.base / "prometheus", lab.base / "etc"
    theirs.mkdir()
    etc.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    (theirs / "text").symlink_to(etc)
    code, said = lab.pull(source=lab.source, prometheus=theirs / "text/fleet.prom")
    assert code == 1
    assert "is not written, for it could be led elsewhere" in said
    assert list(etc.iterdir()) == []
    (theirs / "text").unlink()
    (theirs / "text").mkdir()
    assert lab.pull(source=lab.source, prometheus=theirs / "text/fleet.prom") == (0, "")
    assert (theirs / "text/fleet.prom").stat().st_mode & 0o777 == 0o644


@root
def test_gauges_do_not_follow_a_link_that_is_away_while_the_pull_looks(lab: Lab) -> None:
    theirs, etc = lab.base / "prometheus", lab.base / "etc"
    theirs.mkdir()
    etc.mkdir()
    (theirs / "text").symlink_to(etc)
    os.chown(theirs, NOBODY, NOBODY)
    lab.base.chmod(0o1777)
    lab.edit = lambda text: away_while_asked(text, theirs)
    code, said = lab.pull(source=lab.source, prometheus=theirs / "text/fleet.prom")
    assert (code, list(etc.iterdir())) == (1, [])
    assert "is not written, for it could be led elsewhere" in said


@root
def test_gauges_go_where_a_link_of_roots_leads(lab: Lab) -> None:
    (lab.base / "text").symlink_to(lab.base / "real")
    (lab.base / "real").mkdir()
    (lab.base / "real").chmod(0o1777)
    assert lab.pull(source=lab.source, prometheus=lab.base / "text/fleet.prom") == (0, "")
    assert (lab.base / "real/fleet.prom").exists()


@root
def test_programs_come_from_places_that_root_alone_can_change(lab: Lab) -> None:
    local = lab.base / "local/bin"
    local.mkdir(parents=True)
    for name in ("flock", "rsync", "find", "ls"):
        (local / name).write_text(f'#!/bin/sh\ntouch {lab.base}/ran\nexec /usr/bin/{name} "$@"\n')
        (local / name).chmod(0o755)
    lab.edit = lambda text: text.replace("/usr/local/bin", str(local))
    assert lab.pull(source=lab.source) == (0, "")
    assert (lab.base / "ran").exists()
    (lab.base / "ran").unlink()
    local.chmod(0o2775)
    assert lab.pull(source=lab.source) == (0, "")
    assert not (lab.base / "ran").exists()
