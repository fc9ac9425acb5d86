"""The way back: which generation a rollback goes to, and what that changes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.cli.generations import generations_command
from fleetwheel.deploy.generations import before as earlier_than
from fleetwheel.deploy.generations import before_next, package_changes
from fleetwheel.deploy.record import Earlier, Hold, Record
from fleetwheel.host.profile import Generation
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from tests.samples import CPU_HOST, PYTHON, host, lock_with, record_of, state_of

AT = datetime(2026, 11, 30, tzinfo=UTC)
LOCK = lock_with({"torch": "2.13.0+cpu"})


KEEP = 4


def before(record: Record | None) -> tuple[str, ...]:
    return tuple(each.generation for each in earlier_than(record))


def deployed(record: Record | None, generation: str) -> Record:
    return _next(record, generation, None)


def rolled_back(record: Record, generation: str | None = None) -> Record:
    return _next(record, generation or before(record)[0], record.generation)


def _next(record: Record | None, generation: str, left: str | None) -> Record:
    earlier = before_next(record, generation, rolled_back=left is not None, keep=KEEP)
    return record_of(LOCK, generation, CPU_HOST).model_copy(
        update={
            "earlier": earlier,
            "hold": Hold(since=AT, rolled_back_from=left) if left else None,
        }
    )


def four() -> Record:
    record = None
    for generation in "abcd":
        record = deployed(record, generation)
    assert record
    return record


def test_a_second_rollback_goes_further_back() -> None:
    record = four()
    assert before(record) == ("c", "b", "a")
    record = rolled_back(record)
    assert (record.generation, before(record)) == ("c", ("b", "a"))
    record = rolled_back(record)
    assert (record.generation, before(record)) == ("b", ("a",))


def test_a_named_generation_is_a_place_on_the_way() -> None:
    assert before(rolled_back(four(), "a")) == ()
    assert before(rolled_back(four(), "other")) == ("c", "b", "a")


def test_a_deploy_after_a_hold_can_be_rolled_back_to_what_was_held() -> None:
    record = deployed(rolled_back(four()), "d")
    assert before(record) == ("c", "b", "a")
    assert before(deployed(record, "d")) == ("c", "b", "a")


def test_a_hold_of_an_earlier_fleetwheel_leads_back_too() -> None:
    """Its record named what the rollback had left as the one before."""
    hold = Hold(since=AT, rolled_back_from="d")
    record = record_of(LOCK, "c", CPU_HOST).model_copy(
        update={"earlier": (Earlier(generation="d"),), "hold": hold}
    )
    assert before(record) == ()


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60))
def test_no_way_back_leads_to_itself_or_to_what_was_left(steps: list[tuple[str, bool]]) -> None:
    record: Record | None = None
    for generation, back in steps:
        if back and record and before(record):
            left = record.generation
            record = rolled_back(record)
            assert left not in before(record)
        else:
            record = deployed(record, generation)
        assert record.generation not in before(record)
        assert len(set(before(record))) == len(before(record)) < KEEP


def test_the_changes_between_two_sets_begin_with_torch() -> None:
    old = {"torch": "2.14.1+cu130", "numpy": "2.4.0", "timm": "1.0"}
    new = {"torch": "2.13.0+cu126", "numpy": "2.4.0", "extra": "3"}
    assert package_changes(old, new) == (
        "torch 2.14.1+cu130 -> 2.13.0+cu126, extra none -> 3, timm 1.0 -> none"
    )
    assert package_changes(old, old) == ""
    many = {f"p{number}": "1" for number in range(9)}
    assert package_changes({}, many).endswith("p5 none -> 1, and 3 more")


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Recorded hosts: one with three environments of two generations, and one with nothing."""
    packages = {"b-2": {"torch": "2.13.0", "numpy": "2.4.0"}, "a-1": {"torch": "2.12.0"}}
    built = [Generation(id=id, python=PYTHON.path, packages=said) for id, said in packages.items()]
    record = record_of(LOCK, "b-2", CPU_HOST)
    older = Earlier(generation="a-1", deployed_at=AT - timedelta(days=2), request=record.request)
    record = record.model_copy(update={"deployed_at": AT, "earlier": (older,)})
    states = {"full": state_of(record, vision=record, course=record).text(), "new": ""}
    there = {
        name: host(CPU_HOST, generations=tuple(built), record=text) for name, text in states.items()
    }
    save_snapshots(
        tmp_path,
        [
            HostSnapshot(name=name, profile=found.profile, installation=found.installation)
            for name, found in there.items()
        ],
    )
    return tmp_path


def listing(*words: str | Path) -> str:
    done = CliRunner().invoke(generations_command, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


VISION = """\
full
  vision  b-2  in use  2026-11-30 00:00
            torch 2.12.0 -> 2.13.0, numpy none -> 2.4.0
            asked for: the newest
          a-1          2026-11-28 00:00
"""


def test_a_host_is_named_once_and_so_is_each_environment(fleet: Path) -> None:
    said = listing(fleet)
    assert said.count("full") == said.count("vision") == said.count("course") == 1
    assert said.count("asked for") == 3
    assert said.endswith("\n\nnew: nothing was deployed here\n")


def test_one_environment_can_be_asked_for(fleet: Path) -> None:
    words = [fleet, "--environment", "vision"]
    assert listing(*words) == f"{VISION}\nnew: nothing was deployed in vision here\n"
    full, new = json.loads(listing(*words, "--json"))["hosts"]
    assert {each["environment"] for each in full["generations"]} == {"vision"}
    assert new == {"name": "new", "generations": []}
