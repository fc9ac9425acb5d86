"""What nvidia-smi prints, read into a driver and its GPUs.

Exit codes are NVML's return values (nvml.h, ``nvmlReturn_t``), but for 10, which nvidia-smi's
manual gives to trouble with interrupts; the texts are those of drivers 418 to 610.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from fleetwheel.host.profile import Driver, DriverState, Gpu, Nvidia
from fleetwheel.matrix import gpu_names

FIELDS = ("index", "uuid", "pci.bus_id", "name", "compute_cap", "memory.total", "driver_version")
"""What is asked of nvidia-smi; drivers before 510 do not know ``compute_cap``."""

TEXTS: tuple[tuple[str, DriverState], ...] = (
    ("driver/library version mismatch", DriverState.VERSION_MISMATCH),
    ("blocked by the operating system", DriverState.BLOCKED),
    ("failed to initialize nvml: n/a", DriverState.BLOCKED),
    ("error while loading shared libraries", DriverState.NO_DRIVER),
    ("exec format error", DriverState.NO_DRIVER),
    ("couldn't find libnvidia-ml", DriverState.NO_DRIVER),
    ("couldn't communicate with the nvidia driver", DriverState.NOT_LOADED),
    ("driver not loaded", DriverState.NOT_LOADED),
    ("insufficient permissions", DriverState.NO_PERMISSION),
    ("permission denied", DriverState.NO_PERMISSION),
    # A container whose access to /dev/nvidia* was taken away while it ran.
    ("failed to initialize nvml: unknown error", DriverState.NO_PERMISSION),
    ("device handle", DriverState.GPU_LOST),
    ("is lost", DriverState.GPU_LOST),
    ("fallen off the bus", DriverState.GPU_LOST),
    ("power cables", DriverState.GPU_LOST),
    ("no devices were found", DriverState.NO_DEVICES),
)
EXIT_CODES = {
    4: DriverState.NO_PERMISSION,
    6: DriverState.NO_DEVICES,
    8: DriverState.GPU_LOST,
    9: DriverState.NOT_LOADED,
    10: DriverState.GPU_LOST,
    11: DriverState.GPU_LOST,
    12: DriverState.NO_DRIVER,
    15: DriverState.GPU_LOST,
    16: DriverState.GPU_LOST,
    17: DriverState.BLOCKED,
    18: DriverState.VERSION_MISMATCH,
    28: DriverState.NO_DEVICES,
    124: DriverState.HUNG,
    137: DriverState.HUNG,
}
SAID_BY_CODE = {
    8: "a GPU's power cables are not attached",
    10: "the kernel has trouble with a GPU's interrupts",
    11: "the kernel has trouble with a GPU's interrupts",
    16: "a GPU requires a reset",
    28: "no GPU was found",
}
"""What an exit code tells that its state does not."""
CRASHES = {
    0xC0000005: "an access violation",
    0xC000007B: "a DLL for another processor, or a damaged one",
    0xC0000135: "a DLL that it needs is missing",
    0xC0000142: "a DLL failed as it was loaded",
    0xC0000409: "it ended itself",
}
"""Exit codes of Windows, by their 32 bits (ntstatus.h); cmd shows them as negative numbers."""
LOST = ("ERR!", "[GPU is lost]", "[GPU requires reset]", "[Unknown Error]")
DRIVER_MODELS: tuple[Literal["WDDM", "TCC", "MCDM"], ...] = ("WDDM", "TCC", "MCDM")
LAST_SIGNAL = 64
"""A shell reports signal N as exit code 128 + N; nvidia-smi itself ends with 255 at times."""
LONGEST_DETAIL = 400
LONGEST_NAME = 96
"""NVML's own limit, ``NVML_DEVICE_NAME_V2_BUFFER_SIZE``."""


