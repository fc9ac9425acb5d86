"""Writing files in one step, also where somebody else may change the directory meanwhile."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fleetwheel import files


@pytest.mark.parametrize("kind", ["nothing", "file", "link", "fifo"])
def test_whatever_is_there_is_replaced(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "gauges.prom", tmp_path / "other"
    other.write_text("theirs")
    if kind == "file":
        path.write_text("before")
    elif kind == "link":
        path.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    files.replace(path, "ours")
    assert (path.read_text(), path.is_symlink()) == ("ours", False)
    assert path.stat().st_mode & 0o777 == 0o644
    assert other.read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_mode_is_that_of_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of the directory has put a link in the place of the new file, before its mode."""
    secret = tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0o600)
    make = tempfile.NamedTemporaryFile

    def made(*arguments: Any, **options: Any) -> Any:
        new = make(*arguments, **options)
        Path(new.name).unlink()
        Path(new.name).symlink_to(secret)
        return new

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", made)
    files.replace(tmp_path / "gauges.prom", "ours")
    assert secret.read_text() == ""
    assert secret.stat().st_mode & 0o777 == 0o600
