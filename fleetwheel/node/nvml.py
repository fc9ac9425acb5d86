"""What NVML says about every GPU of this host; run by itself it prints that as JSON.

The document has ``driver`` (``state``, ``version``, ``cuda``, ``nvml``, ``detail``) and ``gpus``, a
list of dictionaries whose keys are those of ``fleetwheel.profile.Gpu``. A value that a driver or
GPU does not give is null, and ``unavailable`` says why; a GPU that gives nothing at all has only
``index`` and ``lost``. A GPU that this process may not open, as in a container with others of the
host's GPUs, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pynvml as nvml

INIT_STATES = {
    nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no-driver",
    nvml.NVML_ERROR_DRIVER_NOT_LOADED: "not-loaded",
    nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "version-mismatch",
    nvml.NVML_ERROR_NO_PERMISSION: "no-permission",
    nvml.NVML_ERROR_OPERATING_SYSTEM: "blocked",
    nvml.NVML_ERROR_GPU_IS_LOST: "gpu-lost",
    nvml.NVML_ERROR_RESET_REQUIRED: "gpu-lost",
    nvml.NVML_ERROR_INSUFFICIENT_POWER: "gpu-lost",
    nvml.NVML_ERROR_IRQ_ISSUE: "gpu-lost",
    nvml.NVML_ERROR_GPU_NOT_FOUND: "no-devices",
}
THROTTLE_REASONS = {
    nvml.nvmlClocksEventReasonSwPowerCap: "power-cap",
    nvml.nvmlClocksEventReasonHwSlowdown: "hardware-slowdown",
    nvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal",
    nvml.nvmlClocksEventReasonHwThermalSlowdown: "hardware-thermal",
    nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power-brake",
}
COMPUTE_MODES = {0: "default", 1: "exclusive-thread", 2: "prohibited", 3: "exclusive-process"}
DRIVER_MODELS = {0: "WDDM", 1: "TCC", 2: "MCDM"}
FABRIC_PENDING = (nvml.NVML_GPU_FABRIC_STATE_NOT_STARTED, nvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS)


def describe() -> dict[str, Any]:
    """Return the whole document; never raises an NVML error."""
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        state = INIT_STATES.get(error.value, "unparsable")
        return {"driver": {"state": state, "detail": str(error)}, "gpus": []}
    driver = {
        "version": quietly(nvml.nvmlSystemGetDriverVersion),
        "cuda": quietly(cuda_version),
        "nvml": quietly(nvml.nvmlSystemGetNVMLVersion),
    }
    gpus = [gpu for gpu in map(gpu_at, range(count)) if gpu]
    return {"driver": {**driver, **state_of(gpus, count)}, "gpus": gpus}


def state_of(gpus: list[dict[str, Any]], count: int) -> dict[str, str]:
    """Return the driver's state and detail, as the GPUs show it, of which NVML counts so many."""
    lost = [gpu for gpu in gpus if "lost" in gpu]
    if not gpus and count:
        detail = f"this user or container may open none of the driver's {count} GPUs"
        return {"state": "no-permission", "detail": detail}
    if not gpus:
        return {"state": "no-devices", "detail": "the driver runs, but finds no device"}
    if lost:
        detail = ", ".join(f"GPU {gpu['index']}: {gpu['lost']}" for gpu in lost)
        return {"state": "gpu-lost", "detail": detail}
    if any(gpu.get("fabric_pending") for gpu in gpus):
        return {"state": "fabric-not-ready", "detail": "the NVLink fabric is not set up yet"}
    return {"state": "ok", "detail": ""}


def gpu_at(index: int) -> dict[str, Any] | None:
    """Return a GPU; one without even a name is lost, and one that may not be opened is None."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError_NoPermission:
        return None
    except nvml.NVMLError as error:
        return {"index": index, "lost": str(error)}
    gpu = {"index": index, **read_fields(handle, GPU_FIELDS)}
    if gpu["name"] is None:
        return {"index": index, "lost": gpu["unavailable"]["name"]}
    return gpu


def mig_instances(handle: Any) -> list[dict[str, Any]]:
    """Return the MIG instances of a GPU: of the numbers it could have, few are in use."""
    if not nvml.nvmlDeviceGetMigMode(handle)[0]:
        return []
    found = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        instance = quietly(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        if instance is not None:
            found.append({"index": number, **read_fields(instance, INSTANCE_FIELDS)})
    return found


def read_fields(handle: Any, fields: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return the fields of a device: null, and the reason in ``unavailable``, where it has none."""
    values: dict[str, Any] = {}
    unavailable: dict[str, str] = {}
    for name, getter in fields.items():
        try:
            values[name] = getter(handle)
        except Exception as error:  # whatever one field costs, it is not the others
            values[name] = None
            unavailable[name] = str(error) or type(error).__name__
    return {**values, "unavailable": unavailable}


def quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what an NVML function returns, or None."""
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


def cuda_version() -> str:
    version = nvml.nvmlSystemGetCudaDriverVersion_v2()
    return f"{version // 1000}.{version % 1000 // 10}"


def mib(size: int) -> int:
    return size // (1 << 20)


def memory_field(key: str) -> Callable[[Any], Any]:
    return lambda handle: mib(getattr(nvml.nvmlDeviceGetMemoryInfo(handle), key))


def ecc_errors(kind: int) -> Callable[[Any], Any]:
    return lambda handle: nvml.nvmlDeviceGetTotalEccErrors(handle, kind, nvml.NVML_AGGREGATE_ECC)


def remapped_rows(position: int) -> Callable[[Any], Any]:
    return lambda handle: int(nvml.nvmlDeviceGetRemappedRows(handle)[position])


def retired_pages(handle: Any) -> int:
    causes = (
        nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    return sum(len(nvml.nvmlDeviceGetRetiredPages(handle, cause)) for cause in causes)


def throttle_reasons(handle: Any) -> list[str]:
    mask = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return [name for bit, name in THROTTLE_REASONS.items() if mask & bit]


def fabric_pending(handle: Any) -> bool:
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, nvml.byref(info))
    return info.state in FABRIC_PENDING


def processes(handle: Any) -> list[int]:
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except nvml.NVMLError_FunctionNotFound:  # drivers before 510
        running = nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return [process.pid for process in running]


GPU_FIELDS: dict[str, Callable[[Any], Any]] = {
    "uuid": nvml.nvmlDeviceGetUUID,
    "name": nvml.nvmlDeviceGetName,
    "pci_bus_id": lambda handle: nvml.nvmlDeviceGetPciInfo(handle).busId,
    "compute_capability": lambda handle: "{}.{}".format(
        *nvml.nvmlDeviceGetCudaComputeCapability(handle)
    ),
    "memory_total_mib": memory_field("total"),
    "memory_used_mib": memory_field("used"),
    "memory_free_mib": memory_field("free"),
    "driver_model": lambda handle: DRIVER_MODELS[nvml.nvmlDeviceGetCurrentDriverModel(handle)],
    "persistence": lambda handle: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
    "compute_mode": lambda handle: COMPUTE_MODES[nvml.nvmlDeviceGetComputeMode(handle)],
    "mig": lambda handle: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
    "mig_instances": mig_instances,
    "ecc": lambda handle: bool(nvml.nvmlDeviceGetCurrentEccMode(handle)),
    "ecc_corrected": ecc_errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
    "ecc_uncorrected": ecc_errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    "remapped_correctable": remapped_rows(0),
    "remapped_uncorrectable": remapped_rows(1),
    "remapping_pending": lambda handle: bool(nvml.nvmlDeviceGetRemappedRows(handle)[2]),
    "remapping_failed": lambda handle: bool(nvml.nvmlDeviceGetRemappedRows(handle)[3]),
    "retired_pages": retired_pages,
    "pcie_generation": nvml.nvmlDeviceGetCurrPcieLinkGeneration,
    "pcie_generation_max": nvml.nvmlDeviceGetMaxPcieLinkGeneration,
    "pcie_width": nvml.nvmlDeviceGetCurrPcieLinkWidth,
    "pcie_width_max": nvml.nvmlDeviceGetMaxPcieLinkWidth,
    "temperature_c": lambda handle: nvml.nvmlDeviceGetTemperature(
        handle, nvml.NVML_TEMPERATURE_GPU
    ),
    "throttle_reasons": throttle_reasons,
    "power_limit_w": lambda handle: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
    "fabric_pending": fabric_pending,
    "processes": processes,
}
INSTANCE_FIELDS: dict[str, Callable[[Any], Any]] = {
    name: GPU_FIELDS[name]
    for name in (
        "uuid",
        "name",
        "memory_total_mib",
        "memory_used_mib",
        "memory_free_mib",
        "processes",
    )
}


def by_hand(words: list[str]) -> int:
    """Print the document in a line, behind these words."""
    print(*words, json.dumps(describe()))
    return 0


if __name__ == "__main__":
    by_hand([])
