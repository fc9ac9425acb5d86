"""The choice: hosts with the answer that the sources of the matrix give, and what always holds.

Every expected answer was worked out by hand from NVIDIA's and PyTorch's tables; ``why`` says how.
"""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from fleetwheel.choice import choose as choosing
from fleetwheel.choice.answer import answer, exact
from fleetwheel.choice.candidates import stock_of
from fleetwheel.choice.choose import SHOWN, Choice, Refusal
from fleetwheel.choice.request import Request
from fleetwheel.choice.target import INTEGRATED, Blocker, Target, read_target
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Gpu, Profile, Python
from fleetwheel.matrix.matrix import Matrix, load_matrix
from fleetwheel.matrix.variant import CPU, Variant
from fleetwheel.sources.wheel import Source, Wheel, pypi_torch

MATRIX = load_matrix()
TORCH_ONLY = Request(packages=())


def choose(
    profile: Profile, request: Request, matrix: Matrix, wheels: Sequence[Wheel] | None
) -> Choice | Refusal:
    """Return what a host gets, as ``fleetwheel choose`` and a deploy decide it."""
    return answer(profile, request, matrix, None if wheels is None else stock_of(wheels))


def target_of(profile: Profile, request: Request = TORCH_ONLY) -> Target:
    """Return the target of a host that nothing blocks, with the exact version of its driver."""
    target = read_target(profile, request)
    assert isinstance(target, Target), target
    return exact(target, profile)


def python(minor: str) -> Python:
    return Python(
        path=f"/usr/bin/python{minor}",
        version=minor.rstrip("t") + ".3",
        free_threaded=minor.endswith("t"),
    )


def machine(
    *gpus: str,
    driver: str | None = None,
    os: Any = "linux",
    arch: str = "x86_64",
    glibc: str | None = "2.35",
    pythons: Sequence[str] = ("3.12",),
    state: DriverState | None = None,
    wsl: bool = False,
    cuda: str | None = None,
) -> Profile:
    """Return a host; a GPU is a name, or a capability where it starts with a digit."""
    return Profile(
        os=os,
        arch=arch,
        glibc=glibc if os == "linux" else None,
        wsl=wsl,
        pythons=tuple(python(minor) for minor in pythons),
        driver=Driver(
            state=state or (DriverState.OK if gpus else DriverState.NO_GPU),
            version=driver,
            cuda=cuda,
        ),
        gpus=tuple(
            Gpu(index=index, name="GPU", compute_capability=gpu)
            if gpu[0].isdigit()
            else Gpu(index=index, name=gpu)
            for index, gpu in enumerate(gpus)
        ),
    )


def arm(*gpus: str, driver: str | None = None, **more: Any) -> Profile:
    return machine(*gpus, driver=driver, arch="aarch64", **more)


def windows(*gpus: str, driver: str | None = None, **more: Any) -> Profile:
    return machine(*gpus, driver=driver, os="windows", **more)


def chosen(found: Choice | Refusal) -> str:
    return f"{found.torch}+{found.variant}" if isinstance(found, Choice) else "refused"


def words(found: Choice | Refusal) -> str:
    more = found.unlocks if isinstance(found, Refusal) else ()
    return "\n".join([*found.reasons, *more])


