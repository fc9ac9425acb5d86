"""What a Windows host is asked, and the main job there, under Wine."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.collectors import program
from tests.project import Project, with_environment
from tests.python_list import serving, write_list
from tests.rig.windows import Rig, windows_rig
from tests.rig.windows.prefix import missing
from tests.small_wheels import make_wheel

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(missing()), reason=str(missing())),
]
QUERY = "--query-gpu-index-uuid-pci-bus-id-name-compute-cap-memory-total-driver-version"
QUERY += "-driver-model-current---format-csv-noheader-nounits"
BANNER = "| NVIDIA-SMI 591.86    Driver Version: 591.86    CUDA Version: 13.1 |\n"
ROW = "0, GPU-1, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 591.86, WDDM\n"
ROOT = r"C:\fleet wheel & co"
KEY = 119
"""Characters of a call that the rig's nvidia-smi.exe looks at."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with windows_rig(tmp_path_factory.mktemp("rig") / "windows") as rig:
        yield rig


@pytest.fixture
def lab(rig: Rig, project: Project) -> Project:
    """A project with the Windows host."""
    (project.directory / "inventory" / "lab.yaml").write_text(f"""\
hosts:
  winrig:
    os: windows
    address: {rig.address}
    port: {rig.port}
    user: {rig.user}
    key: {rig.key}
    known_hosts: {rig.known_hosts}
    accelerator: cpu
    distribution: push
""")
    return Project(project.directory, Path(ROOT))


def ask(lab: Project, fact: str, *arguments: str) -> dict[str, Any]:
    """Return what a fact says of the Windows host."""
    done = lab.run("--limit", "@winssh/winrig", "fact", f"fleetwheel.facts.{fact}", *arguments)
    assert done.returncode == 0, done.stdout
    text = done.stdout
    answer = json.loads(text[text.index("\n{") : text.rindex("\n}") + 2])
    found: dict[str, Any] = answer["@winssh/winrig"]
    return found


def test_everything_is_asked_at_once(rig: Rig, lab: Project) -> None:
    rig.nvidia_smi(ROW, name=QUERY[:KEY])
    rig.nvidia_smi(BANNER)
    found = ask(lab, "host.Host", f"root={ROOT}")
    profile, there = found["profile"], found["installation"]
    assert (profile["os"], profile["arch"]) == ("windows", "x86_64")
    assert profile["distribution"] == "Windows 10 (18362)"
    assert [python["path"] for python in profile["pythons"]] == [r"C:\Python311\python.exe"]
    driver = {key: profile["driver"][key] for key in ("state", "version", "cuda")}
    assert driver == {"state": "ok", "version": "591.86", "cuda": "13.1"}
    [gpu] = profile["gpus"]
    assert (gpu["compute_capability"], gpu["driver_model"]) == ("8.9", "WDDM")
    assert there["root"] == ROOT.replace("\\", "/")
    assert there["writable"] and there["free_bytes"] > 1 << 20
    assert not (rig.drive_c / "fleet wheel & co").exists()


@pytest.fixture
def planted(rig: Rig) -> Iterator[Path]:
    """A python.exe, a base64 module and a root that everyone can change; they say that they ran.

    Wine makes permissions of modes: those of 0777 let everyone write.
    """
    ran = rig.drive_c / "ran"
    evil, module = rig.drive_c / "evilpython", rig.drive_c / "base64"
    root = rig.drive_c / "fleet wheel & co"
    for directory in (evil, module, root / "bin"):
        directory.mkdir(parents=True)
    shutil.copy(rig.drive_c / "windows/arguments.exe", evil / "python.exe")
    shutil.copy(rig.drive_c / "windows/arguments.exe", root / "bin/uv.exe")
    (module / "__init__.py").write_text(f"open(r'C:\\{ran.name}', 'w').write('base64')\n")
    for directory in (evil, root):
        directory.chmod(0o777)
    yield ran
    for directory in (evil, module, root):
        shutil.rmtree(directory)


def test_what_others_can_change_is_not_run(rig: Rig, lab: Project, planted: Path) -> None:
    found = ask(lab, "host.Host", f"root={ROOT}")
    there, profile = found["installation"], found["profile"]
    assert there["distrusted"] == f"Everyone can write to {ROOT}"
    assert [python["path"] for python in profile["pythons"]] == [r"C:\Python311\python.exe"]
    skipped = r"skipped C:\evilpython\python.exe: Everyone can write to C:\evilpython"
    assert skipped in profile["problems"]
    assert not planted.exists()
    done = lab.deploy()
    assert done.returncode == 1, done.stdout
    assert f"Everyone can write to {ROOT}" in lab.report()["why"]
    assert "as an administrator of the host, remove" in lab.report()["why"]
    assert "chown" not in lab.report()["why"]


