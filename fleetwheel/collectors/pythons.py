"""The CPython interpreters of a host."""

import re

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


class Interpreters(Value):
    """The interpreters that a host has, newest first."""

    pythons: tuple[Python, ...] = ()
    problems: tuple[str, ...] = ()


def parse_pythons(section: Section) -> Interpreters:
    """Read the answer of the section ``pythons``: CPython 3.8 or newer, 64 bit, each once."""
    answers = [LINE.fullmatch(line) for line in section.get("python", [])]
    usable = [answer for answer in answers if answer and _usable(answer)]
    pythons = {answer["path"]: _python(answer) for answer in usable}
    problems = [*skipped(section), *map(_problem, section.get("broken", []))]
    if unfinished(section):
        problems.append("looking for Python took too long: there may be more interpreters")
    return Interpreters(
        pythons=tuple(sorted(pythons.values(), key=_age, reverse=True)), problems=tuple(problems)
    )


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
