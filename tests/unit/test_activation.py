"""Activation on the host, interrupted at each of its steps."""

from pathlib import Path

import pytest

from fleetwheel.node import activate as activating
from fleetwheel.node.link import remove_link
from tests.deploying import add_generation, left

OLD, NEW = "old-1", "new-1"
RECORD = {id: f'{{"generation": "{id}"}}' for id in (OLD, NEW)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with one generation in use, and a new one."""
    for id in (OLD, NEW):
        add_generation(tmp_path, id)
    activating.activate(str(tmp_path), OLD, RECORD[OLD], 3, [])
    assert left(tmp_path) == (OLD, RECORD[OLD])
    return tmp_path


def activate(root: Path) -> None:
    activating.activate(str(root), NEW, RECORD[NEW], 3, [])


def test_current_and_record_go_together(root: Path) -> None:
    activate(root)
    assert left(root) == (NEW, RECORD[NEW])


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("exclusive", OLD),
        ("prepare", OLD),
        ("point", OLD),
        ("clean", NEW),
        ("trim", NEW),
    ],
)
def test_no_step_leaves_a_record_of_another_generation(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: str
) -> None:
    def broken(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(activating, step, broken)
    with pytest.raises(OSError, match="no space left"):
        activate(root)
    assert left(root) == (after, RECORD[after])


def test_the_record_never_runs_ahead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def point(link: Path, target: Path) -> None:
        seen.append(left(root))
        remove_link(link)
        link.symlink_to(target)

    monkeypatch.setattr(activating, "point", point)
    activate(root)
    assert seen == [(OLD, RECORD[OLD])]