def test_a_python_whose_registry_speaks_french(rig: Rig, lab: Project) -> None:
    """The name of a key's own value is translated, "(par d\u00e9faut)", and has a blank."""
    place = rig.drive_c / "tools/py"
    place.parent.mkdir()
    shutil.copytree(rig.drive_c / "Python311", place, copy_function=os.link)
    key = r"HKLM\SOFTWARE\Python\PythonCore\3.11\InstallPath"
    for value in (f'reg add {key} /v "(par defaut)" /d C:\\tools\\py /f', f"reg delete {key} /f"):
        command = [*lab.command()[:2], "-y", "exec", "--", value]
        subprocess.run(command, cwd=lab.directory, capture_output=True, check=True, timeout=60)
        found = ask(lab, "python.Pythons")["pythons"]
        assert (r"C:\tools\py\python.exe" in [python["path"] for python in found]) == (
            "reg add" in value
        )


def test_a_python_that_fails_once_is_asked_again(rig: Rig, lab: Project) -> None:
    module = rig.drive_c / "Python311/Lib/sysconfig.py"
    whole = module.rename(module.with_suffix(".whole"))
    once = r"import os; n = os.path.exists(r'C:\{}'); n or (open(r'C:\{}', 'w'), os._exit(9))"
    module.write_text(f"{once.format('once', 'once')}\n{whole.read_text()}")
    try:
        found = ask(lab, "python.Pythons")
    finally:
        whole.rename(module)
    assert (rig.drive_c / "once").exists()
    assert ([python["version"] for python in found["pythons"]], found["problems"]) == (
        ["3.11.9"],
        [],
    )


def test_an_x64_python_on_arm64(rig: Rig, lab: Project) -> None:
    """Windows says ARM64 here, by the variable that it sets for a 32-bit cmd."""
    run(lab, r"reg add HKCU\Environment /v PROCESSOR_ARCHITEW6432 /d ARM64 /f")
    system = ask(lab, "platform.Platform")
    profile = ask(lab, "host.Host", f"root={ROOT}")["profile"]
    run(lab, r"reg delete HKCU\Environment /v PROCESSOR_ARCHITEW6432 /f")
    assert (system["arch"], profile["arch"]) == ("aarch64", "x86_64")
    assert [python["version"] for python in profile["pythons"]] == ["3.11.9"]


def test_a_driver_that_does_not_know_the_capability(rig: Rig, lab: Project) -> None:
    rig.nvidia_smi('Field "compute_cap" is not a valid field to query.\n', name=QUERY[:KEY], code=2)
    rig.nvidia_smi(ROW.replace(" 8.9,", ""), name=QUERY.replace("-compute-cap", "")[:KEY])
    [gpu] = ask(lab, "gpu.Gpus")["gpus"]
    assert (gpu["name"], gpu["compute_capability"]) == ("NVIDIA GeForce RTX 4090", "8.9")


def test_an_nvidia_smi_that_hangs_costs_seconds(rig: Rig, lab: Project) -> None:
    rig.nvidia_smi(ROW, name=QUERY[:KEY], delay=15_000)
    started = time.monotonic()
    assert ask(lab, "gpu.Gpus", "gpu_timeout=2")["driver"]["state"] == "hung"
    assert time.monotonic() - started < 12


