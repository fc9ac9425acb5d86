"""A team's project with uv.lock, and pylock.toml: real ones that uv made."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.loading import read_team
from fleetwheel.team.pins import Team, TeamFile
from tests.serve_index import serve_index
from tests.small_wheels import make_wheel

PROJECT = """
[project]
name = "NLP_Project"
version = "1"
requires-python = ">=3.11"
dependencies = ["rich>=14", "helper"]
[project.optional-dependencies]
cpu = ["torch==2.12.1"]
gpu = ["torch==2.13.0", "torchvision"]
everything = ["nlp-project[gpu]", "tqdm"]
[dependency-groups]
dev = ["pytest"]
eval = ["attrs", {include-group = "base"}]
base = ["click==8.0"]
[tool.uv]
conflicts = [[{extra = "cpu"}, {extra = "gpu"}], [{extra = "cpu"}, {extra = "everything"}]]
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    wheels = tmp_path_factory.mktemp("wheels")
    made = [
        make_wheel(wheels, "torch", release, requires=("sympy", "nvidia-nccl-cu13", "jinja2"))
        for release in ("2.12.1", "2.13.0")
    ]
    made.append(make_wheel(wheels, "torchvision", "0.28.0", requires=("torch==2.13.0", "numpy")))
    made.append(make_wheel(wheels, "helper", "1.0", requires=("jinja2<4",)))
    for name in ("sympy", "nvidia-nccl-cu13", "jinja2", "numpy", "rich", "tqdm", "pytest", "attrs"):
        version = "15.0" if name == "rich" else "3.0"
        made.append(make_wheel(wheels, name.replace("-", "_"), version))
    made.append(make_wheel(wheels, "click", "8.0"))
    made.append(make_wheel(wheels, "click", "9.0"))
    with serve_index({"all": made}) as served:
        yield f"{served.url}/all"


