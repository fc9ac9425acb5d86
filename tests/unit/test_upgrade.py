"""What `fleetwheel init --upgrade` replaces, and what it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetwheel.cli import commands
from fleetwheel.errors import FleetwheelError
from fleetwheel.project import MANIFEST, create
from fleetwheel.upgrade import upgrade


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory of this version, and a newer version in which three files differ."""
    create(tmp_path / "newer")
    newer = tmp_path / "newer/deploys"
    (newer / "torch.py").write_text("# newer\n")
    (newer / "smoke.py").unlink()
    (newer / "another.py").write_text("# another\n")
    create(tmp_path / "lab")
    monkeypatch.setattr("fleetwheel.project.ORIGIN", tmp_path / "newer")
    return tmp_path / "lab"


def tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): path.read_text()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_what_nobody_edited_becomes_the_newer_version(lab: Path) -> None:
    own = {"inventory/lab.yaml": "hosts:\n", "locks/a.toml": "", "deploys/mine.py": "# mine\n"}
    for name, text in own.items():
        (lab / name).parent.mkdir(exist_ok=True)
        (lab / name).write_text(text)
    done = upgrade(lab)
    assert done.written == ["deploys/another.py", "deploys/torch.py"]
    assert done.removed == ["deploys/smoke.py"]
    assert done.edited == {}
    newer = tree(lab.parent / "newer")
    del newer[MANIFEST]
    after = tree(lab)
    del after[MANIFEST]
    assert after == newer | own
    again = upgrade(lab)
    assert (again.written, again.removed, again.edited) == ([], [], {})


def test_what_a_person_edited_stays_and_is_shown(lab: Path) -> None:
    for name in ("torch.py", "smoke.py"):
        (lab / "deploys" / name).write_text("# mine\n")
    for _ in range(2):
        done = upgrade(lab)
        assert list(done.edited) == ["deploys/torch.py"]
        assert "-# mine\n+# newer" in done.edited["deploys/torch.py"]
        assert (lab / "deploys/torch.py").read_text() == "# mine\n"
        assert (lab / "deploys/smoke.py").read_text() == "# mine\n"
    (lab / "deploys/torch.py").unlink()
    assert upgrade(lab).written == ["deploys/torch.py"]


def test_an_edit_that_came_with_the_newer_version_too_is_none(lab: Path) -> None:
    (lab / "deploys/torch.py").write_text("# newer\n")
    assert upgrade(lab).edited == {}


def test_without_a_manifest_what_differs_is_edited(lab: Path) -> None:
    (lab / MANIFEST).unlink()
    done = upgrade(lab)
    assert list(done.edited) == ["deploys/torch.py"]
    assert (lab / "deploys/smoke.py").exists()


@pytest.mark.parametrize("name", ["../victim", "deploys/../../victim", "/victim", "locks/victim"])
def test_a_manifest_names_nothing_outside(lab: Path, name: str) -> None:
    outside = [lab.parent / "victim", lab / "locks/victim"]
    outside[1].parent.mkdir()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for path in outside:
        path.touch()
    (lab / MANIFEST).write_text(json.dumps({"files": {name: empty}}))
    assert upgrade(lab).removed == []
    assert all(path.exists() for path in outside)


def ruin(lab: Path) -> None:
    (lab / MANIFEST).write_text("[")


def block(lab: Path) -> None:
    (lab / "deploys/another.py").mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (ruin, "cannot be read"),
        (block, "another.py cannot be used: Is a directory"),
        (lambda lab: (lab / "deploys").rename(lab / "gone"), "is no project directory"),
    ],
)
def test_what_cannot_be_upgraded_says_why(
    lab: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(lab)
    with pytest.raises(FleetwheelError, match=words):
        upgrade(lab)


def test_a_clone_is_not_upgraded(lab: Path) -> None:
    with pytest.raises(FleetwheelError, match="is a clone") as refused:
        upgrade(lab.parent / "newer")
    assert "git pull" in refused.value.hint


def test_the_command_tells_what_it_did(lab: Path) -> None:
    (lab / "deploys/torch.py").write_text("# mine\n")
    done = CliRunner().invoke(commands, ["init", "--upgrade", str(lab)])
    assert done.exit_code == 3
    assert "written: deploys/another.py" in done.output
    assert "removed: deploys/smoke.py" in done.output
    assert "left as it is, edited: deploys/torch.py\n--- deploys/torch.py (yours)" in done.output
    (lab / "deploys/torch.py").unlink()
    assert CliRunner().invoke(commands, ["init", "--upgrade", str(lab)]).exit_code == 0
