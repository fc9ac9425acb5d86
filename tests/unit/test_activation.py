"""Activation on the host, interrupted at each of its steps."""

from pathlib import Path

import pytest

from fleetwheel.node import activate as activating
from fleetwheel.node import link
from tests.deploying import add_generation, left
from tests.samples import lock_with, record_of, state_of

OLD, NEW = "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1"
LOCK = lock_with({"torch": "2.13.0+cpu"})
RECORD = {id: record_of(LOCK, id) for id in (OLD, NEW)}
STATE = {id: state_of(record) for id, record in RECORD.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with one generation in use, and a new one."""
    for id in (OLD, NEW):
        add_generation(tmp_path, id)
    activating.activate(str(tmp_path), OLD, "default", RECORD[OLD].to_json(), [])
    assert left(tmp_path) == (OLD, STATE[OLD])
    return tmp_path


def activate(root: Path) -> None:
    activating.activate(str(root), NEW, "default", RECORD[NEW].to_json(), [], RECORD[OLD].to_json())


def test_current_and_record_go_together(root: Path) -> None:
    activate(root)
    assert left(root) == (NEW, STATE[NEW])


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("exclusive", OLD),
        ("prepare", OLD),
        ("lead", OLD),
        ("name_default", NEW),
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
    assert left(root) == (after, STATE[after])


def test_the_record_never_runs_ahead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def lead(root: Path, environment: str, id: str) -> None:
        seen.append(left(root))
        link.lead(root, environment, id)

    monkeypatch.setattr(activating, "lead", lead)
    activate(root)
    assert seen == [(OLD, STATE[OLD])]
