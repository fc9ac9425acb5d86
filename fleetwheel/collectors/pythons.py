"""The CPython interpreters of a host."""

import re

from pydantic import Field

from fleetwheel.collectors._answer import TIMED_OUT, Section, skipped, unfinished
from fleetwheel.host.profile import Python, Reach
from fleetwheel.value import Value

OLDEST = (3, 8)
REACH: dict[str, Reach] = {"everyone": "everyone", "root": "root", "private": "private"}

LINE = re.compile(
    r"(?:(?P<reach>everyone|root|private) )?"
    r"(?P<version>(?P<major>[0-9]{1,3})\.(?P<minor>[0-9]{1,3})\.[0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,3})?\+?)"
    r" (?P<implementation>\w+) (?P<bits>32|64) (?P<abiflags>[a-z]{1,4}|-) (?P<venv>[01])"
    r" (?P<path>/.+|[A-Za-z]:\\.+)"
)


MACHINE = re.compile(r"win-(?P<machine>amd64|arm64) (?P<path>[A-Za-z]:\\.+)")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class Interpreters(Value):
    """The interpreters that a host has, newest first."""

    pythons: tuple[Python, ...] = ()
    machines: dict[str, str] = Field(default_factory=dict)
    """Architecture that a Python is for, by path, as sysconfig says; on Windows alone."""
    problems: tuple[str, ...] = ()


def parse_pythons(section: Section) -> Interpreters:
    """Read the answer of the section ``pythons``: CPython 3.8 or newer, 64 bit, each once."""
    answers = [LINE.fullmatch(line) for line in section.get("python", [])]
    usable = [answer for answer in answers if answer and _usable(answer)]
    pythons = {answer["path"]: _python(answer) for answer in usable}
    problems = [*skipped(section), *map(_problem, section.get("broken", []))]
    if unfinished(section):
        problems.append("looking for Python took too long: there may be more interpreters")
    machines = [found for line in section.get("machine", []) if (found := MACHINE.fullmatch(line))]
    return Interpreters(
        pythons=tuple(sorted(pythons.values(), key=_age, reverse=True)),
        machines={found["path"]: ARCHITECTURES[found["machine"]] for found in machines},
        problems=tuple(problems),
    )


def of_one_machine(found: Interpreters, arch: str) -> tuple[str, Interpreters]:
    """Return the architecture that wheels have to be of, and the interpreters that load them.

    It is that of the host, ``arch``, unless all interpreters are for another one, which ARM64
    Windows runs by emulation.
    """
    own = {python.path: found.machines.get(python.path, arch) for python in found.pythons}
    served = arch if arch in own.values() else next(iter(own.values()), arch)
    left = [path for path, machine in own.items() if machine != served]
    problems = (
        f"{path} is for {own[path]}, and is not used beside one for {arch}" for path in left
    )
    pythons = tuple(python for python in found.pythons if own[python.path] == served)
    changes = {"pythons": pythons, "problems": (*found.problems, *problems)}
    return served, found.model_copy(update=changes)


def _usable(answer: re.Match[str]) -> bool:
    version = int(answer["major"]), int(answer["minor"])
    return version >= OLDEST and answer["implementation"] == "cpython" and answer["bits"] == "64"


def _python(answer: re.Match[str]) -> Python:
    return Python(
        path=answer["path"],
        version=answer["version"].rstrip("+"),
        free_threaded="t" in answer["abiflags"],
        venv=answer["venv"] == "1",
        reach=REACH[answer["reach"] or "everyone"],
    )


def _age(python: Python) -> tuple[list[int], bool, str]:
    numbers = [int(number) for number in re.findall(r"[0-9]+", python.version)[:3]]
    return numbers, not python.free_threaded, python.path


def _problem(broken: str) -> str:
    code, _, path = broken.partition(" ")
    if code in TIMED_OUT:
        return f"{path} does not answer within 5 s"
    return f"{path} does not run (exit code {code})"