SERVED = [
    # NVIDIA, Linux x86_64
    (machine("A100", driver="550.54.15"), "2.14.1+cu126", "2.15 has CUDA 13 only, from 580 on"),
    (machine("A100", driver="525.60.13"), "2.14.1+cu126", "exactly the floor of CUDA 12"),
    (machine("A100", driver="525.60.12"), "2.7.1+cu118", "below that floor: CUDA 11, last in 2.7"),
    (machine("A100", driver="580.65.06"), "2.15.0+cu132", "exactly the floor of CUDA 13"),
    (machine("A100", driver="580.65.05"), "2.14.1+cu126", "below the floor of CUDA 13"),
    (machine("H100", driver="580.95.05"), "2.15.0+cu132", "minor-version compatibility within 13"),
    (machine("H100", driver="535.104.05"), "2.14.1+cu126", "has code for 9.0, driver from 525"),
    (machine("H100", driver="520.61.05"), "2.7.1+cu118", "cu118 has code for 9.0"),
    (machine("RTX 4090", driver="560.35.03"), "2.14.1+cu126", "8.9 runs code for 8.6"),
    (machine("RTX 4090", driver="595.45.04"), "2.15.0+cu132", "the full driver of CUDA 13.2"),
    (machine("L4", driver="535.54.03"), "2.14.1+cu126", "8.9 runs code for 8.6"),
    (machine("L40S", driver="580.82.07"), "2.15.0+cu132", "8.9 runs code for 8.6"),
    (machine("RTX 3090", driver="470.256.02"), "2.7.1+cu118", "470 runs CUDA 11 only"),
    (machine("A10", driver="510.108.03"), "2.7.1+cu118", "510 runs CUDA 11 only"),
    (machine("T4", driver="450.80.02"), "2.7.1+cu118", "exactly the floor of CUDA 11"),
    (machine("T4", driver="580.95.05"), "2.15.0+cu132", "7.5 is the oldest in CUDA 13 builds"),
    (machine("T4", driver="530.30.02"), "2.14.1+cu126", "minor-version compatibility within 12"),
    (machine("V100", driver="580.95.05"), "2.14.1+cu126", "7.0 is in no CUDA 13 build"),
    (machine("V100", driver="535.183.01"), "2.14.1+cu126", "2.14 is the last with CUDA 12"),
    (machine("P100", driver="580.95.05"), "2.14.1+cu126", "6.0 is in cu126 to the last"),
    (machine("GTX 1080", driver="580.95.05"), "2.14.1+cu126", "6.1 runs 6.0, which cu126 has"),
    (machine("GTX 1080 Ti", driver="535.183.01"), "2.14.1+cu126", "the same on an older driver"),
    (machine("Tesla M60", driver="550.54.14"), "2.14.1+cu126", "5.2 runs code for 5.0"),
    (machine("GTX 750 Ti", driver="470.256.02"), "2.7.1+cu118", "5.0, and CUDA 11 only"),
    (machine("Tesla K80", driver="470.256.02"), "2.3.1+cu118", "cuDNN 9, from 2.4 on, has no 3.7"),
    (machine("RTX 5090", driver="570.86.16"), "2.13.0+cu129", "the last CUDA 12 with 12.0"),
    (machine("RTX 5090", driver="580.95.05"), "2.15.0+cu132", "12.0 is in cu132"),
    (machine("RTX PRO 6000 Blackwell", driver="575.57.08"), "2.13.0+cu129", "needs CUDA 12"),
    (machine("B200", driver="570.124.06"), "2.13.0+cu129", "10.0 is in cu129"),
    (machine("B300", driver="580.95.05"), "2.15.0+cu132", "10.3 runs code for 10.0"),
    # several GPUs
    (machine("V100", "RTX 5090", driver="570.86.16"), "2.10.0+cu128", "last with 7.0 and 12.0; "
     "570 supports 12.8 fully, 12.9 not"),
    (machine("V100", "RTX 5090", driver="580.95.05"), "2.10.0+cu129", "580 supports 12.9 fully"),
    (machine("GTX 1080", "RTX 3090", driver="580.95.05"), "2.14.1+cu126", "cu126 has both"),
    (machine("RTX 2080 Ti", "RTX 5090", driver="580.95.05"), "2.15.0+cu132", "7.5 and 12.0"),
    (machine("Tesla K80", "A100", driver="470.256.02"), "2.3.1+cu118", "cuDNN 8 has 3.7 and 8.0"),
    (machine("A100", "H100", "L4", driver="550.54.15"), "2.14.1+cu126", "8.0, 9.0 and 8.9"),
    # interpreters
    (machine("H100", driver="580.95.05", pythons=["3.10"]), "2.14.1+cu130", "2.15 begins with "
     "3.11; 580 supports 13.0 fully, 13.2 not"),
    (machine("H100", driver="595.45.04", pythons=["3.10"]), "2.14.1+cu132", "595 supports 13.2"),
    (machine("H100", driver="580.95.05", pythons=["3.9"]), "2.8.0+cu129", "the last for 3.9"),
    (machine("H100", driver="580.95.05", pythons=["3.8"]), "2.4.1+cu124", "the last for 3.8"),
    (machine("H100", driver="580.95.05", pythons=["3.15"]), "2.15.0+cu132", "3.15 is new in it"),
    (machine("H100", driver="580.95.05", pythons=["3.9", "3.13"]), "2.15.0+cu132", "takes 3.13"),
    (machine("H100", driver="580.95.05", pythons=["3.9", "3.14t"]), "2.8.0+cu129", "free-threaded "
     "only when asked for"),
    # glibc
    (machine("H100", driver="580.95.05", glibc="2.27"), "2.6.0+cu124", "2.28 from 2.7 on, and "
     "for 2.6.0+cu126"),
    (machine("H100", driver="580.95.05", glibc="2.17"), "2.6.0+cu124", "CentOS 7"),
    (machine("H100", driver="580.95.05", glibc="2.28"), "2.15.0+cu132", "exactly what 2.15 needs"),
    # no GPU
    (machine(), "2.15.0+cpu", "no GPU"),
    (machine(glibc="2.17"), "2.6.0+cpu", "the last that loads on CentOS 7"),
    (machine(pythons=["3.8"]), "2.4.1+cpu", "the last for 3.8"),
    (arm(), "2.15.0+cpu", "no GPU"),
    (arm(glibc="2.17"), "2.5.1+cpu", "aarch64 needs 2.28 from 2.6 on"),
    (windows(), "2.15.0+cpu", "no GPU"),
    (windows(arch="aarch64"), "2.15.0+cpu", "Windows on Arm has CPU wheels"),
    (machine(os="macos", arch="aarch64"), "2.15.0+cpu", "no CUDA platform"),
    (machine(os="macos", arch="x86_64", pythons=["3.11"]), "2.2.2+cpu", "the last for Intel"),
    # Linux aarch64
    (arm("GH200", driver="580.95.05"), "2.15.0+cu132", "9.0"),
    (arm("GH200", driver="550.54.15"), "2.14.1+cu126", "cu126 for aarch64 has 8.0 and 9.0"),
    (arm("GB200", driver="580.95.05"), "2.15.0+cu132", "10.0"),
    (arm("GB10", driver="580.95.05"), "2.15.0+cu132", "12.1 runs code for 12.0"),
    (arm("GB10", driver="575.57.08"), "2.13.0+cu129", "the last CUDA 12 with 12.0"),
    (arm("NVIDIA Thor", driver="595.78", cuda="13.2"), "2.15.0+cu132", "11.0, JetPack 7.2"),
    (arm("NVIDIA Thor", driver="580.00", cuda="13.0"), "2.14.1+cu130", "580.00 is JetPack 7.0's"),
    (arm("NVIDIA Thor", driver="580.00"), "2.14.1+cu130", "the branch tells, not the number"),
    (arm("Orin", driver="595.78", cuda="13.2"), "2.15.0+cu132", "8.7 runs 8.0 from CUDA 13.2 on"),
    # Windows
    (windows("RTX 4090", driver="581.15"), "2.15.0+cu132", "580 or newer"),
    (windows("RTX 4090", driver="566.36"), "2.14.1+cu126", "528.33 or newer"),
    (windows("RTX 5090", driver="572.61"), "2.11.0+cu128", "no cu129 on Windows after 2.9.0"),
    (windows("GTX 1080", driver="581.15"), "2.14.1+cu126", "6.1 is in it by itself"),
    (windows("GTX 1080", "RTX 5090", driver="581.15"), "2.8.0+cu128", "on Windows cu128 of 2.8 "
     "still has 6.1"),
    (windows("GTX 750 Ti", "RTX 5090", driver="581.15"), "2.7.1+cu128", "and that of 2.7 has 5.0"),
    (windows("RTX 3060", driver="528.33"), "2.14.1+cu126", "exactly the Windows floor of CUDA 12"),
    (windows("RTX 3060", driver="527.41"), "2.7.1+cu118", "below it, though above that of Linux"),
    (windows("RTX 3060", driver="452.39"), "2.7.1+cu118", "exactly the Windows floor of CUDA 11"),
    # WSL: Linux wheels, the driver of Windows
    (machine("RTX 4080 SUPER", driver="591.86", wsl=True), "2.15.0+cu132", "580 or newer"),
    (machine("RTX 3060", driver="527.41", wsl=True), "2.7.1+cu118", "Windows numbers count"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "expected", "why"), SERVED)
