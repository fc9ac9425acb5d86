"""What resolves and does not fit: a row of the table for each, with its source."""

import pytest
from packaging.version import Version

from fleetwheel.matrix.misfits import load_misfits, misfit
from fleetwheel.matrix.variant import Variant


@pytest.mark.parametrize(
    ("package", "version", "torch", "variant", "fits"),
    [
        ("vllm", "0.21.0", "2.11.0", "cpu", False),
        ("vllm", "0.21.0+cpu", "2.11.0", "cpu", True),
        ("vllm", "0.21.0", "2.11.0", "cu130", True),
        ("xformers", "0.0.34", "2.10.0", "cpu", False),
        ("xformers", "0.0.34", "2.10.0", "cu126", True),
        ("torchcodec", "0.9.1", "2.9.1", "cpu", True),
        ("torchcodec", "0.9.1", "2.10.0", "cu130", False),
        ("torchcodec", "0.10.0+cu130", "2.10.0", "cu130", True),
        ("torchcodec", "0.17.0", "2.9.1", "cpu", False),
        ("torchcodec", "0.17.0", "2.13.0", "cpu", True),
        ("torchcodec", "0.0.3", "2.13.0", "cpu", True),
        ("jax-cuda12-plugin", "0.9.0", "2.13.0", "cu130", False),
        ("jax-cuda12-plugin", "0.9.0", "2.13.0", "cu126", True),
        ("jax-cuda12-plugin", "0.9.0", "2.13.0", "cpu", True),
        ("jax-cuda13-plugin", "0.9.0", "2.13.0", "cu126", False),
        ("numpy", "2.3.5", "2.13.0", "cpu", True),
    ],
)
def test_what_fits(package: str, version: str, torch: str, variant: str, fits: bool) -> None:
    found = misfit({package: Version(version)}, Version(torch), Variant.parse(variant))
    assert (found is None) is fits
    assert found is None or found[0] == f"{package} {version}"


def test_every_row_says_what_it_needs_and_where_that_stands() -> None:
    for row in load_misfits():
        assert bool(row.torch) != (row.cuda is not None), row
        assert row.source
