"""The version of a driver as Windows writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.host.driver_version import from_windows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("32.0.15.6094", "560.94"),
        ("32.0.15.9186", "591.86"),
        ("27.21.14.5671", "456.71"),
        ("21.21.13.7570", "375.70"),
        ("560.94", None),
        ("580.95.05", None),
        ("32.0.15", None),
        # the form of Intel's drivers
        ("31.0.101.4502", None),
        ("", None),
    ],
)
def test_from_windows(text: str, expected: str | None) -> None:
    assert from_windows(text) == expected


@given(branch=st.integers(100, 999), minor=st.integers(0, 99))
def test_every_version_comes_back(branch: int, minor: int) -> None:
    digits = f"{branch}{minor:02}"
    assert from_windows(f"31.0.1{digits[0]}.{digits[1:]}") == f"{branch}.{minor:02}"


@given(st.text(max_size=30))
def test_any_text_is_taken(text: str) -> None:
    found = from_windows(text)
    assert found is None or text.endswith(found.replace(".", "")[1:])
