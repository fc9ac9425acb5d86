"""The lines of docs/using.md, run by an ordinary user of a host that root has deployed to."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from tests.rig.fleet import HostSpec, RunningHost, fleet, missing
from tests.rig.fleet_deploy import FleetProject
from tests.small_wheels import make_wheel

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
ROOT = "/opt/fleetwheel"
PAGE = Path("docs/using.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
HOME = "The same at home"
NOT_HERE = ("text",)
"""Blocks that the page says were not executed."""
PROFILE = "export UV_OFFLINE=1 UV_FIND_LINKS=/srv/wheels\n"
CRON = "env -i HOME=/home/student LOGNAME=student PATH=/usr/bin:/bin SHELL=/bin/sh /bin/sh -c"
"""What cron of Debian starts a line with: crontab(5)."""


def blocks(section: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.+?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


def write(host: RunningHost, path: str, content: bytes) -> None:
    text = base64.b64encode(content).decode()
    host.run(f"mkdir -p $(dirname {path}) && echo {text} | base64 -d >{path}")


class Student:
    """An ordinary user of the host."""

    def __init__(self, host: RunningHost) -> None:
        self.host = host
        host.run("useradd --create-home --shell /bin/bash student")

    def runs(self, script: str) -> str:
        """Run lines as a login shell does, in the home directory; return what they print."""
        write(self.host, "/srv/block", script.encode())
        return self.host.run(
            "timeout 200 runuser -l student -c 'bash -le /srv/block' 2>&1 || echo FAILED"
        )


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Student]:
    base = tmp_path_factory.mktemp("using")
    specs = [HostSpec("ws", data={"accelerator": "cpu", "torch": "2.13.0"})]
    with fleet(base / "fleet", specs) as rig:
        project = FleetProject(base / "project", rig)
        project.inventory()
        code, said = project.deploy(timeout=400)
        assert code == 0, said
        host = rig["ws"]
        wheel = make_wheel(base / "wheels", "rich", "1.0", requires=("torch",))
        write(host, f"/srv/wheels/{wheel.name}", wheel.read_bytes())
        write(host, "/etc/profile.d/wheels.sh", PROFILE.encode())
        host.run("grep -q ' ws$' /etc/hosts || echo '127.0.0.1 ws' >>/etc/hosts")
        own = Student(host)
        (program,) = blocks("A program, and at regular times", "python")
        write(host, "/home/student/train.py", program.encode())
        host.run("chown student /home/student/train.py")
        yield own


TWICE = r"(?s)sum on cpu 3\.0.*sum on cpu 3\.0"
"""What two processes print; warnings of theirs can come between."""
RUN = [
    ("What there is", 0, r"^torch +2\.13\.0\+cpu$(?s:.*)^ok: torch 2\.13\.0 cpu"),
    ("What there is", 1, r"^False$"),
    ("In a shell", 0, r"^2\.13\.0\+cpu$"),
    ("A program, and at regular times", 0, r"(sum on cpu 3\.0\n){2}"),
    ("Several GPUs", 0, TWICE),
    (
        "Packages of your own",
        0,
        rf"^2\.13\.0\+cpu {ROOT}/envs/\S+/torch/__init__\.py /home/student",
    ),
    ("Packages of your own", 1, TWICE),
    ("A project with uv", 0, r"^sum on cpu 3\.0$"),
]
"""Section, number of its block, and what it prints."""


def test_no_line_of_the_page_is_left_out() -> None:
    named = {(section, number) for section, number, _ in RUN}
    there = {(s, n) for s in SECTIONS if s != HOME for n in range(len(blocks(s, "sh")))}
    assert there == named
    kinds = set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE))
    assert kinds == {"sh", "python", "cron", "ini", "bash", *NOT_HERE}


@pytest.mark.parametrize(("section", "number", "expected"), RUN)
def test_a_block(student: Student, section: str, number: int, expected: str) -> None:
    said = student.runs(blocks(section, "sh")[number])
    assert re.search(expected, said, re.MULTILINE) and "FAILED" not in said, said
    written = student.host.run(f"find {ROOT} -user student")
    assert written == "", "the user has changed nothing there"


def test_the_line_for_cron(student: Student) -> None:
    (line,) = blocks("A program, and at regular times", "cron")
    command = line.split(maxsplit=5)[5].strip()
    said = student.runs(f"{CRON} '{command}'\ncat train.log\n")
    assert said == "sum on cpu 3.0\n"


def test_the_unit(student: Student) -> None:
    (unit,) = blocks("A program, and at regular times", "ini")
    write(student.host, "/srv/train.service", unit.encode())
    said = student.host.run("systemd-analyze verify /srv/train.service 2>&1 || echo FAILED")
    assert "FAILED" not in said and "train.service" not in said, said


def test_the_job(student: Student) -> None:
    (job,) = blocks("A program, and at regular times", "bash")
    write(student.host, "/srv/job.sh", job.encode())
    assert student.runs("bash /srv/job.sh").splitlines()[-1] == "sum on cpu 3.0"


def test_the_same_at_home(student: Student, tmp_path: Path) -> None:
    lock = student.host.run(f"cat {ROOT}/environments/default/pylock.toml")
    (tmp_path / "pylock.toml").write_text(lock)
    (script,) = blocks(HOME, "sh")
    minor = f"3.{sys.version_info.minor}"
    own_python = Path(sys._base_executable).parent  # type: ignore[attr-defined]
    path = f"{Path(uv.find_uv_bin()).parent}:{own_python}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-ec", script.replace("3.11", minor)],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    show = [tmp_path / ".venv/bin/python", "-c", "import torch; print(torch.__version__)"]
    assert subprocess.check_output(show, text=True) == "2.13.0+cpu\n"
