"""Drift: each difference has its class, and a host that is as it was left has none."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fleetwheel.deploy.record import Hold, Record
from fleetwheel.drift import (
    damaged,
    differences,
    exit_status,
    failed_test,
    odd_ones_out,
    on_hold,
    repairs,
    unrecorded,
)
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import (
    Driver,
    DriverState,
    Generation,
    Gpu,
    HostState,
    InstalledDriver,
    Profile,
)
from fleetwheel.inventory.settings import Expect, Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.node.compare import ACCEPT, DEPLOY, HELD, REBUILD, TEST, TEST_AGAIN
from fleetwheel.reporting.junit import junit
from fleetwheel.reporting.prometheus import metrics
from fleetwheel.reporting.report import Drift, HostReport, Report, report_of
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, RTX_4090, host, lock_with, record_of

MATRIX = load_matrix()
PACKAGES = {"torch": "2.13.0+cpu", "numpy": "2.4.0"}
LOCK = lock_with(PACKAGES)
ID = "2.13.0+cpu-cp311-0-1"
TWO = (
    RTX_4090.model_copy(update={"pci_bus_id": "00000000:01:00.0", "pcie_width": 16, "ecc": True}),
    RTX_4090.model_copy(update={"index": 1, "uuid": "GPU-2", "pci_bus_id": "00000000:02:00.0"}),
)
GPUS = GPU_HOST.model_copy(update={"gpus": TWO})
CPU_WHEELS = Settings(accelerator="cpu")
"""For hosts with GPUs here: what they run is no matter."""


def test_files_that_no_wheel_brought_are_drift() -> None:
    assert unrecorded([], deep=True) == []
    (found,) = unrecorded(["lib/x.pth", "bin/x"], deep=True)
    assert (found.class_, found.found, found.deep) == ("package", "lib/x.pth, bin/x", True)
    assert found.repair == REBUILD


@pytest.mark.parametrize(
    ("reach", "others", "found"),
    [
        ("everyone", "", ""),
        ("root", "", ""),
        ("private", "", "only root can run it: /usr/bin/python3.11 lies where other users cannot"),
        ("everyone", "Permission denied", "another user cannot start it: Permission denied"),
    ],
)
def test_an_environment_that_only_root_can_run_is_drift(
    reach: str, others: str, found: str
) -> None:
    profile = CPU_HOST.model_copy(update={"pythons": (PYTHON.model_copy(update={"reach": reach}),)})
    record = record_of(LOCK, ID)
    assert record.smoke
    tested = record.smoke.model_copy(update={"result": {"passed": True, "others": others}})
    record = record.model_copy(update={"smoke": tested})
    drifts = differences(record, LOCK, state(profile), Settings(), MATRIX)
    assert [(d.class_, d.what) for d in drifts] == [("runtime", "other users")] * bool(found)
    assert all(found in drift.found for drift in drifts)


def state(profile: Profile = CPU_HOST, current: str | None = ID, **changes: object) -> HostState:
    built = Generation(id=ID, python=PYTHON.path, lock=LOCK.sha256, packages=PACKAGES)
    return host(profile, current=current, generations=(built.model_copy(update=changes),))


def found(
    now: HostState,
    record: Record | None = None,
    settings: Settings | None = None,
    lock: Lock | None = LOCK,
) -> dict[str, tuple[str, str]]:
    """Return class and subject of each drift, to what was expected and what was found."""
    record = record or record_of(LOCK, ID)
    drifts = differences(record, lock, now, settings or Settings(), MATRIX)
    assert all(drift.repair for drift in drifts)
    return {f"{d.class_} {d.what}": (d.expected, d.found) for d in drifts}


def gpu_found(*gpus: Gpu, **driver: object) -> dict[str, tuple[str, str]]:
    """Return what differs when the host with two GPUs has these now."""
    record = record_of(LOCK, ID, GPUS).model_copy(update={"request": CPU_WHEELS.request})
    changed = Driver.model_validate({**GPUS.driver.model_dump(), **driver})
    profile = GPUS.model_copy(update={"gpus": gpus, "driver": changed})
    return found(state(profile), record, CPU_WHEELS)


def test_a_host_as_it_was_left_has_no_drift() -> None:
    assert found(state()) == {}
    assert gpu_found(*TWO) == {}


@given(st.sampled_from([CPU_HOST, GPUS]), st.dictionaries(st.sampled_from("abc"), st.just("1.0")))
def test_a_host_never_differs_from_its_own_record(profile: Profile, extra: dict[str, str]) -> None:
    lock = lock_with({**PACKAGES, **extra})
    settings = CPU_WHEELS if profile.gpus else Settings()
    record = record_of(lock, ID, profile).model_copy(update={"request": settings.request})
    now = state(profile, packages={**PACKAGES, **extra})
    assert found(now, record, settings, lock) == {}


def test_a_host_without_a_record_is_never_clean() -> None:
    (drift,) = differences(None, None, host(), Settings(), MATRIX)
    assert (drift.class_, drift.found) == ("package", "nothing was deployed")


@pytest.mark.parametrize(
    ("now", "what", "expected", "seen"),
    [
        (state(current=None), "current", ID, "nothing"),
        (state(current="other-1"), "current", ID, "other-1"),
        (host(current=ID), "environment", ID, "it is gone"),
        (state(python=""), "interpreter", "bin/python runs", f"{PYTHON.path} does not run it"),
        (state(packages={"torch": "2.13.0+cpu"}), "numpy", "2.4.0", "not there"),
        (state(packages={**PACKAGES, "six": "1.17"}), "six", "not there", "1.17"),
        (state(packages={**PACKAGES, "torch": "2.13.0"}), "torch", "2.13.0+cpu", "2.13.0"),
    ],
)
def test_packages(now: HostState, what: str, expected: str, seen: str) -> None:
    assert found(now) == {f"package {what}": (expected, seen)}


def test_a_lock_that_nobody_has() -> None:
    assert found(state(), lock=None) == {"package lock": (LOCK.name, "nobody has it")}


def test_what_the_inventory_asks_for_since_the_deploy() -> None:
    assert found(state(), settings=Settings(torch="2.14.1")) == {
        "package request for torch": ("==2.14.1", "2.13.0")
    }
    uniform = record_of(LOCK, ID).model_copy(update={"request": Settings(torch="==2.13.0").request})
    assert found(state(), uniform, Settings(uniform="lab")) == {}


def test_a_new_driver_and_what_it_makes_possible() -> None:
    record = record_of(LOCK, ID, GPUS).model_copy(update={"request": CPU_WHEELS.request})
    newer = GPUS.driver.model_copy(update={"version": "590.44.01"})
    profile = GPUS.model_copy(update={"driver": newer})
    assert found(state(profile), record, CPU_WHEELS) == {
        "driver version": ("580.95.05", "590.44.01")
    }
    cuda = record_of(LOCK, ID, GPUS)
    old = GPUS.driver.model_copy(update={"version": "550.54.15"})
    cuda = cuda.model_copy(update={"driver": old})
    drifts = differences(cuda, LOCK, state(GPUS), Settings(), MATRIX)
    repair = next(drift.repair for drift in drifts if drift.what == "version")
    assert "this driver runs torch" in repair and "relock=true" in repair


def test_a_driver_that_broke() -> None:
    assert gpu_found(*TWO, state=DriverState.VERSION_MISMATCH) == {
        "driver state": ("ok", "version-mismatch")
    }
    installed = InstalledDriver(module="580.95.05", library="590.44.01")
    profile = GPUS.model_copy(update={"installed_driver": installed})
    record = record_of(LOCK, ID, GPUS).model_copy(update={"request": CPU_WHEELS.request})
    assert found(state(profile), record, CPU_WHEELS) == {
        "driver library": ("kernel module 580.95.05", "library 590.44.01")
    }


def test_wheels_that_no_longer_run() -> None:
    record = record_of(LOCK, ID, CPU_HOST)
    drifts = found(state(GPUS), record)
    assert drifts["driver wheels"][1] == "the host has an NVIDIA GPU, the wheels are cpu"


MOVED = TWO[1].model_copy(update={"pci_bus_id": "00000000:03:00.0"})
SWAPPED = TWO[1].model_copy(update={"uuid": "GPU-3"})


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (TWO[:1], {"GPU at 00000000:02:00.0": ("NVIDIA GeForce RTX 4090 (GPU-2)", "no GPU")}),
        (
            (TWO[0], SWAPPED),
            {
                "GPU at 00000000:02:00.0": (
                    "NVIDIA GeForce RTX 4090 (GPU-2)",
                    "NVIDIA GeForce RTX 4090 (GPU-3)",
                )
            },
        ),
        (
            (TWO[0], MOVED),
            {"place on the bus of GPU 1": ("00000000:02:00.0", "00000000:03:00.0")},
        ),
        (
            (TWO[0].model_copy(update={"ecc": False}), TWO[1]),
            {"ECC of GPU 0": ("on", "off")},
        ),
        (
            (TWO[0].model_copy(update={"pcie_width": 4}), TWO[1]),
            {"PCIe width of GPU 0": ("x16", "x4")},
        ),
        (
            (TWO[0].model_copy(update={"memory_total_mib": 12282}), TWO[1]),
            {"memory, MiB of GPU 0": ("24564", "12282")},
        ),
        ((TWO[0].model_copy(update={"pcie_width": None, "ecc": None}), TWO[1]), {}),
    ],
)
def test_hardware(gpus: tuple[Gpu, ...], expected: dict[str, tuple[str, str]]) -> None:
    assert gpu_found(*gpus) == {f"hardware {what}": said for what, said in expected.items()}


def test_a_wider_pcie_link_is_no_drift() -> None:
    wider = TWO[0].model_copy(update={"pcie_width": 32})
    assert gpu_found(wider, TWO[1]) == {}


def test_a_gpu_that_was_added() -> None:
    third = RTX_4090.model_copy(update={"index": 2, "uuid": "GPU-9", "pci_bus_id": "3"})
    assert gpu_found(*TWO, third) == {
        "hardware GPU at 3": ("no GPU", "NVIDIA GeForce RTX 4090 (GPU-9)")
    }


def test_runtime() -> None:
    untested = record_of(LOCK, ID).model_copy(update={"smoke": None})
    assert found(state(), untested) == {"runtime smoke test": ("passed", "no pass that counts")}
    (test,) = differences(untested, LOCK, state(), Settings(), MATRIX)
    assert test.repair.startswith(DEPLOY), "the test by itself would fail again"
    failing = TWO[0].model_copy(update={"remapping_failed": True})
    assert gpu_found(failing, TWO[1]) == {
        "runtime memory of GPU 0": ("sound", "no spare row is left")
    }
    (drift,) = damaged(["numpy"], deep=True)
    assert (drift.class_, drift.what) == ("package", "files of numpy")
    fault = FleetwheelError("wrong values", hint="replace the GPU")
    assert failed_test(fault).repair == "replace the GPU"
    assert failed_test(FleetwheelError("wrong values")).repair == DEPLOY


@pytest.mark.parametrize(
    ("expect", "what", "said"),
    [
        ({"gpus": 4}, "hardware number of GPUs", ("4", "2")),
        ({"gpu": "H100"}, "hardware model of GPU 0", ("H100", "NVIDIA GeForce RTX 4090")),
        ({"driver": ">=590"}, "driver version", (">=590", "580.95.05")),
        ({"max_temperature_c": 80}, "runtime temperature, C of GPU 0", ("at most 80", "91")),
        ({"gpus": 2, "gpu": "rtx 4090", "driver": ">=580"}, "", ("", "")),
    ],
)
def test_what_the_inventory_expects(
    expect: dict[str, object], what: str, said: tuple[str, str]
) -> None:
    hot = TWO[0].model_copy(update={"temperature_c": 91})
    profile = GPUS.model_copy(update={"gpus": (hot, TWO[1])})
    settings = Settings(accelerator="cpu", expect=Expect.model_validate(expect))
    record = record_of(LOCK, ID, GPUS).model_copy(update={"request": settings.request})
    drifts = found(state(profile), record, settings)
    assert drifts.get(what, ("", "")) == said
    assert bool(drifts) is bool(what)


def report(name: str, driver: str, group: str = "lab") -> HostReport:
    profile = GPUS.model_copy(update={"driver": Driver(state=DriverState.OK, version=driver)})
    return HostReport(name=name, group=group, status="clean", profile=profile, choice=LOCK.choice)


def test_the_odd_ones_out_of_a_group() -> None:
    hosts = [report(f"h{number}", "580.95.05") for number in range(37)]
    hosts += [report(f"odd{number}", "570.86.16") for number in range(3)]
    assert odd_ones_out(hosts) == [
        f"odd{number}: driver 570.86.16, where 37 of 40 hosts of lab have 580.95.05"
        for number in range(3)
    ]
    assert odd_ones_out(hosts[36:38]) == []
    assert odd_ones_out([*hosts[:2], *hosts[38:]]) == []
    assert odd_ones_out([host.model_copy(update={"group": ""}) for host in hosts]) == []


DRIFT = Drift.model_validate(
    {"class": "driver", "what": "version", "expected": "580", "found": "<570>\x1b", "repair": "&"}
)
HOSTS = [
    HostReport(name="good", status="clean", choice=LOCK.choice, profile=CPU_HOST),
    HostReport(name="bad", status="drifted", drift=(DRIFT,), profile=GPU_HOST),
    HostReport(name="gone", status="unreachable", why="no route"),
    HostReport(name="held", status="on hold", why="rolled back", profile=CPU_HOST),
]


@pytest.mark.parametrize(
    ("states", "expected"),
    [("", 0), ("good", 0), ("held", 0), ("bad", 2), ("gone", 4), ("good bad gone", 6)],
)
def test_exit_status(states: str, expected: int) -> None:
    assert exit_status([host for host in HOSTS if host.name in states.split()]) == expected


@pytest.mark.parametrize(
    ("repair", "command"),
    [
        (DEPLOY, "pyinfra inventory.py deploys/torch.py --limit 'a b'"),
        (ACCEPT, "pyinfra inventory.py deploys/torch.py --limit 'a b'"),
        (REBUILD, "pyinfra inventory.py deploys/torch.py --data rebuild=true --limit 'a b'"),
        ("reboot the host", None),
    ],
)
def test_the_deploy_that_mends_a_host(repair: str, command: str | None) -> None:
    drift = DRIFT.model_copy(update={"repair": repair})
    hosts = [*HOSTS, HostReport(name="a b", status="drifted", drift=(drift,))]
    assert repairs(hosts, "inventory.py") == ([command] if command else [])


def test_junit_has_a_case_for_each_host_and_class() -> None:
    root = ElementTree.fromstring(junit(report_of(HOSTS, "drift")))
    outcome: Callable[[ElementTree.Element], str] = lambda case: (  # noqa: E731
        case[0].tag if len(case) else "passed"
    )
    cases = {(c.get("classname"), c.get("name")): outcome(c) for c in root.iter("testcase")}
    assert len(cases) == 16
    assert {cases["good", class_] for _, class_ in cases} == {"passed"}
    assert cases["bad", "driver"] == "failure" and cases["bad", "package"] == "passed"
    assert {cases["gone", class_] for _, class_ in cases} == {"error"}
    assert {cases["held", class_] for _, class_ in cases} == {"skipped"}
    (suite,) = root.iter("testsuite")
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["16", "1", "4"]


def test_prometheus_reads_the_gauges() -> None:
    now = report_of(HOSTS, "drift")
    before = Report(
        kind="drift",
        at=datetime.now(UTC) - timedelta(days=1),
        hosts=(HOSTS[1].model_copy(update={"status": "clean", "drift": ()}),),
    )
    samples = {
        (s.name.removeprefix("fleetwheel_"), s.labels.get("host"), s.labels.get("class")): s
        for family in text_string_to_metric_families(metrics(now, [before]))
        for s in family.samples
    }
    assert samples["host_drift", "bad", "driver"].value == 1
    assert samples["host_drift", "good", "driver"].value == 0
    assert samples["host_up", "gone", None].value == 0
    assert ("host_drift", "gone", "driver") not in samples
    last = "host_last_success_timestamp_seconds"
    assert samples[last, "good", None].value == pytest.approx(now.at.timestamp())
    assert samples[last, "bad", None].value == pytest.approx(before.at.timestamp())
    assert (last, "gone", None) not in samples
    assert samples["host_info", "bad", None].labels["driver"] == "580.95.05"


@given(st.text(max_size=300))
def test_no_text_of_a_host_breaks_a_format(text: str) -> None:
    drift = Drift.model_validate(
        {"class": "package", "what": text, "expected": text, "found": text, "repair": text}
    )
    driver = Driver(version=text)
    profile = CPU_HOST.model_copy(update={"driver": driver})
    host = HostReport(name=f"h{text}", status="drifted", why=text, drift=(drift,), profile=profile)
    made = report_of([host], "drift")
    assert len(list(ElementTree.fromstring(junit(made)).iter("testcase"))) == 4
    families = list(text_string_to_metric_families(metrics(made)))
    info = next(f for f in families if f.name == "fleetwheel_host_info").samples[0]
    assert len(info.labels["driver"]) <= 64
    assert json.loads(made.model_dump_json())["hosts"][0]["drift"][0]["what"] == text


def test_a_host_on_hold_can_have_drifted_too() -> None:
    hold = Hold(since=datetime.now(UTC), rolled_back_from="other-1")
    record = record_of(LOCK, ID).model_copy(update={"hold": hold})
    assert found(state(), record) == {}
    assert found(state(current=None), record) == {"package current": (ID, "nothing")}


def test_no_deploy_is_advised_for_a_host_on_hold() -> None:
    said = (DEPLOY, REBUILD, f"look for the GPU; {ACCEPT}", "replace the GPU", TEST_AGAIN)
    plain = [
        Drift.model_validate(
            {"class": "package", "what": "x", "expected": "", "found": "", "repair": r}
        )
        for r in said
    ]
    held = on_hold(plain)
    kept = [said[3], TEST]
    assert [each.repair for each in held] == [HELD, HELD, f"look for the GPU; {HELD}", *kept]
    assert repairs([HostReport(name="a", status="drifted", drift=tuple(held))], "i.py") == []
