"""The schedule: what the inventory may say, and how systemd, cron and Windows are told."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.schedule import HostSchedule
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations.schedule import MAKE
from fleetwheel.schedule import check, slurm
from fleetwheel.schedule.files import calendar, cron_times, for_cron, for_systemd
from tests.machine import away_while_asked

printable = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1
).filter(str.isprintable)
awkward = st.text(st.sampled_from("a %$\"'\\{};#~`|&<>()*"), min_size=1)
words = st.one_of(printable, awkward)
UGLY = """50% of $HOME's "fleet" \\ `id`"""


def of(**values: Any) -> Schedule:
    return Schedule(**{"directory": "/srv/fleet", **values})


def systemd_reads(line: str) -> list[str]:
    """Split and expand ExecStart= by the rules of systemd.service(5) and systemd.unit(5)."""
    found, word, place, quoted = [], "", 0, False
    while place < len(line):
        character, place = line[place], place + 1
        if character == '"':
            quoted = not quoted
        elif character == "\\":
            word, place = word + line[place], place + 1
        elif character in "%$":
            assert line[place] == character, "an expansion"
            word, place = word + character, place + 1
        elif character == " " and not quoted:
            found.append(word)
            word = ""
        else:
            word += character
    assert not quoted
    return [*found, word]


@given(st.lists(words, min_size=1))
def test_systemd_reads_what_was_written(command: list[str]) -> None:
    assert systemd_reads(" ".join(map(for_systemd, command))) == command


@given(st.lists(words.filter(lambda word: "\\" not in word), min_size=1))
def test_cron_and_its_shell_read_what_was_written(command: list[str]) -> None:
    line = for_cron(command)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)%", line)
    assert shlex.split(line.replace(r"\%", "%")) == command


@pytest.mark.parametrize("word", ["a\nb", "a\0b", "a\x1b[2J", "a\u2028b"])
def test_no_word_breaks_a_line(word: str) -> None:
    for quote in (for_systemd, lambda word: for_cron([word])):
        with pytest.raises(FleetwheelError, match="one line"):
            quote(word)


def test_cron_has_no_backslash() -> None:
    with pytest.raises(FleetwheelError, match="put the command into a script"):
        for_cron(["grep", r"a\.b"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"directory": "srv/fleet"}, "no absolute path"),
        ({"directory": "/srv/a\nb"}, "no absolute path"),
        ({"directory": "/tmp/fleet"}, "temporary"),
        ({"directory": "/srv/fleet\\"}, "ends in"),
        ({"at": "daily\nUser=root"}, "no time"),
        ({"at": ""}, "no time"),
        ({"user": "a b\nc"}, "no user"),
        ({"user": "-x"}, "no user"),
        ({"hook": ["mail", "a\nb"]}, "part of a command"),
        ({"inventory": ""}, "part of a command"),
        ({"delay": 1000}, "delay"),
        ({"time": "daily"}, "time"),
        ({"directory": ""}, "mode: check needs a directory"),
        ({"mode": "slurm"}, "mode: slurm has no use for directory"),
    ],
)
def test_what_cannot_be_a_schedule(values: dict[str, Any], words: str) -> None:
    with pytest.raises(FleetwheelError) as raised:
        Settings.from_data({"schedule": {"directory": "/srv/fleet", **values}})
    assert words in str(raised.value)


def test_slurm_needs_no_directory() -> None:
    assert Settings.from_data({"schedule": {"mode": "slurm"}}).schedule == Schedule(mode="slurm")
    assert of(at="hourly", hook="mail").in_mode("slurm") == Schedule(mode="slurm")
    assert not of(present=False).in_mode("slurm").present


@pytest.mark.parametrize(
    ("given", "root"),
    [(None, "/opt/fleetwheel"), ("/srv/my root/", "/srv/my root"), ("~/fleet", "/root/fleet")],
)
def test_slurm_runs_the_program_of_the_root(given: str | None, root: str) -> None:
    job = slurm.SlurmJob(Schedule(mode="slurm"), "a", given_root=given)
    assert job.program == f"{root}/bin/fleetwheel-node"
    for text in job.files(systemd=True).values():
        assert f"30 {shlex.quote(job.program)} check --format slurm" in text
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0


def test_windows_has_no_slurm() -> None:
    with pytest.raises(FleetwheelError, match="needs a Linux host"):
        slurm.SlurmJob(Schedule(mode="slurm"), "a").windows_files("C:\\x")


