"""The plan: what a host lacks, and nothing more."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fleetwheel.deploy.plan import Plan
from fleetwheel.deploy.record import Hold, Record, State, parse_state
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Generation, HostState, Profile
from tests import samples
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, REQUEST, host, lock_with, record_of, state_of

PACKAGES = {"torch": "2.13.0+cpu", "numpy": "2.4.0"}


LOCK = lock_with(PACKAGES)
NAME = LOCK.generation(PYTHON)


def generation(build: int = 1, packages: dict[str, str] = PACKAGES) -> Generation:
    return Generation(id=f"{NAME}-{build}", python=PYTHON.path, packages=packages)


def record(of: str, profile: Profile = CPU_HOST) -> Record:
    return record_of(LOCK, of, profile)


def planned(there: HostState, of: Record | None, **options: Any) -> Plan:
    given = {"request": REQUEST, "smoke": "auto", **options}
    return samples.planned(LOCK, PYTHON, there, of, **given)


def steps(
    state: HostState, of: Record | None, always: bool = False
) -> tuple[str, bool, bool, bool]:
    made = planned(state, of, smoke="always" if always else "auto")
    return made.generation.removeprefix(NAME), made.build, made.smoke, made.activate


def test_an_empty_host_gets_everything() -> None:
    assert steps(host(), None) == ("-1", True, True, True)


def test_a_host_that_is_right_gets_nothing() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(),))
    made = planned(there, record(f"{NAME}-1"))
    assert made.nothing
    assert "smoke test has passed" in made.because


def test_smoke_always_tests_again() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(),))
    assert steps(there, record(f"{NAME}-1"), always=True) == ("-1", False, True, False)


@pytest.mark.parametrize(
    "packages",
    [
        {**PACKAGES, "numpy": "2.3.0"},
        {**PACKAGES, "extra": "1"},
        {"torch": "2.13.0+cpu"},
        {**PACKAGES, "torch": "2.13.0"},
    ],
)
def test_changed_packages_are_built_anew_beside_the_old_ones(packages: dict[str, str]) -> None:
    there = host(current=f"{NAME}-1", generations=(generation(packages=packages),))
    assert steps(there, record(f"{NAME}-1")) == ("-2", True, True, True)


def test_a_good_build_beside_a_damaged_current_is_used() -> None:
    damaged = generation(1, {})
    there = host(current=f"{NAME}-1", generations=(damaged, generation(2)))
    assert steps(there, record(f"{NAME}-1")) == ("-2", False, True, True)


def test_of_several_good_builds_the_newest_is_used() -> None:
    there = host(current="other-1", generations=tuple(map(generation, (2, 10, 9))))
    assert steps(there, record(f"{NAME}-2")) == ("-10", False, True, True)


def test_a_good_build_in_use_stays_beside_a_newer_one() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(1), generation(2)))
    assert steps(there, record(f"{NAME}-1")) == ("-1", False, False, False)


def test_a_generation_without_interpreter_is_not_good() -> None:
    broken = generation().model_copy(update={"python": ""})
    assert steps(host(current=broken.id, generations=(broken,)), None)[1]


def test_a_damaged_build_is_made_again_and_a_sound_one_beside_it_used() -> None:
    alone = host(current=f"{NAME}-1", generations=(generation(),))
    of, damaged = record(f"{NAME}-1"), {f"{NAME}-1": ["torch", "numpy"]}
    made = planned(alone, of, damaged=damaged)
    assert (made.generation, made.build) == (f"{NAME}-2", True)
    assert made.because == f"files of torch, numpy in {NAME}-1 are changed"
    other = generation(2, {**PACKAGES, "stray": "1"})
    both = host(current=f"{NAME}-2", generations=(generation(), other))
    made = planned(both, of, damaged=damaged)
    assert made.because.startswith("the environment's packages differ from the lock; files of")
    both = host(current=f"{NAME}-1", generations=(generation(), generation(2)))
    made = planned(both, of, damaged=damaged)
    assert (made.generation, made.build, made.activate) == (f"{NAME}-2", False, True)


def test_a_pass_holds_for_one_boot_driver_and_set_of_gpus() -> None:
    good = Generation(id=f"{NAME}-1", python=PYTHON.path, packages=PACKAGES)
    of = record(good.id, GPU_HOST)
    rebooted = GPU_HOST.model_copy(update={"boot_id": "boot-2"})
    driver = Driver(state=DriverState.OK, version="590.48.01")
    updated = GPU_HOST.model_copy(update={"driver": driver})
    fewer = GPU_HOST.model_copy(update={"gpus": ()})
    for profile, again in [(GPU_HOST, False), (rebooted, True), (updated, True), (fewer, True)]:
        there = host(profile, current=good.id, generations=(good,))
        assert steps(there, of) == ("-1", False, again, False)


def test_current_that_points_elsewhere_is_put_right() -> None:
    there = host(current="other-1", generations=(generation(), Generation(id="other-1")))
    assert steps(there, record(f"{NAME}-1")) == ("-1", False, False, True)


def test_a_lost_record_is_written_again() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(),))
    assert steps(there, None) == ("-1", False, True, True)


def test_a_new_build_can_be_asked_for() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(),))
    made = planned(there, record(f"{NAME}-1"), rebuild=True)
    assert (made.generation, made.build) == (f"{NAME}-2", True)
    assert made.because == "a new build was asked for"


def test_a_lifted_hold_is_written_even_when_nothing_else_changes() -> None:
    hold = Hold(since=datetime.now(UTC), rolled_back_from="other-1")
    held = record(f"{NAME}-1").model_copy(update={"hold": hold})
    there = host(current=f"{NAME}-1", generations=(generation(),))
    assert steps(there, held) == ("-1", False, False, True)
    assert "hold has ended" in planned(there, held).because


def test_a_record_survives_the_way_to_the_host_and_back() -> None:
    found = state_of(record(f"{NAME}-1", GPU_HOST), vision=record("other-1", GPU_HOST))
    assert parse_state(found.text()) == found
    assert '"schema": "fleetwheel.state/2"' in found.text()


def test_no_text_is_no_record() -> None:
    assert parse_state("") == State()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "fleetwheel.state/1"}', "null", "\x00"])
def test_a_damaged_record_is_told_because_it_may_hold_the_host(text: str) -> None:
    with pytest.raises(FleetwheelError, match="on hold"):
        parse_state(text)


@pytest.mark.parametrize("lock", ["../../etc/passwd", "/etc/x", "pylock.a.toml/..", "x.toml", ""])
def test_a_hostile_record_names_no_other_file(lock: str) -> None:
    text = state_of(record(f"{NAME}-1")).text()
    with pytest.raises(FleetwheelError):
        parse_state(text.replace(LOCK.name, lock))


def test_without_a_pass_an_environment_in_use_is_tested() -> None:
    untested = record(f"{NAME}-1").model_copy(update={"smoke": None})
    there = host(current=f"{NAME}-1", generations=(generation(),))
    assert steps(there, untested) == ("-1", False, True, False)


def test_another_number_of_generations_is_written_down() -> None:
    there = host(current=f"{NAME}-1", generations=(generation(),))
    made = planned(there, record(f"{NAME}-1"), keep=1)
    assert (made.build, made.smoke, made.activate) == (False, False, True)
    assert "from now on 1 of its generations" in made.because
