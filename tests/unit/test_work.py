"""The directories in which uv and pip run."""

import tempfile
from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.work import work_directory


def test_it_is_the_users_own_whatever_tmpdir_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with work_directory("lock") as place:
        assert place.is_relative_to(tmp_path / "cache/fleetwheel/work")
        assert [each.stat().st_mode & 0o77 for each in (place, place.parent)] == [0, 0]
    assert not place.exists()


def test_it_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(FleetwheelError, match="set XDG_CACHE_HOME"), work_directory("lock"):
        pass
