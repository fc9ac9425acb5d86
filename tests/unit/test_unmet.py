"""What a lock does not meet of a request: deploy and drift decide by the same comparison."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.choice.request import Request
from fleetwheel.deploy.decider import python_for
from fleetwheel.deploy.record import Hold
from fleetwheel.host.profile import Generation
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import load_matrix
from tests.samples import (
    CPU_HOST,
    PYTHON,
    choice,
    differences,
    host,
    lock_with,
    planned,
    record_of,
    target_of,
)

PACKAGES = {"torch": "2.13.0+cpu", "numpy": "2.4.0", "filelock": "4.0"}
LOCK = lock_with(PACKAGES)
MATRIX = load_matrix()


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (Request(), []),
        (Request(accelerator="cpu"), []),
        (Request(torch="2.13.0"), []),
        (Request(torch="2.13"), []),
        (Request(torch="==2.13.0+cpu"), []),
        (Request(torch=">=2.10,<2.14"), []),
        (Request(python="3.11"), []),
        (Request(packages=("NumPy>=2",)), []),
        (Request(packages=("numpy", "filelock")), []),  # it is there, as somebody's dependency
        (Request(packages=('pywin32; sys_platform == "win32"', "numpy")), []),
        (Request(torch="2.12"), ["torch"]),
        (Request(packages=("numpy<2",)), ["packages"]),
        (Request(packages=("numpy", "scipy")), ["packages"]),
        (Request(packages=("numpy[extra]",)), ["packages"]),
        (Request(packages=("numpy", "torchvision")), ["packages"]),
        (Request(packages=()), ["packages"]),
    ],
)
def test_what_a_request_finds_unmet(request_: Request, keys: list[str]) -> None:
    assert [one.key for one in unmet(LOCK, target_of(CPU_HOST, request_))] == keys


def test_another_interpreter_is_asked_for() -> None:
    other = PYTHON.model_copy(update={"path": "/usr/bin/python3.12", "version": "3.12.1"})
    both = CPU_HOST.model_copy(update={"pythons": (PYTHON, other)})
    assert not unmet(LOCK, target_of(both))
    found = unmet(LOCK, target_of(both, Request(python="3.12")))
    assert [(one.key, one.asked, one.found) for one in found] == [("python", "3.12", "3.11")]


def test_a_partner_that_another_package_brought_is_not_one_too_many() -> None:
    """vllm brings torchvision, which then comes from torch's own source."""
    whole = {**PACKAGES, "torchvision": "0.28.0+cpu"}
    chosen = choice().model_copy(
        update={"packages": {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}}
    )
    text = lock_with(whole).text.partition("[tool.fleetwheel")[0]
    lock = locking.lock_of(text, chosen, target_of(CPU_HOST), Request())
    assert not unmet(lock, target_of(CPU_HOST))
    asked = locking.lock_of(
        text, chosen, target_of(CPU_HOST, Request(packages=("torchvision", "numpy"))), Request()
    )
    found = unmet(asked, target_of(CPU_HOST))
    assert [one.found for one in found] == ["torchvision, which is not asked for"]


requests = st.builds(
    Request,
    torch=st.sampled_from([None, "2.13.0", "==2.13.*", ">=2.10", "2.12"]),
    accelerator=st.sampled_from(["auto", "cpu"]),
    python=st.sampled_from([None, "3.11"]),
    packages=st.sampled_from(
        [("numpy",), ("NumPy >= 2",), ("numpy", "filelock"), ("numpy<2",), (), ("numpy", "scipy")]
    ),
    gpus=st.sampled_from([None, (0,)]),
)


