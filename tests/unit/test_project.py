"""What `fleetwheel init` writes."""

from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.project import ORIGIN, create


def test_a_project_directory_has_all_that_a_deploy_needs(tmp_path: Path) -> None:
    written = create(tmp_path / "lab")
    assert {name.partition("/")[0] for name in written} == {
        *("config.py", "inventory.py", "deploys", "facts", "inventory", "operations", "templates"),
        "docs",
    }
    for name in written:
        assert (tmp_path / "lab" / name).read_bytes() == (ORIGIN / name).read_bytes()
    assert not list((tmp_path / "lab").rglob("__pycache__"))


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "deploys").mkdir()
    (tmp_path / "deploys/torch.py").write_text("mine")
    with pytest.raises(FleetwheelError, match=r"holds deploys/torch\.py already"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["deploys"]
    assert (tmp_path / "deploys/torch.py").read_text() == "mine"


def test_hosts_of_a_clone_are_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    create(clone)
    (clone / "inventory/lab.yaml").write_text("hosts: {secret: {}}")
    monkeypatch.setattr("fleetwheel.project.ORIGIN", clone)
    create(tmp_path / "new")
    assert not (tmp_path / "new/inventory/lab.yaml").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetwheelError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "lab")
