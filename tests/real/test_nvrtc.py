"""The smoke test's kernel, compiled by the real NVRTC for all GPUs of the matrix: needs no GPU."""

import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fleetwheel import remote
from fleetwheel.matrix import load_matrix

pytestmark = pytest.mark.real

COMPILE = """
site = Path(input["site"])
nvrtc = load_nvrtc(site)
count = ctypes.c_int()
nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
known = (ctypes.c_int * count.value)()
nvrtc.nvrtcGetSupportedArchs(known)
found = {}
for name in input["names"]:
    try:
        cubin = compile_cubin(KERNEL, name, site)
        found[name] = {"elf": cubin[:4] == b"\\x7fELF", "kernel": b"triple_plus_one" in cubin}
    except RuntimeError as error:
        found[name] = str(error)
try:
    broken = compile_cubin(b"void (", input["names"][0], site)
except RuntimeError as error:
    broken = str(error)
print(json.dumps({"known": [f"sm_{number}" for number in known], "found": found, "broken": broken}))
"""
NVRTC = {
    "cu126": "nvidia-cuda-nvrtc-cu12==12.6.85",
    "cu130": "nvidia-cuda-nvrtc==13.0.88",
}
"""A compiler of each variant's CUDA."""


def unpacked(requirement: str, place: Path) -> Path:
    """Return a directory with the wheel's files, as site-packages has them."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"pip has no {requirement}: {done.stderr.strip()[-200:]}")
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    wheel.unlink()
    return place


def architectures(variant: str) -> list[str]:
    """Return every GPU architecture that some build of a variant has code for."""
    builds = [
        by_variant[variant]
        for release in load_matrix().releases.values()
        for by_variant in release.builds.values()
        if variant in by_variant
    ]
    assert builds
    codes = {major * 10 + minor for build in builds for major, minor in build.sm}
    return [f"sm_{code}" for code in sorted(codes)]


@pytest.mark.parametrize("variant", NVRTC)
def test_the_kernel_compiles_for_every_gpu_of_a_variant(variant: str, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the compiler's wheel is asked for on x86_64 only")
    program = remote.source("smoke_device").split('if __name__ == "__main__"')[0] + COMPILE
    site = unpacked(NVRTC[variant], tmp_path)
    names = architectures(variant)
    document = {"program": program, "input": {"site": str(site), "names": names}}
    done = subprocess.run(
        [sys.executable, "-I", "-c", remote.BOOTSTRAP],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(names) <= set(answer["known"])
    assert answer["found"] == {name: {"elf": True, "kernel": True} for name in names}
    assert f"NVRTC error 6 for {names[0]}: At end of source: error: expected" in answer["broken"]
