"""The constraints that pip is configured with: files in files, addresses, and what is no rule."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.constraints import configured_constraints
from fleetwheel.sources.configured import pip_settings

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_pip: None) -> Write:
    """Write a file of constraints that pip is configured with from then on."""

    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "rules.txt"))
    return file


def rules() -> list[str]:
    pip_settings.cache_clear()
    return [constraint.requirement for constraint in configured_constraints()]


def test_rules_are_read_as_pip_reads_them(write: Write) -> None:
    write("other.txt", "scipy==1.15\n")
    write(
        "rules.txt",
        "# ours\n\nTorch <= 2.14.1  # not yet\nnumpy<2 --hash=sha256:abc\n-c other.txt\n"
        'pywin32 \\\n  ==306; sys_platform == "win32"\n--index-url https://example.org/simple\n',
    )
    assert rules() == [
        "numpy<2",
        'pywin32==306; sys_platform == "win32"',
        "scipy==1.15",
        "torch<=2.14.1",
    ]


def test_a_rule_names_its_file(write: Write) -> None:
    path = write("rules.txt", "torch<2.14\n")
    pip_settings.cache_clear()
    assert [constraint.place for constraint in configured_constraints()] == [str(path)]


def test_several_files(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = write("a.txt", "numpy<2\n"), write("b.txt", "numpy<2\nscipy<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", " ".join(map(str, paths)))
    assert rules() == ["numpy<2", "scipy<2"]


def test_without_constraints_there_are_none(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_CONSTRAINT")
    assert rules() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torch => 2\n", "line 1: 'torch => 2' is no constraint"),
        ("numpy<2\n./local.whl\n", "line 2"),
        ("-c rules.txt\n", "without end"),
        ("-c missing.txt\n", "missing.txt"),
    ],
)
def test_what_cannot_be_read_says_where(write: Write, text: str, said: str) -> None:
    write("rules.txt", text)
    with pytest.raises(FleetwheelError) as caught:
        rules()
    assert said in str(caught.value)


def test_an_address_binds_a_name_to_a_wheel_and_to_nothing_else(write: Write) -> None:
    write("rules.txt", "numpy @ https://wheels.example/numpy-2.4.0-py3-none-any.whl\n")
    assert rules() == ["numpy @ https://wheels.example/numpy-2.4.0-py3-none-any.whl"]
    write("rules.txt", "\nnumpy @ git+https://git.example/numpy.git\n")
    with pytest.raises(FleetwheelError, match=r"rules\.txt, line 2: .*no file name of a wheel"):
        rules()