def parse_nvidia_smi(
    query: Sequence[str], fields: Sequence[str], exit_code: int, banner: Iterable[str] = ()
) -> Nvidia:
    """Read the output of ``--query-gpu=FIELDS --format=csv,noheader,nounits`` and of the banner.

    ``query`` holds its standard output and error together. An exit code of 124 or 137 says that
    nvidia-smi did not end in time. What cannot be read is state ``unparsable``, never an exception.
    """
    rows = [row for line in query if (row := _row(line, fields))]
    words = " ".join(line.strip() for line in query if line.strip() and not _row(line, fields))
    gpus = {gpu.index: gpu for row in rows if (gpu := _gpu(row))}
    versions = [row["driver_version"] for row in rows if is_version(row["driver_version"])]
    lost = [f"GPU {row['index']}: {sign}" for row in rows if (sign := _sign(row))]
    state = _state(words, exit_code, bool(gpus), bool(lost))
    said = [*filter(None, [words]), *lost] or [_of_silence(state, exit_code)]
    driver = Driver(
        state=state,
        version=versions[0] if versions else None,
        cuda=cuda_ceiling(banner),
        detail="; ".join(said)[:LONGEST_DETAIL],
    )
    return Nvidia(driver=driver, gpus=tuple(gpus[index] for index in sorted(gpus)))


def cuda_ceiling(banner: Iterable[str]) -> str | None:
    """Return the newest CUDA that the driver supports; drivers from 610 on call it UMD version."""
    for line in banner:
        found = re.search(r"CUDA (?:UMD )?Version *: *([0-9]{1,3}\.[0-9]{1,3})", line)
        if found:
            return found[1]
    return None


def _state(words: str, exit_code: int, shows_gpus: bool, lost: bool) -> DriverState:
    if EXIT_CODES.get(exit_code) is DriverState.HUNG:
        return DriverState.HUNG
    lower = words.lower()
    for text, state in TEXTS:
        if text in lower:
            return state
    if lost:
        return DriverState.GPU_LOST
    if shows_gpus:
        return DriverState.OK
    return EXIT_CODES.get(exit_code, DriverState.UNPARSABLE)


def _sign(row: dict[str, str]) -> str:
    """Return how a row shows that its GPU is lost, such as ``GPU requires reset``; or nothing."""
    return next((value.strip("[]") for value in row.values() if value in LOST), "")


def _of_silence(state: DriverState, exit_code: int) -> str:
    """Return what to say of an nvidia-smi that printed nothing of use."""
    if state is DriverState.HUNG:
        return "nvidia-smi did not end in time"
    if exit_code in SAID_BY_CODE:
        return SAID_BY_CODE[exit_code]
    if exit_code < 0 and (why := CRASHES.get(exit_code & 0xFFFFFFFF)):
        return f"nvidia-smi crashed ({why}: {exit_code & 0xFFFFFFFF:#x})"
    crashed = exit_code < 0 or 128 < exit_code <= 128 + LAST_SIGNAL
    return f"nvidia-smi crashed (exit code {exit_code})" if crashed else ""


def _row(line: str, fields: Sequence[str]) -> dict[str, str] | None:
    """Return a line of CSV by field; the name alone may hold the separator, which is not quoted."""
    values = line.strip().split(", ")
    before = fields.index("name")
    after = len(fields) - before - 1
    if len(values) < len(fields) or not re.fullmatch(r"[0-9]{1,4}", values[0]):
        return None
    name = ", ".join(values[before : len(values) - after])
    row = [*values[:before], name, *values[len(values) - after :]]
    return dict(zip(fields, row, strict=True))


def _gpu(row: dict[str, str]) -> Gpu | None:
    """Return the GPU of a row; None for one so lost that it has no name."""
    name = _value(row["name"])
    if name is None:
        return None
    name = name[:LONGEST_NAME]
    memory = row["memory.total"]
    return Gpu(
        index=int(row["index"]),
        uuid=_value(row["uuid"]),
        name=name,
        compute_capability=gpu_capability(row.get("compute_cap", ""), name),
        memory_total_mib=int(memory) if re.fullmatch(r"[0-9]{1,9}", memory) else None,
        pci_bus_id=_value(row["pci.bus_id"]),
        driver_model=next((m for m in DRIVER_MODELS if m == row.get("driver_model.current")), None),
    )


def _value(text: str) -> str | None:
    """Return a field's value; None for the ways in which nvidia-smi says that it has none."""
    return None if text in ("", "N/A", "(N/A)", "ERR!") or text.startswith("[") else text


def gpu_capability(text: str, name: str) -> str | None:
    """Return a compute capability as the driver gives it, or else as the GPU's name tells it."""
    if re.fullmatch(r"[0-9]{1,2}\.[0-9]", text):
        return text
    return gpu_names.capability_of(name)


def is_version(text: str) -> bool:
    """Whether a text is a version as NVIDIA's drivers have it."""
    return re.fullmatch(r"[0-9]{2,4}(\.[0-9]{1,4}){1,3}", text) is not None
