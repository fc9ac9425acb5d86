"""What a lock downloads and takes on disk."""

from fleetwheel.delivery.space import amount, download_bytes, missing_wheels, needed_bytes, readable
from fleetwheel.host.profile import Generation
from tests.samples import host, lock_with

PACKAGES = {"torch": "2.13.0+cpu", "numpy": "2.4.0"}
LOCK = lock_with(PACKAGES)


def test_what_an_environment_on_the_host_has_is_not_fetched_again() -> None:
    there = Generation(id="other-1", packages={"numpy": "2.4.0", "torch": "2.12.0+cpu"})
    wheels = missing_wheels(LOCK, host(generations=(there,)).installation)
    assert list(wheels) == ["torch"]
    assert missing_wheels(LOCK, host().installation).keys() == PACKAGES.keys()


def test_a_wheel_of_unknown_size_counts_as_nothing() -> None:
    assert download_bytes({"a": "u1", "b": "u2"}, {"u1": 100, "u2": None}) == 100


def test_what_is_not_known_is_said() -> None:
    assert amount({"a": "u1"}, {"u1": 2_000_000}) == "2 MB"
    assert amount({"a": "u1", "b": "u2"}, {"u1": 2_000_000, "u2": None}) == "at least 2 MB"


def test_cpu_wheels_unpack_to_four_times_their_size() -> None:
    assert needed_bytes(LOCK, 200_000_000) == 800_000_000


def test_a_build_that_fetches_nothing_takes_space_too() -> None:
    assert needed_bytes(LOCK, 0) == needed_bytes(LOCK, 10) > 60_000_000  # uv alone


def test_sizes_are_written_for_people() -> None:
    assert readable(191794682) == "192 MB"
    assert readable(3291927821) == "3.3 GB"