def test_a_release_that_fails_its_smoke_test_is_used_on_neither_system(
    rig: Rig, lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made-up wheels, which are no torch: chosen, locked, sent, built and tested in one run."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    linux = f"{python}-{python}-manylinux_2_28_{platform.machine()}"
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu", tag="cp311-cp311-win_amd64")
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu", tag=linux)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    file = lab.directory / "inventory" / "lab.yaml"
    windows = file.read_text().replace("accelerator", f"root: '{ROOT}'\n    accelerator")
    file.write_text(f"{windows}  '@local': {{root: {tmp_path}/root, accelerator: cpu}}\n")
    own_roots = [word for word in lab.command("-y", "deploys/torch.py") if "root=" not in word]
    own_roots.remove("--data")
    options = ["--data", "packages=[]", "--data", "torch=2.13.0"]
    done = subprocess.run(
        [*own_roots, *options], cwd=lab.directory, capture_output=True, text=True, timeout=120
    )
    newest = max((lab.directory / "reports").glob("*.json"))
    entries = map(with_environment, json.loads(newest.read_text())["hosts"])
    hosts = {host["name"]: host for host in entries}
    assert {host["profile"]["os"] for host in hosts.values()} == {"linux", "windows"}
    for host in hosts.values():
        assert host["status"] == "failed", done.stderr
        assert "the test failed (AttributeError: module 'torch'" in host["why"]
    root = rig.drive_c / "fleet wheel & co"
    generation = root / "envs" / hosts["@winssh/winrig"]["generation"]
    assert (generation / "Lib/site-packages/torch.py").exists()
    assert not (root / "current").exists()
    found = ask(lab, "environments.Environments", f"root={ROOT}")
    assert found["node"] == [program.digest()]
    assert (root / f"lib/node-{program.digest()}/__pycache__").exists()
    assert (root / "bin/fleetwheel-node.cmd").exists()
    [there] = found["generations"]
    assert there["packages"] == {"torch": "2.13.0+cpu"}
    assert there["lock"] == hashlib.sha256((generation / "pylock.toml").read_bytes()).hexdigest()


def test_the_question_that_a_host_keeps_has_the_same_answer(rig: Rig, lab: Project) -> None:
    """The host has what the last test left there."""
    rig.nvidia_smi(ROW, name=QUERY[:KEY])
    rig.nvidia_smi(BANNER)
    whole, kept = (ask(lab, f"host.{name}", f"root={ROOT}") for name in ("Host", "KeptHost"))
    assert kept["installation"]["node"] == [program.digest()]
    for state in (whole, kept):
        state["installation"].pop("free_bytes")
    assert kept == whole
    done = lab.run("--limit", "@winssh/winrig", "fact", "fleetwheel.facts.host.KeptHost")
    assert '"absent"' in done.stdout


def test_a_gpu_never_gets_the_cpu_wheels_that_pypi_has_for_windows(
    rig: Rig, lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.nvidia_smi(ROW, name=QUERY[:KEY])
    make_wheel(tmp_path / "wheels", "torch", "2.13.0", tag="cp311-cp311-win_amd64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    file = lab.directory / "inventory" / "lab.yaml"
    file.write_text(file.read_text().replace("    accelerator: cpu\n", ""))
    done = lab.deploy(packages="[]")
    assert done.returncode == 1, done.stdout
    entry = lab.report()
    assert entry["status"] == "refused", done.stdout
    assert entry["why"].startswith("the sources that answer hold no CUDA wheels for Windows x86_64")
    assert (entry["choice"], entry["generation"]) == (None, None)


def test_what_a_windows_host_cannot_be_deployed_with(rig: Rig, lab: Project) -> None:
    """No Python, which nothing brings there, and a root that is a path of another system."""
    python = rig.drive_c / "Python311"
    python.rename(rig.drive_c / "away")
    try:
        done = lab.deploy()
    finally:
        (rig.drive_c / "away").rename(python)
    assert done.returncode == 1, done.stdout
    assert (lab.report()["status"], lab.report()["profile"]["pythons"]) == ("refused", [])
    assert "install one for all users, from python.org" in lab.report()["why"]
    done = Project(lab.directory, Path("/opt/x")).deploy()
    assert done.returncode == 1, done.stdout
    assert "root: /opt/x is no absolute path on Windows" in done.stdout
    assert not (rig.drive_c / "opt").exists()


def test_uv_brings_a_python(
    rig: Rig, lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it the made-up torch is installed; it fails its smoke test."""
    wheels, python = tmp_path / "wheels", rig.drive_c / "Python311"
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-win_amd64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    archive = tmp_path / "python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(python, "python")
    python.rename(rig.drive_c / "away")
    try:
        with serving(tmp_path, "127.0.0.1") as url:
            done = lab.run(
                "-y",
                "deploys/onboard.py",
                packages="[]",
                torch="2.13.0",
                install_python="uv",
                python='"3.11"',
                python_mirror=write_list(archive, url, "3.11.9", "windows", "x86_64", "none"),
            )
    finally:
        (rig.drive_c / "away").rename(python)
    assert "cpython-3.11.9-windows-x86_64-none" in str(lab.report()["choice"]["python"]), (
        done.stdout
    )
    assert "AttributeError" in lab.report()["why"]


KEY_OF_RUNTIME = r"HKLM\SOFTWARE\Microsoft\VisualStudio\14.0\VC\Runtimes\x64"
SIGNER = "CN=Microsoft Corporation, O=Microsoft Corporation, L=Redmond, S=Washington, C=US"


@pytest.fixture
def old_runtime(rig: Rig, lab: Project) -> Iterator[None]:
    """The host's Visual C++ runtime is of 2022, and its Python has none of its own."""
    shutil.rmtree(rig.drive_c / "fleet wheel & co", ignore_errors=True)
    own = rig.drive_c / "Python311/msvcp140.dll"
    away = own.rename(own.with_suffix(".away"))
    run(lab, f"reg add {KEY_OF_RUNTIME} /v Version /d v14.34.31931.00 /f")
    yield
    run(lab, f"reg delete {KEY_OF_RUNTIME} /f")
    away.rename(own)


def run(lab: Project, command: str) -> None:
    words = [*lab.command()[:2], "-y", "exec", "--", command]
    subprocess.run(words, cwd=lab.directory, capture_output=True, check=True, timeout=60)


def name_redistributable(rig: Rig, lab: Project) -> None:
    file, redist = lab.directory / "inventory/lab.yaml", rig.drive_c / "windows/vc_redist.exe"
    hash = hashlib.sha256(redist.read_bytes()).hexdigest()
    named = f"    visual_cpp: {{url: {redist}, sha256: {hash}}}\n"
    file.write_text(file.read_text() + named)


@pytest.mark.usefixtures("old_runtime")
def test_a_dry_run_says_that_the_runtime_comes_first(rig: Rig, lab: Project) -> None:
    name_redistributable(rig, lab)
    planned = lab.run("--dry", "deploys/onboard.py", packages="[]", torch="2.13.0").stdout
    assert "would change" in planned
    assert "install the Visual C++ runtime" in planned
    assert "14.40 or newer" not in planned


@pytest.mark.usefixtures("old_runtime")
@pytest.mark.parametrize(
    ("signature", "registers", "words"),
    [
        (None, "", "needs Microsoft's Visual C++ runtime 14.40 or newer, and the host has 14.34"),
        (f"NotSigned {SIGNER}", "v14.50.35710.00 0", "is not run: its signature is NotSigned"),
        (f"Valid CN=Mallory, {SIGNER}", "v14.50.35710.00 0", "its signature is Valid CN=Mallory"),
        (f"Valid {SIGNER}", "v14.50.35710.00 3010", "Windows has to restart"),
        (f"Valid {SIGNER}", "v14.50.35710.00 0", "module 'torch'"),
    ],
)
def test_an_old_runtime_of_visual_cpp_is_found_before_a_build(
    rig: Rig,
    lab: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signature: str | None,
    registers: str,
    words: str,
) -> None:
    """Onboarding runs the redistributable, a stand-in, if its hash and its signature are right."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-win_amd64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    if signature:
        (rig.drive_c / "rig/signature.txt").write_text(f"{signature}\n")
        (rig.drive_c / "rig/vc_redist.txt").write_text(registers)
        name_redistributable(rig, lab)
    done = lab.run("-y", "deploys/onboard.py", packages="[]", torch="2.13.0")
    assert done.returncode == 1, done.stdout
    assert words in lab.report()["why"], done.stdout
    assert not list((rig.drive_c / "fleet wheel & co").glob("cache/vc_redist*"))


def test_what_was_planted_in_an_environment_is_found_and_not_run(
    rig: Rig, lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DLL in torch\\lib and a .pth had run in the smoke test of a deep look, which said clean."""
    wheels, asked = tmp_path / "wheels", {"packages": "[]", "torch": "2.13.0"}
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-win_amd64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    done = lab.deploy(smoke="none", **asked)
    assert done.returncode == 0, done.stdout
    generation = lab.report()["generation"]
    site = rig.drive_c / f"fleet wheel & co/envs/{generation}/Lib/site-packages"
    ran = rig.drive_c / "planted-ran"
    (site / "torch/lib").mkdir(parents=True)
    (site / "torch/lib/version.dll").write_bytes(b"MZ")
    (site / "planted.pth").write_text(f"import os; open(r'C:\\{ran.name}', 'w').close()\n")
    lab.run("-y", "deploys/drift.py", deep="true", **asked)
    found = {drift["what"]: drift["found"] for drift in lab.report()["drift"]}
    assert "Lib\\site-packages\\planted.pth" in found["files of no package"]
    assert "Lib\\site-packages\\torch\\lib\\version.dll" in found["files of no package"]
    assert not ran.exists()
    done = lab.deploy(smoke="none", **asked)
    assert done.returncode == 0, done.stdout
    assert lab.report()["generation"] != generation
    assert not ran.exists()


@pytest.mark.slow
def test_torch_for_windows(
    rig: Rig, lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes and 137 MB: PyPI's torch, its smoke test, its activation, and a second run."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    # Intel's OpenMP ends the process where it asks Wine for the processors' topology, and oneDNN
    # where it uses AMX, for which Wine gets no leave from the kernel.
    for name, value in (("KMP_AFFINITY", "disabled"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")):
        setting = f"reg add HKCU\\Environment /v {name} /d {value} /f"
        command = [*lab.command()[:2], "-y", "exec", "--", setting]
        subprocess.run(command, cwd=lab.directory, capture_output=True, check=True, timeout=60)
    done = lab.deploy(packages="pyyaml")
    assert done.returncode == 0, done.stdout
    entry = lab.report()
    assert (entry["status"], entry["smoke"]["passed"]) == ("changed", True)
    assert entry["choice"]["variant"] == "cpu"
    current = rig.drive_c / "fleet wheel & co/current"
    assert current.read_text().strip() == f"envs\\{entry['generation']}"
    again = lab.deploy(packages="pyyaml")
    assert again.returncode == 0, again.stdout
    assert lab.report()["status"] == "unchanged"