def test_the_newest_torch_that_runs(profile: Profile, expected: str, why: str) -> None:
    assert chosen(choose(profile, TORCH_ONLY, MATRIX, None)) == expected, why


REFUSED = [
    (machine("GTX 1080", "RTX 5090", driver="580.95.05"),
     "leaving Blackwell (12.0) out unlocks 2.14.1+cu126",
     "no Linux build has both 6.x and 12.0"),
    (machine("GTX 1080", "RTX 5090", driver="580.95.05"),
     "leaving Pascal (6.1) out unlocks 2.15.0+cu132",
     "and the other one"),
    (machine("T4", driver="440.33.01"), "driver 450.80.02 or newer unlocks 2.7.1+cu118",
     "older than the floor of CUDA 11"),
    (machine("T4", driver="440.33.01"), "driver 580.65.06 or newer unlocks 2.15.0+cu132",
     "the furthest that a driver leads"),
    (machine("RTX 4090", driver="440.33.01"), "does not know Ada Lovelace (8.9)",
     "Ada came with 520"),
    (machine("GTX 1080", driver="590.44.01"), "a driver of branch 580 unlocks 2.14.1+cu126",
     "Pascal ended with 580"),
    (windows("GTX 1080", driver="591.86"), "a driver of branch 580 unlocks 2.14.1+cu126",
     "R580 on Windows goes up to 582"),
    (machine("GTX 1080", driver="440.33.01"), "driver 525.60.13 or newer (but no newer than "
     "branch 580) unlocks 2.14.1+cu126", "the furthest within its last branch"),
    (machine("V100", driver="595.45.04"), "Volta ended with branch 580", "so did Volta"),
    (machine("Tesla K80", driver="535.54.03"), "Kepler ended with branch 470", "Kepler earlier"),
    (machine("Tesla K40", driver="470.256.02"), "has no code for Kepler (3.5)", "3.7 is oldest"),
    (machine("GTX 680", driver="470.256.02"), "has no code for Kepler (3.0)", "too old"),
    (machine("GTX 1080", driver="580.95.05", pythons=["3.15"]), "Python 3.14 unlocks 2.14.1+cu126",
     "3.15 begins with 2.15, which has no 6.x"),
    (machine("H100", driver="580.95.05", pythons=["3.7"]), "Python 3.14 unlocks 2.15.0+cu132",
     "2.0 began with 3.8; only 2.15 serves 3.15, little else does"),
    (machine("H100", driver="580.95.05", pythons=["3.14t"]), "Python 3.14 unlocks",
     "free-threaded was not asked for"),
    (machine("H100", driver="580.95.05", pythons=[]), "the host has no Python", "none at all"),
    (machine(pythons=[]).model_copy(update={"problems": ("/usr/bin/python3 does not answer",)}),
     "(it has none; /usr/bin/python3 does not answer)", "the host is very busy"),
    (windows("H100", driver="581.15", pythons=[]), "install one for all users, from python.org",
     "nothing here brings one to Windows"),
    (windows("H100", driver="581.15", pythons=[]).model_copy(update={"problems": (
     r"C:\P\python.exe does not run (exit code 1)",)}), "the Python that is there is not usable",
     "a second one is no cure"),
    (machine("RTX 5090", driver="580.95.05", glibc="2.27"),
     "a distribution with glibc 2.28 or newer unlocks 2.15.0+cu132", "12.0 begins with 2.7"),
    (machine("H100", driver="580.95.05", glibc="2.12"), "glibc 2.17 or newer", "CentOS 6"),
    (machine("H100", driver="580.95.05", glibc=None), "needs glibc, which", "musl"),
    (machine(glibc=None), "needs glibc", "musl, no GPU"),
    (arm("T4G", driver="580.95.05"), "has no code for Turing (7.5)", "aarch64 begins with 8.0"),
    (arm("Orin", driver="540.4.0", cuda="12.6"), "a JetPack with CUDA 13.2 or newer unlocks "
     "2.15.0+cu132", "before CUDA 13.2 8.7 ran nothing but its own code"),
    (arm("Orin", driver="540.4.0", cuda="12.6"), "Jetson AI Lab has wheels", "NVIDIA's own"),
    (machine("Quadro Unheard", driver="580.95.05"), "is not known", "no capability"),
    (machine("8.9", driver="five"), "cannot be read", "a driver that is no version"),
    (machine(state=DriverState.NO_DRIVER), "driver no-driver", "only seen on the bus"),
    (machine("8.9"), "driver no-driver", "a GPU without a driver version"),
    (machine(arch="riscv64"), "there are no CPU wheels for Linux riscv64", "no such platform"),
    (windows("H100", driver="581.15", arch="aarch64"), "there are no CUDA wheels for Windows",
     "CPU only there"),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "expected", "why"), REFUSED)
def test_refusals_say_what_would_change_them(profile: Profile, expected: str, why: str) -> None:
    found = choose(profile, TORCH_ONLY, MATRIX, None)
    assert isinstance(found, Refusal), why
    assert expected in words(found), why


@pytest.mark.parametrize("state", sorted(set(DriverState) - {DriverState.OK, DriverState.NO_GPU}))
@pytest.mark.parametrize("accelerator", ["auto", "cuda", "cu126"])
def test_a_driver_that_does_not_work_is_refused(state: DriverState, accelerator: str) -> None:
    profile = machine("RTX 4090", driver="580.95.05", state=state)
    found = choose(profile, Request(accelerator=accelerator), MATRIX, None)
    assert isinstance(found, Refusal)
    assert state.value in found.reasons[0]
    assert "accelerator: cpu takes 2.15.0+cpu" in found.unlocks
    asked = choose(profile, Request(accelerator="cpu"), MATRIX, None)
    assert chosen(asked) == "2.15.0+cpu"