def uv_makes(directory: Path, index: str, *command: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    given = [
        uv.find_uv_bin(),
        *command,
        "--python",
        sys.executable,
        "--no-config",
        "--no-cache",
        "--default-index",
        index,
    ]
    subprocess.run([*given, "-q"], cwd=directory, env=environment, check=True)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, index: str) -> Path:
    """A project with the lock that uv made of it."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "pyproject.toml").write_text(PROJECT)
    uv_makes(directory, index, "lock")
    return directory


@pytest.fixture
def project(tmp_path: Path, locked: Path) -> Path:
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).write_bytes((locked / name).read_bytes())
    return tmp_path


def read(directory: Path, key: str = "project", name: str = "", **more: tuple[str, ...]) -> Team:
    path = str(directory / name)
    return read_team(TeamFile.model_validate({"key": key, "path": path, **more}))


def wanted(team: Team) -> set[str]:
    return {pin.requirement for pin in team.pins if pin.wanted}


def bounding(team: Team) -> set[str]:
    return {pin.requirement for pin in team.pins if not pin.wanted}


def refusal(directory: Path, key: str = "project", name: str = "", **more: tuple[str, ...]) -> str:
    with pytest.raises(FleetwheelError) as caught:
        read(directory, key, name, **more)
    assert caught.value.hint
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_lock_without_extras_has_no_torch_and_says_where_it_is(project: Path) -> None:
    said = refusal(project)
    assert "torch is only in the extra cpu, the extra gpu (2.12.1, 2.13.0)" in said
    assert "extras:" in said


def test_extras_and_groups(project: Path) -> None:
    team = read(project, extras=("everything",), groups=("eval",))
    base = {"rich==15.0", "helper==1.0", "jinja2==3.0", "tqdm==3.0", "attrs==3.0", "click==8.0"}
    assert wanted(team) == base | {"torch==2.13.0", "torchvision==0.28.0"}
    assert bounding(team) == {"sympy==3.0", "numpy==3.0", "nvidia-nccl-cu13==3.0"}, (
        "what torch and torchvision alone bring is not asked for, but bound"
    )
    assert (team.requires_python, team.whole) == (">=3.11", True)
    assert team.hashes.keys() == {p.name for p in team.pins if not p.with_variant}
    assert "torch==2.12.1" in wanted(read(project, extras=("cpu",)))


def test_the_group_dev_is_taken_only_where_it_is_named(project: Path) -> None:
    assert "pytest==3.0" not in wanted(read(project, extras=("cpu",)))
    assert "pytest==3.0" in wanted(read(project, extras=("cpu",), groups=("dev",)))


def test_conflicting_extras(project: Path) -> None:
    said = refusal(project, extras=("cpu", "gpu"))
    assert "incompatible" in said or "conflict" in said


def test_an_extra_and_a_group_that_are_not_there(project: Path) -> None:
    said = refusal(project, extras=("train",))
    assert "has no train among its extras, which are: cpu, everything, gpu" in said
    assert "among its groups, which are: base, dev, eval" in refusal(project, groups=("test",))


STALE = [
    ('"rich>=14"', '"rich>=15"'),
    ('"helper"]', '"helper", "tqdm"]'),
    ('"rich>=14", ', ""),
    ('"nlp-project[gpu]", "tqdm"', '"nlp-project[gpu]"'),
    ('["attrs", {include-group = "base"}]', '["attrs"]'),
    ('base = ["click==8.0"]', 'base = ["click==9.0"]'),
    ('requires-python = ">=3.11"', 'requires-python = ">=3.12"'),
    ('cpu = ["torch==2.12.1"]', 'cpu = ["torch==2.12.1", "rich"]'),
    ('name = "NLP_Project"', 'name = "other"'),
]


@pytest.mark.parametrize(("old", "new"), STALE)
def test_an_edited_pyproject(project: Path, old: str, new: str) -> None:
    edit(project / "pyproject.toml", old, new)
    said = refusal(project, groups=("eval",))
    assert f"{project}/uv.lock does not fit pyproject.toml" in said
    assert f"run `uv lock` in {project}" in said


def test_an_edit_that_is_none(project: Path) -> None:
    edit(project / "pyproject.toml", '"rich>=14"', '"Rich >= 14"')
    edit(project / "pyproject.toml", 'version = "1"', 'version = "2"\ndescription = "more"')
    edit(project / "pyproject.toml", '">=3.11"', '">=3.11,!=3.10.*"')
    assert "rich==15.0" in wanted(read(project, extras=("cpu",)))


def test_files_that_cannot_be_read(project: Path) -> None:
    edit(project / "uv.lock", "version = 1\n", "version = 2\n")
    assert "uv.lock has schema v2; this uv reads v1" in refusal(project)
    (project / "uv.lock").write_text("[[")
    assert "uv.lock is no TOML: " in refusal(project)
    (project / "uv.lock").write_text("[" * 100_000)
    assert "uv.lock is no TOML: " in refusal(project)
    (project / "uv.lock").unlink()
    (project / "uv.lock").symlink_to("/etc/hostname")
    assert "uv.lock leads to /etc/hostname, outside of" in refusal(project)
    (project / "pyproject.toml").write_text("[tool.uv.workspace]\n")
    assert "has no table [project] with a name" in refusal(project)
    for wrong in ('dependencies = ["numpy =="]', "dependencies = 1", "dependencies = [1]"):
        (project / "pyproject.toml").write_text(f'[project]\nname = "x"\n{wrong}\n')
        assert "pyproject.toml: " in refusal(project)
    assert "pyproject.toml cannot be read" in refusal(project / "nowhere")


def test_nothing_above_the_copy_changes_what_a_lock_gives(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv looks for a workspace in the directories above, and anybody can write to /tmp."""
    expected = read(project, extras=("cpu",))
    above = project / "above"
    place = above / "fleetwheel/work"
    place.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(above))
    monkeypatch.setattr(tempfile, "tempdir", str(above))
    lock = (project / "uv.lock").read_text()
    for directory in (above, above / "fleetwheel", place):
        for pattern in ("team-*", "fleetwheel-team-*", "fleetwheel/work/team-*", "work/team-*"):
            members = f'[tool.uv.workspace]\nmembers = ["{pattern}"]\n'
            (directory / "pyproject.toml").write_text(members)
            (directory / "uv.lock").write_text(lock.replace('"15.0"', '"14.0"'))
            assert read(project, extras=("cpu",)) == expected, directory
        for name in ("pyproject.toml", "uv.lock", "uv.toml", ".python-version", ".env"):
            (directory / name).write_text("no = such [[[")
        assert read(project, extras=("cpu",)) == expected, directory


