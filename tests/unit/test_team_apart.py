"""A team's file is read once in a run, in a process with limits."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.processes import run_group
from fleetwheel.team import apart
from fleetwheel.team.apart import load_team
from fleetwheel.team.loading import read_team
from fleetwheel.team.pins import TeamFile


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    load_team.cache_clear()
    yield
    load_team.cache_clear()


def project(directory: Path, text: str) -> TeamFile:
    (directory / "pyproject.toml").write_text(f'[project]\nname = "nlp"\n{text}\n')
    return TeamFile(key="project", path=str(directory))


def refusal(file: TeamFile) -> str:
    with pytest.raises(FleetwheelError) as caught:
        load_team(file)
    assert caught.value.hint
    return str(caught.value)


def test_what_comes_back_is_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"numpy==2.3.5 ; os_name == 'posix' --hash=sha256:{'a' * 64}\ntorch==2.13.0\n")
    file = TeamFile(key="requirements", path=str(path), given=("x",))
    assert load_team(file) == read_team(file)
    assert load_team(file).pins == read_team(file).pins


def test_a_refusal_comes_back_with_its_hint(tmp_path: Path) -> None:
    file = project(tmp_path, 'dependencies = ["numpy =="]')
    with pytest.raises(FleetwheelError) as here:
        read_team(file)
    assert refusal(file) == str(here.value)


def doubled(form: str, count: int) -> str:
    return "".join(f"g{i} = [{form.format(i + 1)}, {form.format(i + 1)}]\n" for i in range(count))


EXTRAS = 'dependencies = ["nlp[g0]"]\n[project.optional-dependencies]\n{}g60 = ["numpy"]\n'
ALL_NAME_ALL = 'dependencies = ["nlp[{0}]"]\n[project.optional-dependencies]\n{1}'
NAMES = ",".join(f"g{i}" for i in range(40))
GROUPS = 'dependencies = ["numpy"]\n[dependency-groups]\n{}g60 = ["numpy"]\n'
QUICK = {
    "extras, twice each": EXTRAS.format(doubled('"nlp[g{}]"', 60)),
    "extras, all name all": ALL_NAME_ALL.format(
        NAMES, "".join(f'{name} = ["nlp[{NAMES}]", "numpy"]\n' for name in NAMES.split(","))
    ),
    "groups": GROUPS.format(doubled('{{include-group = "g{}"}}', 60)),
}


@pytest.mark.parametrize("text", QUICK.values(), ids=QUICK)
def test_what_names_one_another_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """These had taken 2^60 steps."""
    monkeypatch.setattr(apart, "READ_S", 20)
    assert {pin.requirement for pin in load_team(project(tmp_path, text)).pins} == {"numpy"}


def test_a_file_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tomllib takes time that grows with the square of a key's dots."""
    monkeypatch.setattr(apart, "READ_S", 1)
    file = project(tmp_path, f"{'.'.join('a' * 50_000)} = 1")
    assert f"{tmp_path} takes over 1 s to read" in refusal(file)


def test_a_file_that_takes_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MEMORY_KIB", 200 * 1024)
    file = project(tmp_path, f"a = [{'[],' * 2_500_000}]")
    assert re.search("cannot be read: (it is too large|MemoryError)", refusal(file))


def test_a_long_text_is_not_compared_with_each_host(tmp_path: Path) -> None:
    said = ",".join(f"!=3.0.{patch}" for patch in range(2000))
    file = project(tmp_path, f'requires-python = "{said}"')
    assert "has more than 10,000 characters" in refusal(file)


def test_a_failure_is_found_once_for_all_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project(tmp_path, "dependencies = 1")
    commands = []

    def counted(command: list[str], **options: object) -> int:
        commands.append(command)
        return run_group(command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(apart, "run_group", counted)
    settings = Settings.from_data({"environments": {"nlp": {"project": file.path}}})
    for _host in range(3):
        with pytest.raises(FleetwheelError, match="cannot be read"):
            _ = settings.by_environment()["nlp"].request
    assert len(commands) == 1