@pytest.mark.parametrize(
    ("at", "delay", "fields"),
    [
        ("daily", 0, "0 0 * * *"),
        ("weekly", 0, "0 0 * * 1"),
        ("monthly", 0, "0 0 1 * *"),
        ("hourly", 0, "0 * * * *"),
        ("03:15", 0, "15 3 * * *"),
        ("23:59", 0, "59 23 * * *"),
    ],
)
def test_cron_times(at: str, delay: int, fields: str) -> None:
    assert cron_times(of(at=at, delay=delay), "a") == fields


@given(st.sampled_from(["hourly", "daily", "weekly", "03:15", "23:59"]), st.text())
def test_a_delay_stays_in_its_bounds(at: str, host: str) -> None:
    minute, hour = cron_times(of(at=at, delay=30), host).split()[:2]
    begin = {"03:15": 195, "23:59": 1439}.get(at, 0)
    now = int(minute) + 60 * (0 if hour == "*" else int(hour))
    assert (now - begin) % 1440 <= 30


def test_hosts_do_not_all_begin_at_once() -> None:
    assert len({cron_times(of(delay=30), f"host-{n}") for n in range(40)}) > 15


@pytest.mark.parametrize("at", ["Mon..Fri 06:30", "24:00", "*-*-* 03:00"])
def test_a_time_that_cron_does_not_know(at: str) -> None:
    with pytest.raises(FleetwheelError, match="needs systemd"):
        cron_times(of(at=at), "a")


def test_the_command_of_a_check() -> None:
    full = of(directory="/srv/fleet/", deep=True, html="/srv/www/fleet.html", inventory="-x")
    assert full.check("/j") == [
        *("/srv/fleet/.venv/bin/fleetwheel", "drift", "--deep"),
        *("--json", "/j", "--html", "/srv/www/fleet.html", "--", "-x"),
    ]
    assert full.writes == ["/srv/fleet/reports", "/srv/www"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "schedule",
    [
        of(),
        of(at="03:15", delay=0, deep=True, html="/srv/w/f.html", prometheus="/srv/p/f.prom"),
        of(at="Mon..Fri 06:30", hook=["mail", "-s", "drift", "root"], user="daemon"),
        of(directory="/srv/" + UGLY, inventory=UGLY, hook=["echo", UGLY], html="/srv/" + UGLY),
    ],
    ids=["plain", "outputs", "hook", "ugly"],
)
def test_systemd_accepts_the_units(schedule: Schedule, tmp_path: Path) -> None:
    units = []
    for path, text in check.systemd_files(schedule).items():
        units.append(tmp_path / Path(path).name)
        units[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("at", ["hourly", "daily", "weekly", "monthly", "03:15", "Mon..Fri 06:30"])
def test_systemd_knows_the_times(at: str) -> None:
    subprocess.run(["systemd-analyze", "calendar", calendar(at)], check=True, capture_output=True)


def test_a_unit_says_what_was_asked() -> None:
    files = check.systemd_files(of(at="03:15", user="ops", hook=["notify", "100%"]))
    service, timer, hook = (files[p] for p in (check.SERVICE, check.TIMER, check.HOOK))
    assert "User=ops\n" in service
    assert "OnFailure=fleetwheel-drift-hook.service\n" in service
    assert "OnCalendar=*-*-* 03:15:00\nRandomizedDelaySec=15min\nPersistent=true\n" in timer
    assert 'ExecStart=/usr/bin/env "notify" "100%%"\n' in hook
    assert "StandardInput=file:/var/lib/fleetwheel-drift/last.json\n" in hook


def test_the_check_can_see_the_gpus_of_its_host() -> None:
    """ProtectClock allows the clock alone of all devices, which few people expect."""
    service = check.systemd_files(of())[check.SERVICE]
    settings = {line.partition("=")[0] for line in service.splitlines() if line[:1].isalpha()}
    assert not settings & {
        "PrivateDevices",
        "ProtectClock",
        "ProtectKernelLogs",
        "DevicePolicy",
        "DeviceAllow",
    }
    assert settings > {"NoNewPrivileges", "ProtectSystem", "PrivateTmp", "ReadWritePaths"}


def test_without_a_hook_there_is_no_unit_for_it() -> None:
    files = check.systemd_files(of())
    assert check.HOOK not in files
    assert "OnFailure" not in files[check.SERVICE]


def crontab_command(schedule: Schedule) -> str:
    """Return what cron hands to sh, by the rules of crontab(5)."""
    text = check.cron_files(schedule, "a")[check.CRON]
    line = next(line for line in text.splitlines() if line[0].isdigit())
    assert text.endswith("\n")
    return line.split(maxsplit=6)[6].replace(r"\%", "%")


@pytest.mark.parametrize("status", [0, 2])
def test_the_crontab_runs_the_check_and_its_hook(tmp_path: Path, status: int) -> None:
    project = tmp_path / '50% of $HOME\'s "fleet"'
    program = project / ".venv/bin/fleetwheel"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nprintf \'%s\\n\' "$PWD" "$@" >said\necho \'{{}}\' >"$3"\nexit {status}\n'
    )
    program.chmod(0o755)
    hook = tmp_path / "the hook"
    hook.write_text('#!/bin/sh\necho "$1" "$(cat)" >hooked\n')
    hook.chmod(0o755)
    schedule = Schedule.model_construct(
        **{**of(inventory="50% $x", hook=[str(hook), "100%"]).__dict__, "directory": str(project)}
    )
    json = f"{tmp_path}/last.json"
    command = crontab_command(schedule).replace(f"{check.STATE}/last.json", json)
    subprocess.run(["sh", "-c", command.replace("logger -t", "cat >log #")], cwd=tmp_path)
    said = (project / "said").read_text().splitlines()
    assert said == [str(project), "drift", "--json", json, "--", "50% $x"]
    assert (project / "hooked").exists() == (status != 0)
    if status:
        assert (project / "hooked").read_text() == "100% {}\n"