def test_a_workspace_reads_nothing_of_its_members(project: Path) -> None:
    expected = read(project, extras=("cpu",))
    secret = project / "secret"
    secret.mkdir()
    (secret / "pyproject.toml").write_text("password: 1234")
    tables = f'[tool.uv.workspace]\nmembers = ["{secret}", "../secret"]\n'
    edit(project / "pyproject.toml", "[project]", f"{tables}[project]")
    assert read(project, extras=("cpu",)) == expected


OWN = 'name = "nlp-project", source = {virtual = "."}'
WRONG_SHAPES = [
    "package = 3",
    'package = ["x"]',
    f"requires-python = 3\npackage = [{{{OWN}}}]",
    f"package = [{{{OWN}, metadata = 1}}]",
    f"package = [{{{OWN}, metadata = {{requires-dist = [1]}}}}]",
    'package = [{name = "nlp-project", source = 1}, {source = 2}]',
    "manifest = 1\npackage = []",
]


@pytest.mark.parametrize("text", WRONG_SHAPES)
def test_a_lock_of_another_shape(project: Path, text: str) -> None:
    (project / "uv.lock").write_text(f"version = 1\n{text}\n")
    assert re.search(r"cannot be read: |does not fit", refusal(project))


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (
            'a = [{include-group = "b"}]\nb = [{include-group = "a"}]',
            "includes itself: a -> b -> a",
        ),
        ('a = [{include-group = "b"}]', "the group b is not among the groups: a -> b"),
        ('a = [{path = "b"}]', "cannot be read"),
        ("a = [1]", "cannot be read"),
    ],
)
def test_groups_that_cannot_be_read(project: Path, groups: str, why: str) -> None:
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "x"\n[dependency-groups]\n{groups}\n'
    )
    assert why in refusal(project)


def test_without_a_lock_what_pyproject_asks_for(project: Path) -> None:
    (project / "uv.lock").unlink()
    team = read(project, extras=("everything",), groups=("eval",))
    asked = {"rich>=14", "helper", "torch==2.13.0", "torchvision", "tqdm", "attrs", "click==8.0"}
    assert wanted(team) == asked
    assert (team.requires_python, team.whole, bounding(team)) == (">=3.11", False, set())
    edit(project / "pyproject.toml", 'version = "1"', 'dynamic = ["version", "dependencies"]')
    edit(project / "pyproject.toml", 'dependencies = ["rich>=14", "helper"]\n', "")
    assert "its dependencies are dynamic, and only building it tells them" in refusal(project)


def test_a_path_beside_the_project(tmp_path: Path, index: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/pyproject.toml").write_text(
        '[project]\nname = "lib"\nversion = "1"\ndependencies = ["tqdm"]\n'
    )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["lib"]\n[tool.uv.sources]\nlib = {path = "lib"}\n'
    )
    uv_makes(tmp_path, index, "lock")
    said = refusal(tmp_path)
    assert "uv.lock: ./lib comes from a path: hosts install wheels only" in said
    assert "it takes the place of what the project has" in said
    team = read(tmp_path, given=("lib", "rich"))
    (pin,) = (pin for pin in team.pins if pin.name == "lib")
    assert (pin.requirement, pin.direct) == ("lib", True)
    assert "tqdm==3.0" in wanted(team), "what it needs stays as it is locked"
    (tmp_path / "uv.lock").unlink()
    assert "pyproject.toml: lib comes from a path: hosts install wheels only" in refusal(tmp_path)
    assert wanted(read(tmp_path, given=("lib",))) == {"lib"}


