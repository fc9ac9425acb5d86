"""The smoke test's kernel, compiled by the real NVRTC for all GPUs of the matrix: needs no GPU."""

import json
import platform
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetwheel.matrix.matrix import parse_matrix
from fleetwheel.matrix.variant import Variant
from fleetwheel.node.smoke.architectures import code_runs
from tests import node_program

pytestmark = pytest.mark.real

COMPILE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fleetwheel.node.smoke.checks import KERNEL
from fleetwheel.node.smoke.nvrtc import architecture, compile_cubin, load_nvrtc
input = json.load(sys.stdin)
nvrtc = load_nvrtc(Path(input["site"]), input["cuda"])
found = {}
for device in map(tuple, input["devices"]):
    name = architecture(nvrtc, device)
    cubin = compile_cubin(nvrtc, KERNEL, name)
    whole = cubin[:4] == b"\\x7fELF" and b"triple_plus_one" in cubin
    found["{}.{}".format(*device)] = name if whole else "no code"
try:
    broken = compile_cubin(nvrtc, b"void (", name)
except RuntimeError as error:
    broken = str(error)
print(json.dumps({"found": found, "broken": broken}))
"""
NVRTC = {
    "cu126": "nvidia-cuda-nvrtc-cu12==12.6.85",
    "cu128": "nvidia-cuda-nvrtc-cu12==12.8.93",
    "cu130": "nvidia-cuda-nvrtc==13.0.88",
}
"""A compiler of each variant's CUDA."""
SUBSTITUTES = {
    "cu128": {"10.3": "sm_100", "11.0": "sm_101", "12.1": "sm_120"},
}
"""GPUs whose own architecture the compiler does not know."""


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


def served(variant: str) -> list[tuple[int, int]]:
    """Return the capability of every GPU by name that some build of a variant has code for."""
    shipped = (files("fleetwheel.matrix") / "matrix.yaml").read_text(encoding="utf-8")
    codes = {
        code
        for release in parse_matrix(shipped).releases.values()
        for by_variant in release.builds.values()
        if (build := by_variant.get(Variant.parse(variant)))
        for code in build.sm
    }
    table = yaml.safe_load((files("fleetwheel.matrix") / "gpus.yaml").read_text(encoding="utf-8"))
    names = {text for section in table.values() for text in section}
    devices = sorted(
        (int(major), int(minor)) for major, _, minor in (n.partition(".") for n in names)
    )
    return [d for d in devices if any(code_runs(code, d) for code in codes)]


@pytest.mark.parametrize("variant", NVRTC)
def test_the_kernel_compiles_for_every_gpu_of_a_variant(variant: str, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the compiler's wheel is asked for on x86_64 only")
    site = unpacked(NVRTC[variant], tmp_path / "site")
    program = node_program.unpacked(tmp_path)
    devices = served(variant)
    given = {"site": str(site), "devices": devices, "cuda": f"{variant[2:4]}.{variant[4]}"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", COMPILE, program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    own = {f"{major}.{minor}": f"sm_{major}{minor}" for major, minor in devices}
    changed = {name: number for name, number in SUBSTITUTES.get(variant, {}).items() if name in own}
    assert len(own) >= 8
    assert answer["found"] == {**own, **changed}
    assert "NVRTC error 6 for sm_" in answer["broken"]
    assert ": At end of source: error: expected" in answer["broken"]
