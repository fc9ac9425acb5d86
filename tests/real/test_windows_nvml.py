"""NVML on a Windows host under Wine: the real pynvml against a nvml.dll with scripted answers."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from fleetwheel.collectors import batch, host, program, sections
from fleetwheel.collectors.places import Places
from fleetwheel.host.profile import DriverState, HostState
from tests.machine import HEALTHY
from tests.rig.windows import Rig, windows_rig
from tests.rig.windows.calls import connect_and_call
from tests.rig.windows.prefix import COMPILER, missing

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(missing()), reason=str(missing())),
]
FAKE = Path("tests/fixtures/nvml/fake_nvml.c")
WDDM = f"{HEALTHY}driver-model * 0\n"
PLACES = Places(
    distrusted="",
    pythons=(r"C:\Python311\python.exe",),
    smi=r"C:\windows\System32\nvidia-smi.exe",
)
ROW = "0, GPU-1, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 591.86, WDDM\n"
NLP = {"generation": "nlp-1", "deployed_at": "2026-11-01T12:00:00Z"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with windows_rig(tmp_path_factory.mktemp("rig") / "windows") as rig:
        library = rig.drive_c / "windows/system32/nvml.dll"
        subprocess.run([COMPILER, "-O1", "-s", "-shared", "-o", library, FAKE], check=True)
        yield rig


def ask(rig: Rig, script: str, seconds: int = 20) -> HostState:
    """Return what the host says while its NVML answers by this script."""
    (rig.drive_c / "fake_nvml.txt").write_text(script)
    question = batch(*host.SECTIONS, places=PLACES, gpu_seconds=seconds)
    [answer] = connect_and_call(rig.data, {"run": [question]})
    assert answer["ok"], answer
    found = sections(answer["stdout"], *host.SECTIONS)
    return host.parse_host(*(found[section] for section in host.SECTIONS))


def test_nvml_tells_more_than_nvidia_smi(rig: Rig) -> None:
    rig.nvidia_smi(ROW)
    profile = ask(rig, WDDM).profile
    assert profile.driver.to_json() == {
        "state": "ok",
        "version": "580.95.05",
        "cuda": "13.0",
        "nvml": "13.580.95.05",
        "detail": "",
    }
    assert [gpu.uuid for gpu in profile.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    gpu = profile.gpus[1]
    assert (gpu.driver_model, gpu.temperature_c, gpu.pcie_width) == ("WDDM", 41, 8)
    assert (gpu.fabric_pending, gpu.unavailable["ecc"]) == (None, "Not Supported")
    assert profile.memory_total_mib and profile.memory_total_mib > 256


def test_one_lost_gpu_does_not_hide_the_other(rig: Rig) -> None:
    rig.nvidia_smi("Unable to determine the device handle: GPU is lost.\n", code=15)
    profile = ask(rig, f"handle 0 error 15\n{WDDM}").profile
    assert (profile.driver.state, profile.driver.detail) == ("gpu-lost", "GPU 0: GPU is lost")
    assert [gpu.uuid for gpu in profile.gpus] == ["GPU-bbbb"]


def test_a_call_that_never_returns_costs_seconds_and_its_own_answer(rig: Rig) -> None:
    rig.nvidia_smi(ROW)
    started = time.monotonic()
    profile = ask(rig, WDDM.replace("temperature * 41", "temperature * hang"), seconds=2).profile
    assert time.monotonic() - started < 12
    assert (profile.driver.state, profile.driver.detail) == ("ok", "NVML did not answer in time")
    assert [gpu.uuid for gpu in profile.gpus] == ["GPU-1"]


def test_a_nvidia_smi_that_hangs_loses_nothing_of_nvml(rig: Rig) -> None:
    rig.nvidia_smi(ROW, delay=30_000)
    profile = ask(rig, WDDM, seconds=2).profile
    assert profile.driver.state is DriverState.OK
    assert profile.driver.detail == "nvidia-smi did not end in time"
    assert [gpu.uuid for gpu in profile.gpus] == ["GPU-aaaa", "GPU-bbbb"]


def test_without_a_python_nvidia_smi_stands_alone(rig: Rig) -> None:
    rig.nvidia_smi(ROW)
    python = rig.drive_c / "Python311"
    python.rename(rig.drive_c / "away")
    try:
        profile = ask(rig, WDDM).profile
    finally:
        (rig.drive_c / "away").rename(python)
    assert (profile.pythons, profile.memory_total_mib) == ((), None)
    assert (profile.driver.state, profile.driver.detail) == (DriverState.OK, "")
    assert [gpu.uuid for gpu in profile.gpus] == ["GPU-1"]


def keep_program(rig: Rig) -> Path:
    """Put the program for hosts where a deploy leaves it."""
    home = rig.drive_c / f"kept & co/lib/node-{program.digest()}"
    for path, content in program.program_files().items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    return home


def test_a_record_that_a_reader_has_open_is_replaced_once_it_lets_go(rig: Rig) -> None:
    """Wine refuses the rename as Windows does; a look at the host is such a reader."""
    home = keep_program(rig)
    state = home.parents[1] / "state.json"
    state.write_text(json.dumps({"schema": "fleetwheel.state/2", "environments": {"nlp": NLP}}))
    held = "import time; f = open(r'C:\\kept & co\\state.json'); time.sleep(4)"
    python = r"C:\Python311\python.exe"
    reader = Thread(
        target=connect_and_call, args=(rig.data, {"run": [python, "-I -c", [held]]}), daemon=True
    )
    reader.start()
    time.sleep(2)
    smoke = {"generation": "nlp-1", "passed": True}
    given = {"root": r"C:\kept & co", "environment": "nlp", "generation": "nlp-1", "smoke": smoke}
    action = rf'{python} -I -B "C:\kept & co\lib\{home.name}" note_test'
    call = {"run": [action], "arguments": {"_stdin": json.dumps(given)}}
    [answer] = connect_and_call(rig.data, call)
    assert json.loads(answer["stdout"][-1]) == {"ok": True, "noted": True}
    assert json.loads(state.read_text())["environments"]["nlp"]["smoke"] == smoke
    assert answer["seconds"] > 0.5, "nobody had the file open"
    reader.join()
    state.unlink()


def test_a_host_looks_at_who_can_change_its_root(rig: Rig) -> None:
    """Wine makes permissions of modes; with those of 0777 everyone may write."""
    home = keep_program(rig)
    root = home.parents[1]
    [who] = connect_and_call(rig.data, {"run": [r"%SystemRoot%\System32\whoami.exe"]})
    record = {"schema": "fleetwheel.state/1", "user": who["stdout"][0], "generation": "none-1"}
    (root / "state.json").write_text(json.dumps(record))
    check = rf'C:\Python311\python.exe -I -B "C:\kept & co\lib\{home.name}" check --format json'
    found = []
    for place, mode in ((root, 0o755), (root, 0o777), (root / "lib", 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        [answer] = connect_and_call(rig.data, {"run": [check]})
        place.chmod(before)
        found.append(json.loads(answer["stdout"][-1]))
    (root / "state.json").unlink()
    assert [each["status"] for each in found] == ["unknown", "critical", "critical"], found
    said = [each["differences"][0] for each in found[1:]]
    assert said[0]["found"] == r"Everyone can write to C:\kept & co"
    assert said[1]["found"] == r"Everyone can write to C:\kept & co\lib"
    assert said[0]["expected"].startswith("only administrators and ")
    assert "as an administrator, remove the root" in said[0]["repair"]


def test_who_holds_a_file_is_asked_of_windows(rig: Rig) -> None:
    """Wine 8 has a Restart Manager that knows no holders: then nobody is named."""
    home = keep_program(rig)
    script = rf"import sys; sys.path.insert(0, r'C:\kept & co\lib\{home.name}')"
    script += "; from pathlib import Path; from fleetwheel.node.holders import holders"
    script += r"; f = open(r'C:\here', 'w'); print(holders([Path(r'C:\here')]))"
    [answer] = connect_and_call(rig.data, {"run": [r"C:\Python311\python.exe", "-I -c", [script]]})
    assert (answer["ok"], answer["stdout"]) == (True, ["[]"]), answer


def test_the_question_that_a_host_keeps_asks_the_program_beside_it(rig: Rig) -> None:
    home = keep_program(rig)
    rig.nvidia_smi(ROW)
    (rig.drive_c / "fake_nvml.txt").write_text(WDDM)
    question = program.short_batch_question(PLACES, r"C:\kept & co", 20)
    [answer] = connect_and_call(rig.data, {"run": [question]})
    found = sections(answer["stdout"], *host.SECTIONS)
    state = host.parse_host(*(found[section] for section in host.SECTIONS))
    assert state.installation.node == (program.digest(),)
    assert state.profile.driver.nvml == "13.580.95.05"
    assert [gpu.uuid for gpu in state.profile.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    check = rf'C:\Python311\python.exe -I -B "C:\kept & co\lib\{home.name}" check --format json'
    [answer] = connect_and_call(rig.data, {"run": [check]})
    document = json.loads(answer["stdout"][-1])
    assert (document["status"], document["differences"][0]["found"]) == (
        "critical",
        "nothing was deployed",
    )
