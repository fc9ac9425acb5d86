"""What nvidia-smi prints, from real machines, broken ones and hostile ones."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.collectors import gpu as gpu_answer
from fleetwheel.collectors.nvidia_smi import FIELDS, cuda_ceiling, parse_nvidia_smi
from fleetwheel.host.profile import DriverState, Gpu
from fleetwheel.node.driver_states import EXPLANATIONS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nvidia-smi"
OLD_FIELDS = [field for field in FIELDS if field != "compute_cap"]
ZERO = "GPU-00000000-0000-0000-0000-000000000000"
LINE = f"1, {ZERO}, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 580.95.05"


def lines(name: str) -> list[str]:
    return (FIXTURES / name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "gpu", "version", "cuda"),
    [
        (
            "rtx-2080-super-595",
            ("NVIDIA GeForce RTX 2080 SUPER", "7.5", 8192, "00000000:0C:00.0"),
            "595.71.05",
            "13.2",
        ),
        (
            "h100-mig-590",
            ("NVIDIA H100 80GB HBM3", "9.0", 81559, "00000000:00:09.0"),
            "590.48.01",
            "13.1",
        ),
        (
            "windows-rtx-2080-super-591",
            ("NVIDIA GeForce RTX 2080 SUPER", "7.5", 8192, "00000000:0C:00.0"),
            "591.86",
            "13.1",
        ),
    ],
)
def test_working_machines(
    name: str, gpu: tuple[str, str, int, str], version: str, cuda: str
) -> None:
    found = parse_nvidia_smi(lines(f"{name}.query.txt"), FIELDS, 0, lines(f"{name}.banner.txt"))
    assert (found.driver.state, found.driver.version) == (DriverState.OK, version)
    assert (found.driver.cuda, found.driver.detail) == (cuda, "")
    assert found.gpus == (
        Gpu(
            index=0,
            uuid=ZERO,
            name=gpu[0],
            compute_capability=gpu[1],
            memory_total_mib=gpu[2],
            pci_bus_id=gpu[3],
        ),
    )


@pytest.mark.parametrize(
    ("name", "exit_code", "state"),
    [
        ("driver-not-loaded.txt", 9, DriverState.NOT_LOADED),
        ("wsl-driver-not-loaded.txt", 9, DriverState.NOT_LOADED),
        ("version-mismatch.txt", 18, DriverState.VERSION_MISMATCH),
        ("device-handle.txt", 255, DriverState.GPU_LOST),
        ("device-handle-old.txt", 15, DriverState.GPU_LOST),
        ("no-devices.txt", 6, DriverState.NO_DEVICES),
        ("no-devices.txt", 0, DriverState.NO_DEVICES),
        ("bad-field.txt", 2, DriverState.UNPARSABLE),
    ],
)
def test_failures_from_the_field(name: str, exit_code: int, state: DriverState) -> None:
    found = parse_nvidia_smi(lines(name), FIELDS, exit_code)
    assert (found.driver.state, found.gpus) == (state, ())
    assert lines(name)[0] in found.driver.detail


@pytest.mark.parametrize(
    ("words", "exit_code", "state"),
    [
        ("", 9, DriverState.NOT_LOADED),
        ("", 4, DriverState.NO_PERMISSION),
        ("", 17, DriverState.BLOCKED),
        ("", 124, DriverState.HUNG),
        ("", 137, DriverState.HUNG),
        ("", 0, DriverState.UNPARSABLE),
        ("Segmentation fault", 139, DriverState.UNPARSABLE),
        ("Failed to initialize NVML: Insufficient Permissions", 255, DriverState.NO_PERMISSION),
        ("Failed to initialize NVML: Unknown Error", 255, DriverState.NO_PERMISSION),
        (
            "Failed to initialize NVML: GPU access blocked by the operating system",
            255,
            DriverState.BLOCKED,
        ),
        (
            "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.",
            12,
            DriverState.NO_DRIVER,
        ),
        (
            "/usr/bin/nvidia-smi: error while loading shared libraries: libnvidia-ml.so.1: cannot"
            " open shared object file: No such file or directory",
            127,
            DriverState.NO_DRIVER,
        ),
        (
            "timeout: failed to run command '/usr/bin/nvidia-smi': Exec format error",
            126,
            DriverState.NO_DRIVER,
        ),
        # microsoft/WSL, issue 11755
        (
            "Failed to initialize NVML: N/A\nFailed to properly shut down NVML: N/A",
            255,
            DriverState.BLOCKED,
        ),
        (
            "Unable to determine the device handle for GPU 0000:0B:00.0: Not Found",
            6,
            DriverState.GPU_LOST,
        ),
        # Said of a Tesla K20m, nvidia-smi 2013.
        (
            "Unable to determine the device handle for GPU 0000:82:00.0: Unable to communicate with"
            " GPU because it is insufficiently powered.",
            8,
            DriverState.GPU_LOST,
        ),
        (
            "A device's external power cables are not properly attached",
            255,
            DriverState.GPU_LOST,
        ),
        ("", 8, DriverState.GPU_LOST),
        ("", 10, DriverState.GPU_LOST),
        ("", 11, DriverState.GPU_LOST),
        ("", 16, DriverState.GPU_LOST),
        ("", 28, DriverState.NO_DEVICES),
        ("", -1073741819, DriverState.UNPARSABLE),
    ],
)
def test_failures_by_text_and_exit_code(words: str, exit_code: int, state: DriverState) -> None:
    assert parse_nvidia_smi([words], FIELDS, exit_code).driver.state is state


def test_a_lost_gpu_does_not_hide_the_others() -> None:
    found = parse_nvidia_smi([*lines("device-handle.txt"), LINE], FIELDS, 15)
    assert found.driver.state is DriverState.GPU_LOST
    assert [gpu.index for gpu in found.gpus] == [1]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("ERR!", "GPU 0: ERR!"),
        ("[GPU is lost]", "GPU 0: GPU is lost"),
        ("[GPU requires reset]", "GPU 0: GPU requires reset"),
        ("[Unknown Error]", "GPU 0: Unknown Error"),
    ],
)
def test_a_gpu_that_gives_errors_for_values_is_lost_and_named(mark: str, said: str) -> None:
    dead = LINE.replace("1, ", "0, ", 1).replace("24564", mark)
    found = parse_nvidia_smi([LINE, dead], FIELDS, 0)
    assert (found.driver.state, found.driver.detail) == (DriverState.GPU_LOST, said)
    assert [gpu.memory_total_mib for gpu in found.gpus] == [None, 24564]


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (139, "nvidia-smi crashed (exit code 139)"),
        (192, "nvidia-smi crashed (exit code 192)"),
        (193, ""),
        (255, ""),
        (-1073741819, "nvidia-smi crashed (an access violation: 0xc0000005)"),
        (-5, "nvidia-smi crashed (exit code -5)"),
        (8, "a GPU's power cables are not attached"),
        (10, "the kernel has trouble with a GPU's interrupts"),
        (16, "a GPU requires a reset"),
        (28, "no GPU was found"),
        (124, "nvidia-smi did not end in time"),
        (137, "nvidia-smi did not end in time"),
        (0, ""),
    ],
)
def test_silence_is_explained_by_its_exit_code(exit_code: int, said: str) -> None:
    assert parse_nvidia_smi([], FIELDS, exit_code).driver.detail == said


def test_a_crash_on_windows_is_no_hang() -> None:
    """Its exit code is 0xC0000005 as a signed number."""
    found = gpu_answer.parse_gpus(
        {"smi": ["C:/nvidia-smi.exe"], "exit": ["-1073741819"], "ended": ["0"]}
    )
    assert found.driver.state is DriverState.UNPARSABLE
    assert "crashed" in found.driver.detail


def test_a_gpu_without_a_name_is_left_out() -> None:
    dead = LINE.replace("1, ", "0, ", 1).replace("NVIDIA GeForce RTX 4090", "ERR!")
    assert [gpu.index for gpu in parse_nvidia_smi([dead, LINE], FIELDS, 0).gpus] == [1]


def test_a_warning_beside_working_gpus_is_a_detail() -> None:
    found = parse_nvidia_smi(
        [LINE, "WARNING: infoROM is corrupted at gpu 0000:01:00.0"], FIELDS, 14
    )
    assert found.driver.state is DriverState.OK
    assert "infoROM" in found.driver.detail


def test_an_old_driver_tells_no_capability() -> None:
    found = parse_nvidia_smi([LINE.replace(" 8.9,", "")], OLD_FIELDS, 0)
    assert found.driver.version == "580.95.05"
    assert found.gpus[0].name == "NVIDIA GeForce RTX 4090"
    assert found.gpus[0].compute_capability == "8.9"


@pytest.mark.parametrize("name", ["Evil, GPU", "9, 9, 9, 9", 'quo"te; $(reboot)', "ü" * 96])
def test_any_name_is_a_name(name: str) -> None:
    found = parse_nvidia_smi([LINE.replace("NVIDIA GeForce RTX 4090", name)], FIELDS, 0)
    assert (found.gpus[0].name, found.gpus[0].compute_capability) == (name, "8.9")


@pytest.mark.parametrize("missing", ["[N/A]", "N/A", "(N/A)", "[Not Supported]", ""])
def test_what_is_not_there_is_none(missing: str) -> None:
    line = f"0, {missing}, {missing}, Tesla T4, {missing}, {missing}, 515.105.01"
    found = parse_nvidia_smi([line], FIELDS, 0)
    gpu = found.gpus[0]
    assert (gpu.uuid, gpu.pci_bus_id, gpu.memory_total_mib) == (None, None, None)
    assert found.driver.state is DriverState.OK


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (lines("jetson-orin-540.banner.txt")[2], "12.6"),
        (lines("windows-gtx-1060-536.banner.txt")[1], "12.2"),
        ("| NVIDIA-SMI 610.10   KMD Version: 610.10   CUDA UMD Version: 13.3 |", "13.3"),
        ("CUDA Version        : 13.1", "13.1"),
        ("| NVIDIA-SMI 390.116                Driver Version: 390.116             |", None),
        ("CUDA Version: N/A", None),
    ],
)
def test_cuda_ceiling(line: str, version: str | None) -> None:
    assert cuda_ceiling([line]) == version


field = st.text(max_size=12) | st.sampled_from(["0", "1", "ERR!", "[N/A]", "8.9", "580.95.05"])


@given(
    st.lists(st.lists(field, max_size=9).map(", ".join) | st.text(), max_size=6),
    st.sampled_from([FIELDS, OLD_FIELDS]),
    st.integers(),
    st.lists(st.text()),
)
def test_nothing_makes_it_raise(
    query: list[str], fields: list[str], code: int, banner: list[str]
) -> None:
    found = parse_nvidia_smi(query, fields, code, banner)
    assert len(found.gpus) <= len(query)
    assert found.driver.state is not DriverState.OK or found.gpus


@pytest.mark.parametrize("piece", ["0, ", "CUDA Version: 1", "9" * 1000, "a", " "])
def test_time_is_linear(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    parse_nvidia_smi([text], FIELDS, 0, [text])
    assert time.process_time() - started < 2


def test_every_state_says_what_it_means_and_what_mends_it() -> None:
    assert set(EXPLANATIONS) == set(DriverState)
    well = {DriverState.OK, DriverState.NO_GPU}
    assert {state for state, words in EXPLANATIONS.items() if not words.repair} == well