@given(requests, requests)
def test_after_a_deploy_that_went_well_drift_is_clean(before: Request, now: Request) -> None:
    """Where the lock is kept, the record that the plan has written leaves no drift."""
    target = target_of(CPU_HOST, now)
    name = f"{LOCK.generation(PYTHON)}-1"
    built = Generation(id=name, python=PYTHON.path, lock=LOCK.sha256, packages=LOCK.packages)
    there = host(current=name, generations=(built,))
    record = record_of(LOCK, name).model_copy(update={"request": before})
    asked = Settings(**now.model_dump(exclude={"team"}))
    if unmet(LOCK, target):
        assert differences(record, LOCK, there, asked, MATRIX)
        return
    steps = planned(LOCK, PYTHON, there, record, request=now, smoke="auto")
    after = record.model_copy(update={"request": now}) if steps.activate else record
    assert differences(after, LOCK, there, asked, MATRIX) == ()
    again = planned(LOCK, PYTHON, there, after, request=now, smoke="auto")
    assert again.nothing, "a second run changes nothing"


# What the first version left is read for ever

OLD = Path(__file__).parents[1] / "fixtures" / "state-1"


def test_a_host_that_the_first_version_deployed_stays_as_it_is(tmp_path: Path) -> None:
    from fleetwheel.deploy import record as records
    from fleetwheel.deploy.decider import Decider

    record = records.parse_state((OLD / "state.json").read_text()).environments["default"]
    profile = CPU_HOST.model_copy(
        update={
            "boot_id": record.smoke.boot_id if record.smoke else None,
            "pythons": (
                record.choice.python,
                PYTHON.model_copy(update={"version": "3.11.9"}),
                PYTHON.model_copy(update={"path": "/usr/bin/python3.13", "version": "3.13.1"}),
            ),
        }
    )
    lock = Decider(OLD, MATRIX, print).decide(profile, Request(), record, lambda: None)
    assert isinstance(lock, Lock)
    assert lock.name == record.lock
    assert lock.origin.target is None, "it says too little to be another host's"
    python = python_for(lock, profile, record)
    assert python == record.choice.python
    built = Generation(
        id=record.generation, python=python.path, lock=lock.sha256, packages=lock.packages
    )
    there = host(profile, current=record.generation, generations=(built,))
    assert planned(lock, python, there, record, request=Request(), smoke="auto").nothing
    assert differences(record, lock, there, Settings(), MATRIX) == ()


def test_an_old_lock_is_no_other_hosts(tmp_path: Path) -> None:
    from fleetwheel.lock import lock as locks

    assert locks.find(OLD, target_of(CPU_HOST)) is None


def test_a_record_of_a_newer_schema_is_refused_by_its_name() -> None:
    from fleetwheel.deploy import record as records
    from fleetwheel.errors import FleetwheelError

    text = (OLD / "state.json").read_text()
    with pytest.raises(FleetwheelError, match=r"fleetwheel\.state/3") as caught:
        records.parse_state(text.replace("fleetwheel.state/1", "fleetwheel.state/3"))
    assert "newer fleetwheel" in caught.value.hint
    assert "remove" not in str(caught.value)


def test_what_a_later_version_added_to_a_record_is_passed_over() -> None:
    from fleetwheel.deploy import record as records

    text = (OLD / "state.json").read_text()
    more = text.replace('"previous"', '"environments": {"vision": 1}, "previous"', 1)
    assert records.parse_state(more) == records.parse_state(text)


def test_a_marker_that_applies_is_no_excuse() -> None:
    """Otherwise the package is never installed after the first deploy."""
    asked = Request(packages=("numpy", 'rich; python_version >= "3.8"'))
    assert [one.key for one in unmet(LOCK, target_of(CPU_HOST, asked))] == ["packages"]


def test_a_host_on_hold_is_asked_for_nothing() -> None:
    name = f"{LOCK.generation(PYTHON)}-1"
    built = Generation(id=name, python=PYTHON.path, lock=LOCK.sha256, packages=LOCK.packages)
    there = host(current=name, generations=(built,))
    hold = Hold(since=datetime(2026, 11, 1, tzinfo=UTC), rolled_back_from="2.14.1+cpu-1")
    held = record_of(LOCK, name).model_copy(update={"hold": hold})
    assert differences(held, LOCK, there, Settings(torch="2.14.1"), MATRIX) == ()
