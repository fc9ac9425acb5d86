"""The document of the GPU probe, read into a driver and its GPUs."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.choice.request import Request
from fleetwheel.choice.target import read_target
from fleetwheel.collectors import nvml
from fleetwheel.deploy.record import smoke_pass
from fleetwheel.host.profile import DriverState, Gpu, Nvidia, Profile

DRIVER = {"state": "ok", "version": "580.95.05", "cuda": "13.0", "nvml": "13.580.95.05"}
GPU = {
    "index": 0,
    "uuid": "GPU-1",
    "name": "NVIDIA H100 PCIe",
    "compute_capability": "9.0",
    "memory_total_mib": 81559,
    "pci_bus_id": "00000000:01:00.0",
    "memory_free_mib": 80000,
    "compute_mode": "exclusive-process",
    "mig": True,
    "mig_instances": [{"index": 1, "uuid": "MIG-2", "name": "H100 MIG 1g.10gb", "unavailable": {}}],
    "ecc": True,
    "ecc_uncorrected": 0,
    "temperature_c": 35,
    "throttle_reasons": [],
    "power_limit_w": 350.0,
    "processes": [4321],
    "unavailable": {"driver_model": "Not Supported"},
}


def parse(*gpus: Any, driver: Any = DRIVER) -> Nvidia:
    return nvml.parse_nvml(json.dumps({"driver": driver, "gpus": gpus}))


def test_a_document_is_read_field_by_field() -> None:
    found = parse(GPU)
    assert found.driver.to_json() == {**DRIVER, "detail": ""}
    (gpu,) = found.gpus
    assert {name: value for name, value in gpu.to_json().items() if name in GPU} == {
        **GPU,
        "mig_instances": [
            {
                **GPU["mig_instances"][0],  # type: ignore[index]
                "memory_total_mib": None,
                "memory_used_mib": None,
                "memory_free_mib": None,
                "processes": None,
            }
        ],
    }
    assert gpu.driver_model is None
    assert Nvidia.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"gpus": 1}', "[" * 100_000, '{"gpus": [' * 500, '"\\ud800"'],
)
def test_what_is_no_document_is_unparsable(text: str) -> None:
    found = nvml.parse_nvml(text)
    assert (found.driver.state, found.gpus) == (DriverState.UNPARSABLE, ())
    assert found.driver.detail


@pytest.mark.parametrize("driver", [None, 1, [], {}, {"state": "fine"}, {"state": ["ok"]}])
def test_a_state_that_is_none_is_unparsable(driver: Any) -> None:
    found = parse(GPU, driver=driver)
    assert found.driver.state is DriverState.UNPARSABLE
    assert [gpu.index for gpu in found.gpus] == [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature_c", "41"),
        ("temperature_c", -5),
        ("temperature_c", True),
        ("memory_free_mib", 1e300),
        ("ecc_uncorrected", 10**4000),
        ("power_limit_w", float("nan")),
        ("persistence", 1),
        ("compute_mode", "shared"),
        ("uuid", ["GPU-1"]),
        ("processes", [1, "init"]),
        ("mig_instances", [{"index": 0, "surprise": 1}]),
        ("memory_total_mib", {}),
        ("throttle_reasons", "thermal"),
    ],
)
def test_a_value_that_is_none_costs_its_field_alone(name: str, value: Any) -> None:
    (gpu,) = parse({**GPU, name: value}).gpus
    assert getattr(gpu, name) is None
    assert gpu.unavailable[name] == nvml.STRANGE
    assert gpu.unavailable["driver_model"] == "Not Supported"
    assert gpu.name == "NVIDIA H100 PCIe"


@pytest.mark.parametrize("value", [None, 1, [], "x", {"ecc": 1}])
def test_reasons_that_are_none_are_left_out(value: Any) -> None:
    (gpu,) = parse({**GPU, "unavailable": value}).gpus
    assert set(gpu.unavailable) <= {"unavailable"}


@pytest.mark.parametrize(
    "lost",
    [
        {"index": 1, "lost": "GPU is lost"},
        {**GPU, "index": 1, "name": None},
        {**GPU, "index": None},
        {**GPU, "index": -1},
        {**GPU, "index": "0"},
        None,
        "GPU",
    ],
)
def test_a_gpu_without_index_or_name_is_lost_and_hides_no_other(lost: Any) -> None:
    found = parse(lost, GPU)
    assert found.driver.state is DriverState.GPU_LOST
    assert [gpu.uuid for gpu in found.gpus] == ["GPU-1"]


def test_the_state_cannot_be_ok_without_a_gpu() -> None:
    assert parse().driver.state is DriverState.NO_DEVICES


def test_the_name_tells_the_capability_that_a_driver_does_not() -> None:
    (gpu,) = parse({**GPU, "compute_capability": "$(reboot)"}).gpus
    assert gpu.compute_capability == "9.0"


def test_versions_are_versions() -> None:
    driver = parse(GPU, driver={**DRIVER, "version": "580; reboot", "cuda": None}).driver
    assert (driver.version, driver.cuda) == (None, None)


def test_texts_cannot_steer_a_terminal() -> None:
    hostile = "\x1b[2Jevil\n\r\u202e\ud800 name"
    found = parse({**GPU, "name": hostile, "unavailable": {hostile: hostile}})
    (gpu,) = found.gpus
    assert gpu.name == "[2Jevil name"
    assert gpu.unavailable == {"[2Jevil name": "[2Jevil name"}


def test_what_changes_all_the_time_decides_nothing() -> None:
    hot = {**GPU, "temperature_c": 90, "processes": [], "memory_free_mib": 1, "mig_instances": []}
    before, after = (
        Profile(os="linux", arch="x86_64", driver=found.driver, gpus=found.gpus)
        for found in (parse(GPU), parse(hot))
    )
    assert before != after
    assert read_target(before, Request()) == read_target(after, Request())
    assert before.gpus[0].baseline == after.gpus[0].baseline
    assert smoke_pass("one-1", before, {}).holds("one-1", after)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
gpus = st.lists(
    st.dictionaries(st.sampled_from(list(Gpu.model_fields)), json_values)
    | json_values
    | st.builds(lambda name, value: {**GPU, name: value}, st.sampled_from(list(GPU)), json_values),
    max_size=3,
)


@given(
    st.text()
    | json_values.map(json.dumps)
    | st.builds(
        lambda driver, gpus: json.dumps({"driver": driver, "gpus": gpus}),
        st.dictionaries(st.sampled_from([*DRIVER, "detail"]), json_values) | json_values,
        gpus,
    )
)
def test_no_document_makes_the_parser_raise(text: str) -> None:
    found = nvml.parse_nvml(text)
    assert Nvidia.model_validate_json(found.model_dump_json()) == found


def test_time_is_linear() -> None:
    started = time.process_time()
    parse(*({**GPU, "index": index} for index in range(2000)))
    parse({**GPU, "name": "x" * 3_000_000})
    assert time.process_time() - started < 2
