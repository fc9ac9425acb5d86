"""The job of a Windows host: it looks at itself with the program for hosts, and needs no pyinfra.

A whole fleet is looked at from Linux. What the task runs lies in ``bin`` below the root, which
users can read and administrators alone can change.
"""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

from fleetwheel.connection.quoting import for_cmd
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.render import render
from fleetwheel.schedule.files import WORDS, clock

TASK = "fleetwheel-drift"
SYSTEM = "S-1-5-18"
SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
Part = tuple[tuple[str, ...], str]
"""Path of an element in a task, and its text."""
GIVEN = ("Triggers", "Principals", "Actions")
"""Parts of a task that hold nothing but what was written, or a default of DEFAULTS."""
USER = ("Principals", "Principal", "UserId")
DEFAULTS = {
    "Enabled": "true",
    "RunLevel": "LeastPrivilege",
    "StopAtDurationEnd": "false",
    "LogonType": "S4U",
}
"""What Task Scheduler adds to these parts."""


def windows_files(schedule: Schedule, root: str) -> dict[str, bytes]:
    r"""Return the batch file of a check and its task for Task Scheduler: path to content.

    + root: the root directory, as Windows writes it: ``C:\ProgramData\fleetwheel``

    Raises FleetwheelError for what a Windows host cannot do.
    """
    _refuse_unfit(schedule)
    if "%" in root:
        raise FleetwheelError(
            f"{root}: Task Scheduler reads a percent sign as a variable",
            hint="name another root in the inventory",
        )
    start = clock(schedule.at) or 0
    program, state = rf"{root}\bin\{TASK}.cmd", windows_state(root)
    batch = render(
        "drift.cmd.j2",
        check=for_cmd(rf"{root}\bin\fleetwheel-node.cmd"),
        smoke=schedule.deep,
        hook=" ".join(map(for_cmd, schedule.hook)),
        json=for_cmd(rf"{state}\last.json"),
        new=for_cmd(rf"{state}\last.json.new"),
        log=for_cmd(rf"{state}\last.log"),
    )
    minute = f"{start // 60:02}:{start % 60:02}:00"
    user = schedule.user or SYSTEM
    task = render("drift-task.xml.j2", schedule=schedule, start=minute, program=program, user=user)
    return {
        program: batch.replace("\n", "\r\n").encode(),
        rf"{state}\{TASK}.xml": task.replace("\n", "\r\n").encode("utf-16"),
    }


def windows_state(root: str) -> str:
    """Return the directory of the last report, where alone the user of the task writes."""
    return rf"{root}\schedule"


def _refuse_unfit(schedule: Schedule) -> None:
    if clock(schedule.at) is None and schedule.at not in WORDS:
        raise FleetwheelError(
            f"at: {schedule.at!r} needs systemd", hint=f'write {", ".join(WORDS)} or "HH:MM"'
        )
    for name in ("html", "prometheus"):
        if getattr(schedule, name):
            raise FleetwheelError(
                f"{name}: a Windows host looks at itself, and writes JSON alone",
                hint=f"leave {name} to a Linux host that looks at the fleet",
            )


def same_task(wanted: bytes, found: bytes) -> bool:
    """Whether a task is as it was written: what Task Scheduler adds counts as nothing.

    A trigger or an action more, or a task that is disabled, makes it another one.
    """
    try:
        want, have = (Counter(_parts(_text(content))) for content in (wanted, found))
    except (ElementTree.ParseError, ValueError):
        return False
    _forget_names(want, have)
    more = [part for part in have - want if part[0][:1] and part[0][0] in GIVEN]
    disabled = any(path[-1:] == ("Enabled",) and text == "false" for path, text in have)
    others = [(path, text) for path, text in more if DEFAULTS.get(path[-1]) != text]
    return not want - have and not others and not disabled


def _forget_names(want: Counter[Part], have: Counter[Part]) -> None:
    """Leave out whose task it is where it was given by name: Task Scheduler keeps the SID."""
    user = next((part for part in want if part[0] == USER), None)
    kept = next((part for part in have if part[0] == USER), None)
    if user and kept and user[1] != SYSTEM and kept[1] != SYSTEM:
        del want[user], have[kept]


def _text(content: bytes) -> str:
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    if "<!" in text:  # a document type could make a text without end
        raise ValueError("a task has no document type")
    head, _, body = text.partition("?>")
    return body if head.startswith("<?xml") else text


def _parts(text: str) -> Iterator[Part]:
    """Return the path and text of each element that has one, or has nothing in it."""
    stack: list[tuple[tuple[str, ...], ElementTree.Element]] = []
    stack.append(((), ElementTree.fromstring(text)))  # noqa: S314 - without a document type
    while stack:
        path, element = stack.pop()
        children = [((*path, each.tag.removeprefix(SPACE)), each) for each in element]
        if not children:
            yield path, (element.text or "").strip()
        stack += children