H100 = machine("H100", driver="580.95.05")
PINNED = [
    (H100, Request(torch="2.14.1"), "2.14.1+cu130"),
    (H100, Request(torch="2.14.0"), "2.14.0+cu130"),
    (H100, Request(torch="2.12"), "2.12.1+cu130"),
    (H100, Request(torch="2.9.*"), "2.9.1+cu130"),
    (H100, Request(torch=">=2.10,<2.13"), "2.12.1+cu130"),
    (H100, Request(torch="~=2.10.0"), "2.10.0+cu130"),
    (H100, Request(torch="!=2.15.0"), "2.14.1+cu130"),
    (H100, Request(torch="2.14.1+cu126"), "2.14.1+cu126"),
    (H100, Request(torch="==2.14.1+cu126", accelerator="cuda"), "2.14.1+cu126"),
    (H100, Request(accelerator="cuda"), "2.15.0+cu132"),
    (H100, Request(accelerator="cu126"), "2.14.1+cu126"),
    (H100, Request(accelerator="cu118"), "2.7.1+cu118"),
    (H100, Request(accelerator="cpu"), "2.15.0+cpu"),
    (H100, Request(packages=("torchaudio",)), "2.15.0+cu132"),
    (H100, Request(packages=("torchvision==0.28.0",)), "2.13.0+cu130"),
    (H100, Request(packages=("torchvision<0.29", "torchaudio")), "2.13.0+cu130"),
    (H100, Request(torch="2.15.0+cu134"), "refused"),
    (H100, Request(torch=">=2.14,<2.10"), "refused"),
    (H100, Request(torch="1.13.1"), "refused"),
    (H100, Request(torch="2.15", accelerator="cu126"), "refused"),
    (H100, Request(torch="2.14.1+cu126", accelerator="cu130"), "refused"),
    (H100, Request(torch="2.14.1+cpu"), "refused"),
    (H100, Request(torch="2.12", packages=("torchaudio",)), "2.12.1+cu130"),
    (machine("V100", driver="580.95.05"), Request(packages=("torchaudio",)), "2.11.0+cu126"),
    (
        machine("V100", driver="580.95.05"),
        Request(torch="2.12", packages=("torchaudio",)),
        "refused",
    ),
    (machine(), Request(torch="2.12", packages=("torchaudio",)), "refused"),
    (H100, Request(torch="2.13", packages=("torchvision==0.29.0",)), "refused"),
    (H100, Request(python="3.11"), "refused"),
    (machine(), Request(accelerator="cu126"), "refused"),
    (machine(), Request(torch="2.14.1+cu126"), "refused"),
    (machine(), Request(accelerator="cuda"), "refused"),
    (machine(), Request(torch="2.14.1+cu126", accelerator="cpu"), "refused"),
    (windows("RTX 5090", driver="581.15"), Request(torch="2.7.1+cu118"), "refused"),
    (windows("RTX 5090", driver="520.05"), Request(torch="2.7.1+cu118"), "refused"),
    (arm("GH200", driver="580.95.05"), Request(torch="2.5", accelerator="cuda"), "refused"),
]


@pytest.mark.parametrize(("profile", "request_", "expected"), PINNED)
def test_pins(profile: Profile, request_: Request, expected: str) -> None:
    found = choose(profile, request_, MATRIX, None)
    assert chosen(found) == expected
    assert isinstance(found, Choice) or found.reasons


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(torch="2.15", accelerator="cu126"), "the torch pin out unlocks 2.14.1+cu126"),
        (Request(torch="2.15", accelerator="cu126"), "leaving cu126 out unlocks 2.15.0+cu132"),
        (Request(torch="2.12", accelerator="cu126", packages=("torchaudio",)),
         "leaving torchaudio out unlocks 2.12.1"),
        (Request(python="3.11"), "leaving the python pin out unlocks 2.15.0+cu132"),
        (Request(python="3.11"), "Python 3.11 unlocks 2.15.0+cu132"),
        (Request(torch="2.14.1+cu126", accelerator="cu130"), "cu126 and accelerator for cu130"),
        (Request(torch="2.14.1+cpu"), "torch asks for CPU wheels on a host with an NVIDIA GPU"),
        (Request(torch="1.13.1"), "matrix begins with 2.0.0 and ends with 2.15.0"),
        (Request(accelerator="cu999"), "there are no cu999 wheels for Linux x86_64"),
        (Request(gpus=(7,)), "the host has no GPU 7"),
        (Request(gpus=()), "the list is empty"),
    ],
)  # fmt: skip
def test_pins_that_leave_nothing(request_: Request, said: str) -> None:
    found = choose(H100, request_, MATRIX, None)
    assert isinstance(found, Refusal)
    assert said in words(found)


@pytest.mark.parametrize(
    "request_",
    [
        Request(torch="newest"),
        Request(torch="2.x"),
        Request(torch="2.14.1+rocm6.4"),
        Request(torch=">=2.14 <2.15"),
        Request(accelerator="gpu"),
        Request(accelerator="12.6"),
        Request(accelerator="cu12"),
        Request(python="three"),
        Request(python="3.11.7"),
        Request(packages=("torch==2.13.0",)),
        Request(packages=("numpy=2",)),
        Request(packages=("torchvision @ https://example.org/a.whl",)),
        Request(packages=("torchvision[gdown]",)),
    ],
)
def test_a_request_that_cannot_be_read_is_an_error(request_: Request) -> None:
    with pytest.raises(FleetwheelError, match=r": (write|.*none of|.*write|.*put the wheel)"):
        choose(H100, request_, MATRIX, None)


def test_gpus_are_named_by_index_uuid_or_name() -> None:
    both = machine("GTX 1080", "NVIDIA GeForce RTX 5090", driver="580.95.05")
    gpus = (both.gpus[0], both.gpus[1].model_copy(update={"uuid": "GPU-5090"}))
    both = both.model_copy(update={"gpus": gpus})
    for wanted in (1, "GPU-5090", "RTX 5090", "NVIDIA GeForce RTX 5090"):
        assert chosen(choose(both, Request(gpus=(wanted,)), MATRIX, None)) == "2.15.0+cu132"
    assert chosen(choose(both, Request(gpus=(0,)), MATRIX, None)) == "2.14.1+cu126"
    assert chosen(choose(both, Request(gpus=(0, 1)), MATRIX, None)) == "refused"


def test_three_kinds_of_gpu_can_be_served_one_by_one() -> None:
    three = machine("GTX 1080", "RTX 5090", "GTX 1080", "Tesla K40", driver="470.256.02")
    found = choose(three, TORCH_ONLY, MATRIX, None)
    assert "serving Pascal (6.1) alone unlocks 2.7.1+cu118" in words(found)