root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def asked_for(directory: Path, away: Path | None = None) -> list[str]:
    """Return what a host says of a check in a directory, which may be away meanwhile."""
    job = check.CheckJob(of().model_copy(update={"directory": str(directory)}), "a")
    program = f"{directory}/.venv/bin/fleetwheel"
    command = HostSchedule().command(str(directory), program, "root", job.timer, (), job.runs, ())
    text = command.get_raw_value()
    text = away_while_asked(text, away) if away else text
    return subprocess.check_output(["sh", "-c", text], text=True).splitlines()


@root
def test_a_project_that_is_away_while_a_schedule_is_asked_for(tmp_path: Path) -> None:
    """Root's crontab would run it as soon as it is back."""
    theirs = tmp_path / "fleet"
    (theirs / ".venv/bin").mkdir(parents=True)
    os.chown(theirs, 65534, 65534)
    tmp_path.chmod(0o1777)
    said = asked_for(theirs, away=theirs)
    assert "directory" in said
    assert f"others everyone can write to {tmp_path}" in said


@root
def test_an_interpreter_is_judged_with_its_library(tmp_path: Path) -> None:
    for path in ("fleet/.venv/bin/x", "opt/bin/python3.11", "opt/lib/python3.11/os.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "opt/lib/python311.zip").touch()
    python = tmp_path / "opt/bin/python3.11"
    (tmp_path / "fleet/.venv/bin/python").symlink_to(python)
    assert not [line for line in asked_for(tmp_path / "fleet") if line.startswith("others")]
    library = tmp_path / "opt/lib/python3.11/os.py"
    library.chmod(0o666)
    assert f"others everyone can write to {library}" in asked_for(tmp_path / "fleet")


@root
def test_what_stands_where_a_directory_shall_be_is_not_changed(tmp_path: Path) -> None:
    """A link that another user puts there just now led to the mode and owner of what it names."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    place = tmp_path / "web of 50%/pages"

    def make(between: str = "") -> int:
        text = f'test() {{ command test "$@" || {{ {between or ":"}; false; }}; }}{MAKE}'
        command = ["sh", "-c", text, str(place), "0755", "nobody"]
        return subprocess.run(command, capture_output=True, umask=0o077).returncode

    assert make() == make() == 0
    assert (place.stat().st_mode & 0o777, place.owner()) == (0o755, "nobody")
    assert (place.parent.stat().st_mode & 0o777, place.parent.owner()) == (0o755, "root")
    place.rmdir()
    assert make(f"ln -s {private} {shlex.quote(str(place))}") != 0
    assert (private.stat().st_mode & 0o777, private.owner()) == (0o700, "root")


@root
def test_no_program_of_another_user_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ls", "id", "getent", "find", "sha256sum", "python3.14"):
        (tmp_path / name).write_text(f"#!/bin/sh\n: >{tmp_path}/ran\n")
        (tmp_path / name).chmod(0o755)
    os.chown(tmp_path, 65534, 65534)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "root" in asked_for(tmp_path / "fleet")
    assert not (tmp_path / "ran").exists()
