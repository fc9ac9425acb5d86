"""The redistributable of Visual C++: by hash alone, and by setting."""

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from fleetwheel.delivery.redistributable import redistributable
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import VisualCpp
from fleetwheel.sources import web

RIGHT = hashlib.sha256(b"MZ").hexdigest()
ADDRESS = "https://aka.ms/vc14/vc_redist.x64.exe"


def test_one_of_this_machine_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "vc_redist.x64.exe"
    path.write_bytes(b"MZ")
    assert redistributable(str(path), RIGHT) == path
    with pytest.raises(FleetwheelError, match="is another file than the inventory asks for"):
        redistributable(str(path), "0" * 64)
    with pytest.raises(FleetwheelError, match="does not get to this machine: No such file"):
        redistributable(str(tmp_path / "none.exe"), RIGHT)


def test_one_of_an_address_is_kept_only_if_it_is_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, asked = [b"MZ of another release"], []

    def download(url: str, login: object, path: Path) -> None:
        asked.append(url)
        path.write_bytes(content[0])

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(web, "download", download)
    with pytest.raises(FleetwheelError, match="is another file"):
        redistributable(ADDRESS, RIGHT)
    web.forget_pages()
    content[0] = b"MZ"
    found = redistributable(ADDRESS, RIGHT)
    web.forget_pages()
    assert redistributable(ADDRESS, RIGHT) == found
    assert (found.read_bytes(), asked) == (b"MZ", [ADDRESS, ADDRESS])


@pytest.mark.parametrize(
    "said",
    [
        {"url": ADDRESS},
        {"url": ADDRESS, "sha256": "0123"},
        {"url": r"C:\vc_redist.exe", "sha256": RIGHT},
        {"url": "https://u:p@lab.example/vc.exe", "sha256": RIGHT},
    ],
)
def test_what_names_no_redistributable(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        VisualCpp.model_validate(said)
