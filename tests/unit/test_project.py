"""What `fleetwheel init` writes."""

from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.project import create
from tests.project import CHECKOUT


def test_a_project_directory_has_what_a_person_edits(tmp_path: Path) -> None:
    written = create(tmp_path / "lab")
    assert {name.partition("/")[0] for name in written} == {
        *("config.py", "inventory.py", "deploys", "docs", "inventory")
    }
    for name in written:
        assert (tmp_path / "lab" / name).read_bytes() == (CHECKOUT / name).read_bytes()
    deploys = {path.name for path in (CHECKOUT / "deploys").glob("*.py")}
    assert {path.name for path in (tmp_path / "lab/deploys").iterdir()} == deploys


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "deploys").mkdir()
    (tmp_path / "deploys/torch.py").write_text("mine")
    with pytest.raises(FleetwheelError, match=r"already has deploys/torch\.py"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["deploys"]
    assert (tmp_path / "deploys/torch.py").read_text() == "mine"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetwheelError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "lab")