def test_a_choice_carries_its_packages_and_reasons() -> None:
    request = Request(packages=("torchvision", "numpy>=2", "scipy"))
    found = choose(machine("A100", driver="550.54.15"), request, MATRIX, None)
    assert isinstance(found, Choice)
    assert found.packages == {"torch": "2.14.1+cu126", "torchvision": "0.29.1+cu126"}
    assert found.requirements == ("numpy>=2", "scipy")
    assert found.python.minor == "3.12"
    assert [f"{r.torch}+{r.variant}" for r in found.rejected] == ["2.15.0+cu132", "2.14.1+cu130"]
    assert "2.15.0+cu132 needs driver 580.65.06 or newer" in found.reasons[0]
    assert "runs CUDA 12.6 by minor-version compatibility" in found.reasons[1]
    assert "Linux x86_64 with glibc 2.35, Python 3.12" in found.reasons[2]


def test_reasons_name_the_pin_and_doubts() -> None:
    pinned = choose(H100, Request(torch="2.9", accelerator="cu130"), MATRIX, None)
    assert pinned.reasons[0] == "newest torch that 2.9 allows"
    better = machine("V100", driver="580.95.05")
    assert choose(better, Request(torch="2.14.1"), MATRIX, None).reasons[0] == (
        "newest torch that 2.14.1 allows"
    ), "other variants of the same release are no newer torch"
    doubtful = choose(windows("RTX 4090", driver="581.15"), TORCH_ONLY, MATRIX, None)
    assert "inferred" in doubtful.reasons[-1]
    assert "inferred" not in words(choose(H100, TORCH_ONLY, MATRIX, None))


def test_rejected_alternatives_are_few() -> None:
    many = [
        wheel("2.14.1+cu126", Source(name=f"mirror {n}", url=f"/{n}", layout="flat"), tag="cp313")
        for n in range(2 * SHOWN)
    ]
    assert len(choose(H100, TORCH_ONLY, MATRIX, many).rejected) == SHOWN


def test_macos_wheels_have_no_label() -> None:
    found = choose(machine(os="macos", arch="aarch64"), TORCH_ONLY, MATRIX, None)
    assert isinstance(found, Choice)
    assert found.packages == {"torch": "2.15.0"}


# What the sources hold

OFFICIAL = Source(
    name="official cu126", url="https://example.org/whl/cu126", variant=Variant.parse("cu126")
)
OFFICIAL_130 = Source(
    name="official cu130", url="https://example.org/whl/cu130", variant=Variant.parse("cu130")
)
OFFICIAL_CPU = Source(
    name="official cpu", url="https://example.org/whl/cpu", variant=Variant.parse("cpu")
)
PYPI = Source(name="pip", url="https://example.org/simple")
FOLDER = Source(name="pip find-links", url="/wheels", layout="flat")
PLATFORM = "manylinux_2_28_x86_64"


def wheel(
    version: str,
    source: Source,
    tag: str = "cp312",
    project: str = "torch",
    platform: str = PLATFORM,
    build: str = "",
    size: int | None = None,
) -> Wheel:
    filename = f"{project}-{version}{build and '-' + build}-{tag}-{tag}-{platform}.whl"
    return Wheel(
        filename=filename,
        url=f"{source.url}/{filename}",
        sha256=pypi_torch().get(filename) if source == PYPI else None,
        source=source,
        size=size,
    )


GTX_1080 = machine("GTX 1080", driver="580.95.05")


@pytest.mark.parametrize(
    ("profile", "wheels", "expected"),
    [
        (GTX_1080, [wheel("2.14.1+cu126", OFFICIAL)], "2.14.1+cu126"),
        # the index is behind: what it holds decides
        (GTX_1080, [wheel("2.13.0+cu126", OFFICIAL)], "2.13.0+cu126"),
        # PyPI's 2.14.1 for Linux x86_64 is CUDA 13.0, which has no 6.1
        (GTX_1080, [wheel("2.14.1", PYPI), wheel("2.13.0+cu126", OFFICIAL)], "2.13.0+cu126"),
        (H100, [wheel("2.14.1", PYPI)], "2.14.1+cu130"),
        # an unlabelled wheel in an official index is of its variant
        (GTX_1080, [wheel("2.14.1", OFFICIAL)], "2.14.1+cu126"),
        # PyPI's wheels for Windows are CPU
        (windows(), [wheel("2.14.1", PYPI, platform="win_amd64")], "2.14.1+cpu"),
        (windows("RTX 4090", driver="581.15"), [wheel("2.14.1", PYPI, platform="win_amd64")],
         "refused"),
        # a build that may not be published is taken where a source has it
        (H100, [wheel("2.15.0+cu134", FOLDER)], "2.15.0+cu134"),
        # other platforms, interpreters and accelerators do not count
        (H100, [wheel("2.14.1+cu130", FOLDER, platform="win_amd64")], "refused"),
        (H100, [wheel("2.14.1+cu130", FOLDER, tag="cp313")], "refused"),
        (H100, [wheel("2.14.1+rocm6.4", FOLDER)], "refused"),
        (H100, [wheel("2.14.1+cpu", FOLDER)], "refused"),
        # a release or a variant that the matrix does not know is not risked
        (H100, [wheel("2.99.0", PYPI), wheel("2.14.1", PYPI)], "2.14.1+cu130"),
        (H100, [wheel("2.14.1+cu128", FOLDER)], "refused"),
        # pre-releases only when pinned
        (H100, [wheel("2.15.0rc1+cu132", FOLDER), wheel("2.14.1", PYPI)], "2.14.1+cu130"),
        # plain linux tags promise no glibc, the matrix knows: 2.6.0+cu124 needs 2.17
        (machine("H100", driver="580.95.05", glibc="2.17"),
         [wheel("2.6.0+cu124", FOLDER, platform="linux_x86_64")], "2.6.0+cu124"),
        (machine("H100", driver="580.95.05", glibc="2.12"),
         [wheel("2.6.0+cu124", FOLDER, platform="linux_x86_64")], "refused"),
        (machine("H100", driver="580.95.05", glibc="2.27"),
         [wheel("2.15.0+cu132", FOLDER, platform=PLATFORM)], "refused"),
        (H100, [], "refused"),
    ],
)  # fmt: skip
def test_what_the_sources_hold_decides(
    profile: Profile, wheels: list[Wheel], expected: str
) -> None:
    assert chosen(choose(profile, TORCH_ONLY, MATRIX, wheels)) == expected


