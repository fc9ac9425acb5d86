"""Drift: each difference has its class, and a host that is as it was left has none."""

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from fleetwheel.deploy.record import Hold, Record
from fleetwheel.drift import (
    damaged,
    failed_test,
    not_wanted,
    odd_ones_out,
    on_hold,
    repairs,
    unrecorded,
    without_repair,
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
from fleetwheel.node import compare
from fleetwheel.node.compare import ACCEPT, DEPLOY, HELD, REBUILD, TEST, TEST_AGAIN
from fleetwheel.reporting.junit import junit
from fleetwheel.reporting.prometheus import metrics
from fleetwheel.reporting.report import (
    Drift,
    DriftClass,
    EnvironmentReport,
    HostReport,
    Report,
    Status,
    drift_exit_status,
    report_of,
)
from tests.samples import (
    CPU_HOST,
    GPU_HOST,
    PYTHON,
    RTX_4090,
    differences,
    host,
    lock_with,
    record_of,
)

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
    return HostReport(
        name=name, group=group, status="clean", profile=profile, environments=(inside(),)
    )


def inside(name: str = "default", *found: Drift, **fields: Any) -> EnvironmentReport:
    status = "drifted" if found else "clean"
    said = {"status": status, "choice": LOCK.choice, "drift": found, **fields}
    return EnvironmentReport(name=name, **said)


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


def test_torch_is_compared_among_hosts_that_have_the_environment() -> None:
    older = inside("vision", choice=LOCK.choice.model_copy(update={"torch": "2.9.0"}))
    hosts = [report(f"h{number}", "580.95.05") for number in range(7)]
    for place, extra in enumerate([inside("vision")] * 3 + [older]):
        hosts[place] = hosts[place].with_environments([inside(), extra])
    assert odd_ones_out(hosts) == [
        "h3: torch of vision 2.9.0 cpu, where 3 of 4 hosts of lab have 2.13.0 cpu"
    ]
    bare = hosts[6].model_copy(update={"environments": (inside(choice=None),)})
    assert odd_ones_out([*hosts[4:6], bare]) == [
        "h6: torch none, where 2 of 3 hosts of lab have 2.13.0 cpu"
    ]
    none = hosts[6].model_copy(update={"environments": ()})
    down = HostReport(name="down", group="lab", status="unreachable")
    assert odd_ones_out([*hosts[4:6], none, down]) == []


DRIFT = Drift.model_validate(
    {"class": "driver", "what": "version", "expected": "580", "found": "<570>\x1b", "repair": "&"}
)
HOSTS = [
    HostReport(name="good", status="clean", profile=CPU_HOST, environments=(inside(),)),
    HostReport(name="bad", status="drifted", drift=(DRIFT,), profile=GPU_HOST),
    HostReport(name="gone", status="unreachable", why="no route"),
    HostReport(name="held", status="on hold", why="rolled back", profile=CPU_HOST),
]


@pytest.mark.parametrize(
    ("states", "expected"),
    [("", 0), ("good", 0), ("held", 0), ("bad", 2), ("gone", 4), ("good bad gone", 6)],
)
def test_exit_status(states: str, expected: int) -> None:
    told = [host for host in HOSTS if host.name in states.split()]
    found = report_of(told, "drift")
    assert drift_exit_status(found) == expected
    assert f"\nfleetwheel_check_exit_code {float(expected)}\n" in metrics(found)


@pytest.mark.parametrize(
    ("environments", "expected"),
    [
        ((inside(), inside("vision")), 0),
        ((inside(), inside("vision", DRIFT)), 2),
        ((inside(status="failed"), inside("vision", DRIFT)), 6),
        ((inside(status="failed"), inside("vision", status="on hold")), 4),
    ],
)
def test_every_environment_counts(
    environments: tuple[EnvironmentReport, ...], expected: int
) -> None:
    host = HostReport(name="a", status="clean").with_environments(environments)
    assert drift_exit_status(report_of([host])) == expected
    own = HostReport(name="a", status="drifted", drift=(DRIFT,)).with_environments(environments)
    assert drift_exit_status(report_of([own])) == expected | 2


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
    hosts = [*HOSTS, HostReport(name="a b", status="drifted", drift=(of(repair),))]
    assert repairs(hosts, "inventory.py") == ([command] if command else [])


def of(repair: str) -> Drift:
    actions = {DEPLOY: "deploy", ACCEPT: "deploy", REBUILD: "rebuild"}
    return DRIFT.model_copy(update={"repair": repair, "action": actions.get(repair, "")})


FIRST, VISION = "default", "vision"


@pytest.mark.parametrize(
    ("own", "inner", "commands"),
    [
        ("", {FIRST: DEPLOY, VISION: ""}, ["--data environment=default"]),
        ("", {FIRST: DEPLOY, VISION: DEPLOY}, [""]),
        ("", {VISION: REBUILD}, ["--data rebuild=true"]),
        ("", {FIRST: "", VISION: REBUILD}, ["--data environment=vision --data rebuild=true"]),
        ("", {FIRST: "reboot the host", VISION: HELD}, []),
        (ACCEPT, {FIRST: "", VISION: ""}, [""]),
        ("reboot the host", {FIRST: "", VISION: DEPLOY}, ["--data environment=vision"]),
        (
            "",
            {FIRST: DEPLOY, VISION: REBUILD, "course": ""},
            ["--data environment=default", "--data environment=vision --data rebuild=true"],
        ),
        (
            ACCEPT,
            {FIRST: "", VISION: REBUILD},
            ["--data environment=default", "--data environment=vision --data rebuild=true"],
        ),
        ("", {FIRST: "", VISION: DEPLOY, "course": DEPLOY}, ["--data environment=vision,course"]),
    ],
)
def test_a_deploy_names_environments_where_others_need_none(
    own: str, inner: dict[str, str], commands: list[str]
) -> None:
    environments = [inside(name, *([of(text)] if text else [])) for name, text in inner.items()]
    status = "drifted" if own else "clean"
    host = HostReport(name="a", status=status, drift=(of(own),) if own else ())
    start = "pyinfra i.py deploys/torch.py"
    assert repairs([host.with_environments(environments)], "i.py") == [
        " ".join(filter(None, [start, options, "--limit a"])) for options in commands
    ]


def test_hosts_that_need_the_same_share_a_deploy() -> None:
    ill = [inside(), inside(VISION, of(DEPLOY))]
    hosts = [HostReport(name=name, status="clean").with_environments(ill) for name in "ab"]
    other = HostReport(name="c", status="clean").with_environments([inside(FIRST, of(DEPLOY))])
    assert repairs([*hosts, other], "i.py", ["torch=2.13"]) == [
        "pyinfra i.py deploys/torch.py --data torch=2.13 --limit c",
        "pyinfra i.py deploys/torch.py --data torch=2.13 --data environment=vision"
        " --limit a --limit b",
    ]


def test_what_the_check_was_told_of_environments_is_said_once() -> None:
    ill = [inside("course"), inside(VISION, of(DEPLOY))]
    host = HostReport(name="a", status="clean").with_environments(ill)
    told = ["environment=course,vision", "deep=true"]
    assert repairs([host], "i.py", told) == [
        "pyinfra i.py deploys/torch.py --data deep=true --data environment=vision --limit a"
    ]
    both = host.with_environments([inside("course", of(DEPLOY)), inside(VISION, of(DEPLOY))])
    assert repairs([both], "i.py", told[:1]) == [
        "pyinfra i.py deploys/torch.py --data environment=course,vision --limit a"
    ]


def test_what_the_inventory_has_no_more_is_removed_and_not_deployed() -> None:
    left = inside("course", not_wanted(record_of(LOCK, "c-1")))
    host = HostReport(name="a", status="clean")
    removal = "pyinfra i.py deploys/remove.py --limit a"
    assert repairs([host.with_environments([inside(), left])], "i.py") == [removal]
    ill = host.with_environments([inside(FIRST, of(DEPLOY)), left])
    deploy = "pyinfra i.py deploys/torch.py --limit a"
    assert sorted(repairs([ill], "i.py")) == [removal, deploy]


def test_an_environment_that_failed_hides_no_repair_of_another() -> None:
    ill = [inside(status="failed"), inside(VISION, of(DEPLOY))]
    host = HostReport(name="a", status="clean").with_environments(ill)
    assert host.status == "failed"
    assert len(repairs([host], "i.py")) == 1


def cases(*hosts: HostReport) -> dict[tuple[str | None, str | None], str]:
    root = ElementTree.fromstring(junit(report_of(hosts, "drift")))
    return {
        (case.get("classname"), case.get("name")): case[0].tag if len(case) else "passed"
        for case in root.iter("testcase")
    }


def test_junit_has_a_case_for_each_environment_and_class() -> None:
    package = Drift.model_validate({**DRIFT.to_json(), "class_": "package"})
    held = inside("course", status="on hold", why="rolled back")
    failed = inside("team", status="failed", why="no lock")
    host = HostReport(name="a", status="drifted", drift=(DRIFT,)).with_environments(
        [inside(), inside("vision", package), held, failed]
    )
    assert cases(host) == {
        ("a", "driver"): "failure",
        ("a", "hardware"): "passed",
        ("a", "runtime"): "passed",
        ("a", "default: package"): "passed",
        ("a", "default: runtime"): "passed",
        ("a", "vision: package"): "failure",
        ("a", "vision: runtime"): "passed",
        ("a", "course: package"): "skipped",
        ("a", "course: runtime"): "skipped",
        ("a", "team"): "error",
    }


@pytest.mark.parametrize("name", ["default", "vision"])
def test_one_environment_has_the_cases_of_its_host(name: str) -> None:
    own, inner = (
        Drift.model_validate({**DRIFT.to_json(), "class_": class_})
        for class_ in ("runtime", "package")
    )
    host = HostReport(name="a", status="drifted", drift=(own,)).with_environments(
        [inside(name, inner)]
    )
    assert cases(host) == {
        ("a", "package"): "failure",
        ("a", "driver"): "passed",
        ("a", "hardware"): "passed",
        ("a", "runtime"): "failure",
    }
    failed = HostReport(name="a", status="clean").with_environments([inside(status="failed")])
    assert {*cases(failed).values()} == {"error"}


def test_what_is_found_on_a_host_has_its_case_whatever_its_class() -> None:
    odd = Drift.model_validate({**DRIFT.to_json(), "class_": "package"})
    host = HostReport(name="a", status="drifted", drift=(odd,))
    found = cases(host.with_environments([inside(), inside("vision")]))
    assert found["a", "package"] == "failure"


def test_junit_has_a_case_for_each_host_and_class() -> None:
    found = cases(*HOSTS)
    assert len(found) == 13
    for name, end in (("good", "passed"), ("held", "skipped")):
        assert [found[name, class_] for class_ in get_args(DriftClass)] == [end] * 4
    assert found["bad", "driver"] == "failure" and found["bad", "package"] == "passed"
    assert {name: end for (host, name), end in found.items() if host == "gone"} == {"host": "error"}
    (suite,) = ElementTree.fromstring(junit(report_of(HOSTS, "drift"))).iter("testsuite")
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["13", "1", "1"]


def test_prometheus_reads_the_gauges() -> None:
    now = report_of(HOSTS, "drift")
    before = Report(
        kind="drift",
        at=datetime.now(UTC) - timedelta(days=1),
        hosts=(HOSTS[1].model_copy(update={"status": "clean", "drift": ()}),),
    )
    samples = gauges(metrics(now, [before]))
    assert samples["host_drift", "bad", "", "driver"].value == 1
    assert samples["host_drift", "good", "", "driver"].value == 0
    assert samples["host_drift", "good", "default", "package"].value == 0
    assert samples["host_up", "gone", None, None].value == 0
    assert not [key for key in samples if key[:2] == ("host_drift", "gone")]
    last = "host_last_success_timestamp_seconds"
    assert samples[last, "good", None, None].value == pytest.approx(now.at.timestamp())
    assert samples[last, "bad", None, None].value == pytest.approx(before.at.timestamp())
    assert (last, "gone", None, None) not in samples
    assert samples["host_info", "bad", "", None].labels["driver"] == "580.95.05"


def gauges(text: str) -> dict[tuple[str, str | None, str | None, str | None], Sample]:
    """Return samples by name, host, environment and class."""
    return {
        (
            s.name.removeprefix("fleetwheel_"),
            *(s.labels.get(name) for name in ("host", "environment", "class")),
        ): s
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_gauges_name_the_environment_that_they_belong_to() -> None:
    package = Drift.model_validate({**DRIFT.to_json(), "class_": "package"})
    host = HostReport(name="a", status="drifted", drift=(DRIFT,), profile=GPU_HOST)
    ill = host.with_environments(
        [inside(), inside("vision", package), inside("team", status="failed")]
    )
    samples = gauges(metrics(report_of([ill], "drift")))
    counts = {key[2:]: s.value for key, s in samples.items() if key[0] == "host_drift"}
    assert counts == {
        ("", "driver"): 1,
        ("", "hardware"): 0,
        ("", "runtime"): 0,
        ("default", "package"): 0,
        ("default", "runtime"): 0,
        ("vision", "package"): 1,
        ("vision", "runtime"): 0,
    }
    info = {key[2]: s.labels for key, s in samples.items() if key[0] == "host_info"}
    assert {*info} == {"default", "vision"}
    assert (info["vision"]["torch"], info["vision"]["driver"]) == ("2.13.0", "580.95.05")
    assert samples["host_up", "a", None, None].value == 0


def statuses(report: Report) -> dict[tuple[str, str, str], str]:
    """Return the status by host, group and environment; no two of one can be true."""
    (family,) = [
        family
        for family in text_string_to_metric_families(metrics(report))
        if family.name == "fleetwheel_host_status"
    ]
    keys = ("host", "group", "environment")
    return {
        (s.labels[keys[0]], s.labels[keys[1]], s.labels[keys[2]]): s.labels["status"]
        for s in family.samples
        if s.value
    }


@pytest.mark.parametrize("status", ["clean", "on hold", "refused", "failed", "unreachable"])
def test_each_status_is_told_apart(status: Status) -> None:
    host = HostReport(name="a", group="lab", status=status)
    assert statuses(report_of([host], "drift")) == {("a", "lab", ""): status}
    text = metrics(report_of([host], "drift"))
    assert text.count("fleetwheel_host_status{") == 6
    assert 'status="' not in re.sub(r"fleetwheel_host_status\{.*", "", text)


def test_each_environment_has_a_status() -> None:
    host = HostReport(name="a", status="clean", profile=GPU_HOST)
    ill = host.with_environments([inside(), inside("team", status="failed")])
    assert statuses(report_of([ill], "drift")) == {
        ("a", "", ""): "failed",
        ("a", "", "default"): "clean",
        ("a", "", "team"): "failed",
    }


@pytest.mark.parametrize("passed", [True, False])
def test_the_last_smoke_test_is_a_gauge(passed: bool) -> None:
    host = HostReport(name="a", status="clean", profile=GPU_HOST)
    tested = inside("vision", generation=ID, smoke={"passed": passed})
    text = metrics(report_of([host.with_environments([inside(), tested])], "drift"))
    told = f'{{environment="vision",host="a"}} {float(passed)}'
    assert re.findall(r"^fleetwheel_host_smoke_passed(.*)$", text, re.MULTILINE) == [told]


@given(st.text(max_size=300))
def test_no_text_of_a_host_breaks_a_format(text: str) -> None:
    drift = Drift.model_validate(
        {"class": "package", "what": text, "expected": text, "found": text, "repair": text}
    )
    driver = Driver(version=text)
    profile = CPU_HOST.model_copy(update={"driver": driver})
    choice = LOCK.choice.model_copy(update={"torch": text})
    host = HostReport(name=f"h{text}", status="drifted", why=text, drift=(drift,), profile=profile)
    host = host.with_environments([inside("default", drift, choice=choice, why=text)])
    made = report_of([host], "drift")
    assert len(list(ElementTree.fromstring(junit(made)).iter("testcase"))) == 4
    families = list(text_string_to_metric_families(metrics(made)))
    info = next(f for f in families if f.name == "fleetwheel_host_info").samples[0]
    assert len(info.labels["driver"]) <= 64 >= len(info.labels["torch"])
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
    held = on_hold(plain, HELD)
    kept = [said[3], TEST]
    assert [each.repair for each in held] == [HELD, HELD, f"look for the GPU; {HELD}", *kept]
    assert repairs([HostReport(name="a", status="drifted", drift=tuple(held))], "i.py") == []


VISION_ALONE = HostReport(name="a", status="clean", profile=GPU_HOST)


def test_a_look_at_one_environment_says_nothing_of_the_others() -> None:
    without = HostReport(name="b", status="clean")
    hosts = [VISION_ALONE.with_environments([inside("vision")]), without]
    look = report_of(hosts, "drift", environments=["vision"])
    suite, *_ = ElementTree.fromstring(junit(look)).iter("testsuite")
    names = [(case.get("classname"), case.get("name")) for case in suite.iter("testcase")]
    assert suite.get("name") == "fleetwheel drift, environment vision alone"
    assert ("a", "package") not in names and ("b", "package") not in names
    assert ("a", "vision: package") in names
    gauge = gauges(metrics(look))
    assert [key[1:] for key in gauge if key[0] == "host_drift" and key[3] == "package"] == [
        ("a", "vision", "package")
    ]
    assert [key[1:3] for key in gauge if key[0] == "host_info"] == [("a", "vision")]


def test_a_look_at_one_environment_leaves_the_last_success_of_the_host_alone() -> None:
    host = VISION_ALONE.with_environments([inside("vision")])
    before = Report(kind="drift", at=datetime.now(UTC) - timedelta(days=1), hosts=(host,))
    look = report_of([host], "drift", environments=["vision"])
    last = ("host_last_success_timestamp_seconds", "a", None, None)
    assert last not in gauges(metrics(look))
    assert gauges(metrics(look, [before]))[last].value == pytest.approx(before.at.timestamp())
    assert last not in gauges(
        metrics(report_of([host.model_copy(update={"status": "drifted"})], "drift"), [look])
    )


@pytest.mark.parametrize(
    ("status", "deep", "words"),
    [
        ("clean", False, "nothing to repair; --deep also compares files"),
        ("clean", True, "nothing to repair"),
        ("failed", True, "no deploy repairs what this look has found"),
    ],
)
def test_clean_hosts_have_nothing_to_repair(status: Status, deep: bool, words: str) -> None:
    found = report_of([HostReport(name="a", status=status)], "drift", deep=deep)
    assert without_repair(found) == words


def test_a_repair_by_a_deploy_says_so_to_programs() -> None:
    """Else ``--repair`` and the command of its cause would leave it out."""
    source = Path(compare.__file__).read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "Difference"]
    assert len(made) > 15
    assert [one for one in made if re.search(r"\b(DEPLOY|REBUILD|ACCEPT)\)$", one)] == []
