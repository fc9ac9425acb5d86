"""The schedule of a Windows host: the task and its batch file, and when a task is another one."""

from typing import Any
from xml.etree import ElementTree

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.facts.schedule import WindowsDriftSchedule
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.schedule.windows import SPACE, same_task, windows_files

ROOT = r"C:\fleet of 50"


def of(**values: Any) -> Schedule:
    hook = [r"C:\tools\notify.exe", "100%"]
    return Schedule.model_validate({"directory": "/srv/fleet", "hook": hook, **values})


def files(**values: Any) -> tuple[str, bytes]:
    """Return the text of the batch file, and the task."""
    batch, task = windows_files(of(**values), ROOT).values()
    return batch.decode(), task


@pytest.mark.parametrize("at", ["hourly", "daily", "weekly", "monthly", "03:15"])
def test_a_task_is_well_formed(at: str) -> None:
    text = files(at=at)[1].decode("utf-16").replace('encoding="UTF-16"', "")
    tree = ElementTree.fromstring(text)
    start = tree.findtext(f".//{SPACE}StartBoundary") or ""
    assert start.endswith("03:15:00" if at == "03:15" else "00:00:00")
    assert tree.findtext(f".//{SPACE}StartWhenAvailable") == "true"
    assert tree.findtext(f".//{SPACE}UserId") == "S-1-5-18"
    assert tree.findtext(f".//{SPACE}Command") == r"%SystemRoot%\System32\cmd.exe"
    arguments = tree.findtext(f".//{SPACE}Arguments")
    assert arguments == rf'/d /c ""{ROOT}\bin\fleetwheel-drift.cmd""'


def test_the_batch_file_keeps_the_exit_code_whatever_its_sign() -> None:
    """``if errorlevel 1`` is false for a crash, whose exit code cmd takes for negative."""
    batch, _ = files()
    lines = batch.split("\r\n")
    assert r'call "C:\fleet of 50\bin\fleetwheel-node.cmd" check --format json' in batch
    assert lines[-2:] == ["exit /b %code%", ""]
    assert any(
        line.startswith('if not "%code%"=="0" C:\\tools\\notify.exe "100%%" <') for line in lines
    )
    assert "errorlevel 1" not in batch
    assert "\n" not in batch.replace("\r\n", "")


def test_a_deep_check_runs_the_smoke_test() -> None:
    assert "--smoke" in files(deep=True)[0]
    assert "--smoke" not in files()[0]


def test_a_named_account_runs_the_task() -> None:
    assert "<UserId>svc-fleet</UserId>" in files(user="svc-fleet")[1].decode("utf-16")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"at": "Mon..Fri 06:30"}, "needs systemd"),
        ({"html": r"C:\x.html"}, "looks at itself"),
        ({"prometheus": "/var/lib/x.prom"}, "looks at itself"),
    ],
)
def test_what_a_windows_host_cannot_do(values: dict[str, str], words: str) -> None:
    with pytest.raises(FleetwheelError, match=words):
        files(**values)
    with pytest.raises(FleetwheelError, match="percent"):
        windows_files(of(), "C:\\100%")


def registered(task: bytes) -> str:
    """Return a task as Task Scheduler keeps it: with a URI, and defaults that were not written."""
    text = task.decode("utf-16")
    text = text.replace("</RegistrationInfo>", "<URI>\\fleetwheel-drift</URI></RegistrationInfo>")
    text = text.replace("<CalendarTrigger>", "<CalendarTrigger><Enabled>true</Enabled>")
    text = text.replace("</UserId>", "</UserId><RunLevel>LeastPrivilege</RunLevel>")
    return text.replace("<Settings>", "<Settings><Enabled>true</Enabled><Hidden>false</Hidden>")


def test_what_task_scheduler_adds_is_no_change() -> None:
    _, task = files()
    assert same_task(task, task)
    assert same_task(task, registered(task).encode("utf-16"))


def test_a_user_given_by_name_is_kept_as_a_sid() -> None:
    _, task = files(user="svc-fleet")
    text = registered(task)
    kept = text.replace(
        "svc-fleet</UserId>", "S-1-5-21-1-2-3-1004</UserId><LogonType>S4U</LogonType>"
    )
    assert same_task(task, kept.encode("utf-16"))
    assert not same_task(task, text.replace("svc-fleet", "S-1-5-18").encode("utf-16"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Settings><Enabled>true", "<Settings><Enabled>false"),
        ("<CalendarTrigger><Enabled>true", "<CalendarTrigger><Enabled>false"),
        ("00:00:00</StartBoundary>", "01:00:00</StartBoundary>"),
        ("S-1-5-18", "S-1-5-20"),
        ("fleetwheel-drift.cmd", "other.cmd"),
        ("</Actions>", "<Exec><Command>evil.exe</Command></Exec></Actions>"),
        ("</Triggers>", "<LogonTrigger></LogonTrigger></Triggers>"),
        ("LeastPrivilege", "HighestAvailable"),
        ("</Task>", ""),
        ("<RegistrationInfo>", "<!DOCTYPE x><RegistrationInfo>"),
    ],
)
def test_a_task_that_was_edited_is_another(old: str, new: str) -> None:
    _, task = files()
    text = registered(task)
    assert old in text
    assert not same_task(task, text.replace(old, new, 1).encode("utf-16"))
    assert not same_task(task, b"")


def test_the_task_is_read_where_this_windows_keeps_it() -> None:
    r"""``%SystemRoot%`` is not C:\Windows everywhere."""
    fact = WindowsDriftSchedule()
    asked = str(fact.command(root=ROOT, task="fleetwheel-drift"))
    assert r'echo kept "%SystemRoot%\System32\Tasks\fleetwheel-drift"' in asked
    kept = r"D:\WINNT\System32\Tasks\fleetwheel-drift"
    found = fact.process([f'kept "{kept}" ', "directory ", "active"])
    assert (found.kept, found.directory, found.program, found.active) == (kept, True, False, True)