def test_a_pre_release_is_taken_when_pinned() -> None:
    wheels = [wheel("2.15.0rc1+cu132", FOLDER), wheel("2.14.1", PYPI)]
    found = choose(H100, Request(torch="2.15.0rc1"), MATRIX, wheels)
    assert isinstance(found, Choice)
    assert found.packages["torch"] == "2.15.0rc1+cu132"


def test_the_family_comes_from_one_source() -> None:
    request = Request(packages=("torchvision", "numpy"))
    wheels = [
        wheel("2.15.0", PYPI),
        wheel("2.14.1+cu130", FOLDER),
        wheel("0.29.1+cu130", FOLDER, project="torchvision"),
    ]
    found = choose(H100, request, MATRIX, wheels)
    assert isinstance(found, Choice)
    assert found.packages == {"torch": "2.14.1+cu130", "torchvision": "0.29.1+cu130"}
    assert found.source == FOLDER
    assert "has no torchvision 0.29.2 beside it in pip" in found.rejected[0].reason


def test_partners_keep_their_label() -> None:
    """A CPU torchvision beside a CUDA torch in one directory is no partner."""
    wheels = [wheel("2.14.1+cu130", FOLDER), wheel("0.29.1+cpu", FOLDER, project="torchvision")]
    assert isinstance(choose(H100, Request(packages=("torchvision",)), MATRIX, wheels), Refusal)


def test_torchvision_of_the_stable_abi_goes_with_several_releases() -> None:
    wheels = [wheel("2.15.0", PYPI), wheel("0.29.1", PYPI, project="torchvision")]
    found = choose(H100, Request(packages=("torchvision",)), MATRIX, wheels)
    assert isinstance(found, Choice)
    assert found.packages == {"torch": "2.15.0", "torchvision": "0.29.1"}


def test_torchvision_for_any_interpreter() -> None:
    """0.29.2 is tagged py3-none for a platform."""
    vision = wheel("0.29.2", PYPI, tag="py3", project="torchvision").model_copy(
        update={"filename": f"torchvision-0.29.2-py3-none-{PLATFORM}.whl"}
    )
    wheels = [wheel("2.15.0", PYPI), wheel("0.29.1", PYPI, project="torchvision"), vision]
    found = choose(H100, Request(packages=("torchvision",)), MATRIX, wheels)
    assert isinstance(found, Choice)
    assert found.packages == {"torch": "2.15.0", "torchvision": "0.29.2"}


def test_the_first_source_wins_among_equals() -> None:
    wheels = [wheel("2.14.1+cu126", FOLDER), wheel("2.14.1+cu126", OFFICIAL)]
    for order in (wheels, wheels[::-1]):
        found = choose(GTX_1080, TORCH_ONLY, MATRIX, order)
        assert isinstance(found, Choice)
        assert found.source == order[0].source


def test_the_variant_comes_before_the_source() -> None:
    wheels = [wheel("2.14.1+cu126", OFFICIAL), wheel("2.14.1+cu130", OFFICIAL_130)]
    assert chosen(choose(H100, TORCH_ONLY, MATRIX, wheels)) == "2.14.1+cu130"


def test_the_newest_interpreter_with_a_wheel_is_taken() -> None:
    host = machine("H100", driver="580.95.05", pythons=["3.11", "3.13", "3.14"])
    wheels = [wheel("2.14.1", PYPI, tag="cp311"), wheel("2.14.1", PYPI, tag="cp313")]
    found = choose(host, TORCH_ONLY, MATRIX, wheels)
    assert isinstance(found, Choice)
    assert found.python.minor == "3.13"
    pinned = choose(host, Request(packages=(), python="3.11"), MATRIX, wheels)
    assert isinstance(pinned, Choice)
    assert pinned.python.minor == "3.11"


def test_free_threaded_python_is_taken_when_pinned() -> None:
    host = machine("H100", driver="580.95.05", pythons=["3.14", "3.14t"])
    name = f"torch-2.14.1-cp314-cp314t-{PLATFORM}.whl"
    free = wheel("2.14.1", PYPI, tag="cp314").model_copy(
        update={"filename": name, "sha256": pypi_torch()[name]}
    )
    assert isinstance(choose(host, TORCH_ONLY, MATRIX, [free]), Refusal)
    found = choose(host, Request(packages=(), python="3.14t"), MATRIX, [free])
    assert isinstance(found, Choice)
    assert found.python.free_threaded


def test_a_cpu_host_is_not_offered_cuda_wheels() -> None:
    """They would be fetched, and then fail their smoke test."""
    wheels = [wheel("2.13.0+cu130", FOLDER), wheel("2.11.0+cu130", FOLDER)]
    found = choose(machine(), TORCH_ONLY, MATRIX, wheels)
    assert isinstance(found, Refusal)
    assert found.reasons == (
        "the sources that answer hold no CPU wheels for Linux x86_64 with glibc 2.35",
    )
    assert found.unlocks == ("a wheel source that holds 2.15.0+cpu unlocks it",)


@pytest.mark.parametrize("accelerator", ["cuda", "cu130"])
@pytest.mark.parametrize("state", [DriverState.NO_GPU, DriverState.NO_DRIVER])
def test_a_host_that_tests_nothing_may_hold_cuda_wheels(
    accelerator: str, state: DriverState
) -> None:
    request = Request(packages=(), accelerator=accelerator)
    held = read_target(machine(state=state), request, tested=False)
    assert isinstance(held, Target)
    assert chosen(choosing.choose(held, MATRIX, None)).startswith("2.1")
    assert isinstance(read_target(machine(state=state), request), Blocker)
    unasked = read_target(machine(state=DriverState.NO_DRIVER), TORCH_ONLY, tested=False)
    assert isinstance(unasked, Blocker)


def test_a_newer_torch_that_no_source_has_is_named() -> None:
    found = choose(machine(), TORCH_ONLY, MATRIX, [wheel("2.13.0+cpu", OFFICIAL)])
    assert isinstance(found, Choice)
    assert found.reasons[0] == (
        "newest torch here; 2.15.0 is out, but no source that answers has it as cpu"
    )


def test_what_no_source_holds_is_named() -> None:
    found = choose(GTX_1080, TORCH_ONLY, MATRIX, [wheel("2.15.0", PYPI)])
    assert "a wheel source that holds 2.14.1+cu126 unlocks it" in words(found)