def test_a_project_of_one_minor_version(tmp_path: Path, index: str) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11,<3.12"\n'
        'dependencies = ["rich"]\n'
    )
    uv_makes(tmp_path, index, "lock")
    assert read(tmp_path).requires_python == "==3.11.*"


def test_overrides_of_the_lock(tmp_path: Path, index: str) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["helper"]\n[tool.uv]\noverride-dependencies = ["Jinja2==3.0"]\n'
    )
    uv_makes(tmp_path, index, "lock")
    assert read(tmp_path).overrides == ("jinja2",)


def test_pylock_says_the_same_as_the_lock_that_it_came_from(project: Path, index: str) -> None:
    command = ["export", "--frozen", "--format", "pylock.toml", "--output-file", "pylock.toml"]
    command += ["--no-emit-project", "--no-default-groups", "--extra", "gpu"]
    uv_makes(project, index, *command)
    team = read(project, "lock", "pylock.toml")
    whole = read(project, extras=("gpu",))
    assert wanted(team) == wanted(whole) | bounding(whole)
    assert team.hashes == whole.hashes
    assert (team.requires_python, team.whole) == (whole.requires_python, True)


HEAD = 'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = ">=3.11"\n'


def pylock(directory: Path, text: str, **more: tuple[str, ...]) -> Team:
    (directory / "pylock.toml").write_text(HEAD + text)
    return read(directory, "lock", "pylock.toml", **more)


def package(name: str, more: str) -> str:
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}\n'


def wheel(name: str, hashes: str = f'sha256 = "{"a" * 64}"') -> str:
    return (
        f'wheels = [{{url = "https://example.org/{name}-1.0-py3-none-any.whl",'
        f" hashes = {{{hashes}}}}}]"
    )


def test_groups_of_a_pylock(tmp_path: Path) -> None:
    text = 'extras = ["x"]\ndependency-groups = ["a", "b"]\ndefault-groups = ["a"]\n'
    text += package("one", "marker = \"'b' in dependency_groups\"\n" + wheel("one"))
    assert pylock(tmp_path, text).groups == ("a",)
    assert pylock(tmp_path, text, groups=("b",)).groups == ("b",)
    with pytest.raises(FleetwheelError, match="has no y among its extras, which are: x"):
        pylock(tmp_path, text, extras=("y",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (package("one", 'directory = {path = "."}'), "one comes from a directory: hosts install"),
        (
            package("one", 'vcs = {type = "git", url = "https://x", commit-id = "1"}'),
            "one comes from git: hosts install wheels only",
        ),
        (package("one", wheel("one", 'md5 = "0"')), "one has no hash of the kind sha256"),
        (package("one", wheel("two")), "is no lock of PEP 751"),
        ("packages = 1", "is no lock of PEP 751"),
        ('[[packages]]\nname = "One"', "is no lock of PEP 751"),
    ],
)
def test_pylocks_that_hosts_cannot_install(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FleetwheelError, match=said):
        pylock(tmp_path, text)


def test_a_source_distribution_beside_a_wheel_is_no_harm(tmp_path: Path) -> None:
    both = f'sdist = {{url = "https://x/one-1.0.tar.gz", hashes = {{sha256 = "{"b" * 64}"}}}}\n'
    team = pylock(tmp_path, package("one", both + wheel("one")))
    assert team.hashes == {"one": {"a" * 64, "b" * 64}}


def test_a_project_is_named_by_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(PROJECT)
    with pytest.raises(FleetwheelError, match="takes the directory") as caught:
        read_team(TeamFile(key="project", path=str(file)))
    assert caught.value.hint == f"project: {tmp_path}"
