"""Wheels and pages that are made to cost the controller its memory, its time or its encryption."""

import io
import zipfile
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import listing, metadata, web

PLACE = "x-1.0.dist-info/METADATA"


def wheel(content: bytes, packed: int) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        archive.writestr(PLACE, content)
    return file


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_metadata_is_unpacked_only_in_ways_that_have_a_limit(packed: int) -> None:
    with pytest.raises(ValueError, match="no METADATA"):
        metadata._inside(wheel(b"Metadata-Version: 2.1", packed))


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_metadata_that_unpacks_to_too_much_is_refused(packed: int) -> None:
    with pytest.raises(ValueError, match="larger than that of any wheel"):
        metadata._inside(wheel(b" " * (metadata.LARGEST + 1), packed))
    assert metadata._inside(wheel(b"Metadata-Version: 2.1", packed)) == b"Metadata-Version: 2.1"


def test_a_name_that_stands_for_many_tags_is_no_wheel() -> None:
    letters = ".".join("abcdefghijklmnopqrstuvwxyz")
    assert listing._project(f"torch-2.9.1-{letters}-{letters}-{letters}.whl") is None
    real = "numpy-2.4.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    assert listing._project(real) == "numpy"


@pytest.mark.parametrize(
    "told",
    [None, datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=UTC)],
)
def test_a_moment_that_no_source_can_mean_is_none(told: datetime | None) -> None:
    assert listing._moment(told) is None
    assert listing._moment(datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize(
    ("way", "refused"),
    [
        (["https://a/x"], False),
        (["https://a/x", "https://b/x"], False),
        (["https://a/x", "http://a/x"], True),
        (["https://a/x", "http://a/x/", "https://evil/x"], True),
        (["http://a/x", "http://b/x"], False),
    ],
)
def test_no_step_of_a_redirect_leaves_encryption(way: list[str], refused: bool) -> None:
    steps = [SimpleNamespace(url=url) for url in way]
    response = SimpleNamespace(url=way[-1], history=steps[:-1])
    if refused:
        with pytest.raises(FleetwheelError, match="without encryption"):
            web._require_encryption(response, way[0])  # type: ignore[arg-type]
    else:
        web._require_encryption(response, way[0])  # type: ignore[arg-type]