# Locks, indexes and groups


def test_the_family_is_asked_for_together() -> None:
    assert choosing.family(target_of(H100)) == ("torch",)
    asked = Request(packages=("Torchvision>=0.20", "scipy", "torchaudio"))
    assert choosing.family(target_of(H100, asked)) == ("torch", "torchaudio", "torchvision")


@pytest.mark.parametrize(
    ("profile", "request_", "expected"),
    [
        (machine(), TORCH_ONLY, ("cpu",)),
        (H100, TORCH_ONLY, ("cu134", "cu132", "cu130", "cu126", "cu129")),
        (GTX_1080, TORCH_ONLY, ("cu126",)),
        (machine("A100", driver="550.54.15"), Request(packages=("torchaudio",)),
         ("cu129", "cu128", "cu126")),
        (machine("T4", driver="440.33.01"), TORCH_ONLY, ()),
        (machine("GTX 1080", driver="590.44.01"), TORCH_ONLY, ()),
    ],
)  # fmt: skip
def test_variants_worth_asking_for(
    profile: Profile, request_: Request, expected: tuple[str, ...]
) -> None:
    found = choosing.candidate_variants(target_of(profile, request_), MATRIX)
    assert tuple(map(str, found)) == expected


@pytest.mark.parametrize(
    ("torch", "variant", "profile", "expected"),
    [
        ("2.14.1", "cu126", GTX_1080, None),
        ("2.15.0", "cu134", H100, None),
        ("2.15.0", "cpu", machine(), None),
        ("2.15.0", "cu132", GTX_1080, "has no code for Pascal"),
        ("2.15.0", "cpu", H100, "the host has an NVIDIA GPU, the wheels are cpu"),
        ("2.15.0", "cu132", machine(), "no NVIDIA GPU to serve, the wheels are cu132"),
        ("2.15.0", "cu132", machine("GTX 1080", driver="590.44.01"), "no longer supports"),
        ("2.15.0", "cu132", machine("H100", driver="580.95.05", glibc="2.27"), "needs glibc 2.28"),
        ("2.99.0", "cu132", H100, "not in the matrix"),
    ],
)
def test_a_lock_is_kept_while_its_wheels_run(
    torch: str, variant: str, profile: Profile, expected: str | None
) -> None:
    choice = Choice(
        torch=torch,
        variant=Variant.parse(variant),
        packages={"torch": torch},
        python=python("3.12"),
    )
    found = choosing.runs(choice, target_of(profile), MATRIX)
    assert (found is None) if expected is None else (found is not None and expected in found)


def test_a_group_meets_one_release() -> None:
    def meet(*profiles: Profile) -> str | None:
        return choosing.uniform(map(target_of, profiles), MATRIX, None)

    group = [GTX_1080, H100, machine("RTX 5090", driver="580.95.05")]
    assert meet(*group) == "2.14.1"
    assert meet(*group[1:]) == "2.15.0"
    broken = machine("GTX 1080", driver="590.44.01")
    assert meet(*group, broken) == "2.14.1"
    assert meet(broken) is None
    old = machine("Tesla K80", driver="470.256.02", pythons=["3.9"])
    new = machine("RTX 5090", driver="580.95.05", pythons=["3.14"])
    assert meet(old, new) is None


def test_the_whole_table_can_be_seen() -> None:
    rows = choosing.explain_candidates(target_of(GTX_1080), MATRIX, None)
    assert len(rows) == sum(
        build.published and not build.variant.cpu
        for release in MATRIX.releases.values()
        for build in release.builds["linux", "x86_64"].values()
    )
    verdicts = {f"{row.torch}+{row.variant}": row.reason for row in rows}
    assert verdicts["2.15.0+cu132"] == "has no code for Pascal (6.1)"
    assert verdicts["2.14.1+cu126"] == "runs, with Python 3.12"
    assert (
        choosing.explain_candidates(
            target_of(machine("GTX 1080", driver="590.44.01")), MATRIX, None
        )
        == []
    )


# What always holds

CAPABILITIES = sorted({c for a in MATRIX.architectures for c in a.capabilities} | {(8, 8), (12, 2)})
DRIVERS = [
    "390.157", "440.33.01", "450.51.06", "450.80.02", "470.256.02", "510.108.03", "520.61.05",
    "525.60.12", "525.60.13", "530.30.02", "535.183.01", "545.23.08", "550.54.15", "555.42.06",
    "560.35.05", "565.57.01", "570.86.16", "575.57.08", "580.65.05", "580.65.06", "580.95.05",
    "590.48.01", "595.45.04", "610.43.02", "615.10.01",
]  # fmt: skip
gpu_lists = st.lists(
    st.sampled_from([f"{major}.{minor}" for major, minor in CAPABILITIES]), min_size=1, max_size=4
)
hosts = st.fixed_dictionaries(
    {
        "driver": st.sampled_from(DRIVERS),
        "os": st.sampled_from(["linux", "windows"]),
        "arch": st.sampled_from(["x86_64", "x86_64", "aarch64"]),
        "glibc": st.sampled_from(["2.17", "2.27", "2.28", "2.35"]),
        "pythons": st.sets(
            st.sampled_from(["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.14t", "3.15"])
        ).map(sorted),
    }
)
requests = st.builds(
    Request,
    torch=st.sampled_from([None, None, "2.14", ">=2.8,<2.13", "2.7.1"]),
    accelerator=st.sampled_from(["auto", "auto", "cuda", "cu126", "cpu"]),
    packages=st.sampled_from([(), ("torchvision",), ("torchaudio", "numpy")]),
)
stock = [
    wheel(f"{release.version}+{variant}", source, tag)
    for release in MATRIX.releases.values()
    for variant, source in (("cu126", OFFICIAL), ("cu130", OFFICIAL_130), ("cpu", OFFICIAL_CPU))
    for tag in ("cp310", "cp312")
] + [wheel(str(version), PYPI) for version in MATRIX.releases]
sources = st.none() | st.lists(st.sampled_from(stock), max_size=12)


def release_of(found: Choice | Refusal) -> Version:
    return Version(found.torch) if isinstance(found, Choice) else Version("0")


