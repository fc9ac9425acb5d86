"""scripts/check_matrix.py: each row and each hash that a release still needs is named."""

from fleetwheel.matrix.matrix import load_matrix, parse_matrix
from fleetwheel.matrix.variant import Variant
from fleetwheel.sources.wheel import Source, Wheel, pypi_torch
from scripts.check_matrix import differences, held, unknown_hashes, without_hash
from tests.unit.test_matrix import FROZEN, SHIPPED

MATRIX = load_matrix()
PYPI = Source(name="pip", url="https://example.org/simple")
OFFICIAL = Source(name="official", url="https://example.org/whl", variant=Variant.parse("cu134"))


def wheel(
    version: str, tag: str = "cp312-cp312-manylinux_2_28_x86_64", source: Source = PYPI
) -> Wheel:
    name = f"torch-{version}-{tag}.whl"
    return Wheel(filename=name, url=f"{source.url}/{name}", sha256="0" * 64, source=source)


def missing(*wheels: Wheel) -> list[str]:
    return list(differences(held(wheels, MATRIX), MATRIX))


def test_a_release_that_the_matrix_lacks() -> None:
    assert missing(wheel("2.999.0+cu134")) == [
        "2.999.0+cu134 for linux x86_64: the release is not in the matrix"
    ]
    assert missing(wheel("2.999.0")) == [
        "2.999.0 for linux x86_64: the release is not in the matrix"
    ]
    assert missing(wheel("2.999.0rc1+cu134"), wheel("1.13.1+cu117"), wheel("2.999.0+mine")) == []


def test_a_row_of_a_release_that_the_matrix_lacks() -> None:
    assert missing(wheel("2.14.1+cu130")) == []
    assert missing(wheel("2.14.1+cu129")) == [
        "2.14.1+cu129 for linux x86_64: the variant is not in the matrix"
    ]
    assert missing(wheel("2.14.1+cu130", "cp315-cp315t-win_amd64")) == [
        "2.14.1+cu130 for windows x86_64: the matrix lacks Python 3.15t"
    ]
    assert missing(wheel("2.14.1", "cp312-cp312-win_arm64")) == [
        "2.14.1 for windows aarch64: the matrix does not say what PyPI's wheel is"
    ]


def test_a_build_that_an_official_index_holds_after_all() -> None:
    assert missing(wheel("2.15.0", source=OFFICIAL)) == [
        "2.15.0+cu134 for linux x86_64: is published after all"
    ]


def test_wheels_of_pypi_whose_hash_the_list_lacks() -> None:
    listed = wheel("2.14.1")
    assert listed.filename in pypi_torch()
    labelled, mac = wheel("2.999.0+cpu"), wheel("2.999.0", "cp312-none-macosx_14_0_arm64")
    new = wheel("2.999.0")
    assert list(unknown_hashes([listed, labelled, mac, new])) == [
        f"pypi-torch.txt lacks: {'0' * 64}  {new.filename}"
    ]


def test_interpreters_of_a_release_that_the_list_has_no_wheel_for() -> None:
    text = FROZEN.read_text(encoding="utf-8")
    row = "2.14.1: {torchvision: [0.29.1, 0.29.2], python: 3.10"
    assert row in text
    older = text.replace(row, row.replace("3.10", "3.9 3.10"))
    assert list(without_hash(parse_matrix(older))) == [
        f"pypi-torch.txt lacks torch 2.14.1 for {platform}, Python 3.9"
        for platform in ("linux x86_64", "windows x86_64", "linux aarch64")
    ]


def test_the_shipped_list_has_every_wheel_that_the_shipped_matrix_says_pypi_has() -> None:
    assert list(without_hash(parse_matrix(SHIPPED.read_text(encoding="utf-8")))) == []
