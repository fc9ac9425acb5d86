"""Versions are normal as packaging has it, which hosts do not have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from fleetwheel.node.versions import normal

PARTS = st.tuples(
    st.sampled_from(["", "v", " ", "1!", "0!"]),
    st.lists(st.integers(0, 3000).map(str) | st.just("007"), min_size=1, max_size=4).map(".".join),
    st.sampled_from(["", "a", "-Beta.2", "_c3", "preview", ".rc04", "alpha-1"]),
    st.sampled_from(["", "-3", ".post", "-r02", "rev5", "_post-1"]),
    st.sampled_from(["", ".dev", "-DEV3", "dev09"]),
    st.sampled_from(["", "+cpu", "+CU130", "+ubuntu-1.007", "+g_1"]),
)


def by_packaging(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        return text


@given(PARTS.map("".join))
def test_versions_are_those_of_packaging(text: str) -> None:
    assert normal(text) == by_packaging(text)


@given(st.text(max_size=20))
def test_what_is_no_version_stays(text: str) -> None:
    if text.isascii():
        assert normal(text) == by_packaging(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("2021.05.30", "2021.5.30"), ("2.13.0+CPU", "2.13.0+cpu"), ("1.0-1", "1.0.post1")],
)
def test_versions_that_wheels_have(text: str, found: str) -> None:
    assert normal(text) == found