@given(gpu_lists, hosts, requests, sources)
def test_a_chosen_wheel_runs_and_a_refusal_has_a_reason(
    gpus: list[str], host: dict[str, Any], request_: Request, wheels: list[Wheel] | None
) -> None:
    profile = machine(*gpus, **host)
    found = choose(profile, request_, MATRIX, wheels)
    if isinstance(found, Refusal):
        assert found.reasons
        assert all(found.reasons)
        return
    assert found.variant.cpu == (request_.accelerator == "cpu")
    assert choosing.runs(found, target_of(profile, request_), MATRIX) is None
    assert found.python.minor in {python.minor for python in profile.pythons}
    assert not found.python.free_threaded
    assert len(found.reasons) >= 3
    assert len(found.rejected) <= SHOWN
    if wheels is not None:
        held = {(str(w.version), w.source) for w in wheels if w.project == "torch"}
        assert (found.packages["torch"], found.source) in held


@given(gpu_lists, hosts, requests, sources)
def test_machine_code_is_of_the_same_major(
    gpus: list[str], host: dict[str, Any], request_: Request, wheels: list[Wheel] | None
) -> None:
    """The rule again in its simplest words, apart from PTX."""
    found = choose(machine(*gpus, **host), request_, MATRIX, wheels)
    if isinstance(found, Refusal) or found.variant == CPU:
        return
    build = MATRIX.build(Version(found.torch), found.variant, (host["os"], host["arch"]))
    assert build is not None
    for gpu in gpus:
        major, minor = map(int, gpu.split("."))
        covered = any(code[0] == major and code[1] <= minor for code in build.sm)
        assert covered or build.ptx is not None


def still_supported(gpu: str, driver: str, system: Any) -> bool:
    major, minor = map(int, gpu.split("."))
    architecture = MATRIX.architecture((major, minor))
    if architecture is None or architecture.last_driver is None:
        return True
    return Version(driver).major <= architecture.last_driver[system]


@given(gpu_lists, hosts, requests, sources, st.sampled_from(DRIVERS))
def test_a_newer_driver_never_leads_to_an_older_torch(
    gpus: list[str],
    host: dict[str, Any],
    request_: Request,
    wheels: list[Wheel] | None,
    other: str,
) -> None:
    older, newer = sorted([host["driver"], other], key=Version)
    if not all(still_supported(gpu, newer, host["os"]) for gpu in gpus):
        return
    before = choose(machine(*gpus, **host | {"driver": older}), request_, MATRIX, wheels)
    after = choose(machine(*gpus, **host | {"driver": newer}), request_, MATRIX, wheels)
    assert release_of(after) >= release_of(before)


@given(gpu_lists, gpu_lists, hosts, requests, sources)
def test_adding_a_gpu_never_leads_to_a_newer_torch(
    gpus: list[str],
    more: list[str],
    host: dict[str, Any],
    request_: Request,
    wheels: list[Wheel] | None,
) -> None:
    """A discrete GPU beside a board's own is left out: it brings another kind of driver."""
    if all(map(integrated, gpus)) and not all(map(integrated, more)):
        return
    fewer = choose(machine(*gpus, **host), request_, MATRIX, wheels)
    found = choose(machine(*gpus, *more, **host), request_, MATRIX, wheels)
    assert release_of(found) <= release_of(fewer)


def integrated(gpu: str) -> bool:
    major, minor = map(int, gpu.split("."))
    return (major, minor) in INTEGRATED


@given(gpu_lists.flatmap(lambda gpus: st.tuples(st.just(gpus), st.permutations(gpus))), hosts)
def test_the_order_of_gpus_does_not_matter(
    lists: tuple[list[str], list[str]], host: dict[str, Any]
) -> None:
    one, other = (choose(machine(*gpus, **host), TORCH_ONLY, MATRIX, None) for gpus in lists)
    assert chosen(one) == chosen(other)
    assert one.reasons == other.reasons
    assert one.rejected == other.rejected


# Every remedy that is printed is applied, as a person would apply it, and leads where it says


def applied(line: str, profile: Profile, request: Request) -> tuple[Profile, Request] | None:
    """Return a host and a request after the change that a line names; None for words of advice."""
    found = re.match(r"driver ([0-9.]+) or newer|a driver of branch ([0-9]+)", line)
    if found:
        version = found[1] or f"{found[2]}.00"
        return with_driver(profile, version=version), request
    if found := re.match(r"a JetPack with CUDA ([0-9.]+)", line):
        return with_driver(profile, cuda=found[1]), request
    if found := re.match(r"a distribution with glibc ([0-9.]+)", line):
        return profile.model_copy(update={"glibc": found[1]}), request
    if found := re.match(r"Python (\S+) unlocks", line):
        return profile.model_copy(update={"pythons": (python(found[1]),)}), request
    if found := re.match(r"gpus: (leaving|serving) .*? \(([0-9.]+)\) (?:out|alone)", line):
        alone = found[1] == "serving"
        chosen = [g for g in profile.gpus if (g.compute_capability == found[2]) == alone]
        return profile, request.model_copy(update={"gpus": tuple(g.index for g in chosen)})
    changes: dict[str, dict[str, Any]] = {
        "leaving the torch pin out": {"torch": None},
        "leaving cu": {"accelerator": "cuda"},
        "leaving torchaudio out": {"packages": ("numpy",)},
        "leaving torchvision out": {"packages": ()},
        "accelerator: cpu": {"accelerator": "cpu"},
        "accelerator: auto": {"accelerator": "auto"},
    }
    change = next((changes[start] for start in changes if line.startswith(start)), None)
    return None if change is None else (profile, request.model_copy(update=change))


def with_driver(profile: Profile, **update: str) -> Profile:
    driver = profile.driver.model_copy(update={"state": DriverState.OK, **update})
    return profile.model_copy(update={"driver": driver})


@given(gpu_lists, hosts, requests)
def test_every_remedy_leads_where_it_says(
    gpus: list[str], host: dict[str, Any], request_: Request
) -> None:
    profile = machine(*gpus, **host)
    found = choose(profile, request_, MATRIX, None)
    for line in found.unlocks if isinstance(found, Refusal) else ():
        change = applied(line, profile, request_)
        if change is None:
            assert "Jetson AI Lab" in line or "install one for all users" in line, line
            continue
        after = choose(*change, MATRIX, None)
        assert f"{chosen(after)}" == re.split(" unlocks | takes ", line)[1], line
