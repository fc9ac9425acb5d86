"""The full level's protocol: what several devices do at once, and what is counted meanwhile."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fleetwheel.node.smoke import children, devices, together
from fleetwheel.node.smoke import full as smoke_full
from fleetwheel.node.smoke import run as probe
from fleetwheel.smoke import result as smoke
from tests.machine import HEALTHY
from tests.smoke_script import a_gpu, driver, driver_program, expected, in_process, run, scripted

Answer = dict[str, Any]
FOUR = [a_gpu(index) for index in range(4)]
ALL_WELL = driver(*FOUR)


def of_host(
    place: Path,
    behaviour: str = "pass",
    *,
    everyone: str = "pass",
    before: Answer = ALL_WELL,
    after: Answer | None = None,
    **changes: Any,
) -> Answer:
    """Return the document of a full test on four GPUs of which the driver says this."""
    text = driver_program(place, before, before if after is None else after)
    program = scripted(behaviour, everyone=everyone)
    given = expected(program, level="full", driver_program=text, nvml=True, **changes)
    document = in_process(given)
    smoke.result_of(document)
    return document


def names(results: list[Answer]) -> list[str]:
    return [f"{result['device']} {result['name']} {result['status']}" for result in results]


def test_gpus_work_together(tmp_path: Path) -> None:
    document = of_host(tmp_path)
    assert document["passed"]
    assert document["level"] == "full"
    pairs = [(0, 3), (1, 2), (0, 2), (3, 1), (0, 1), (2, 3)]
    copies = [f"cuda:{a} and cuda:{b} copies passed" for a, b in pairs]
    ranks = [f"cuda:{index} all-reduce of 4 passed" for index in range(4)]
    assert names(document["together"]) == [*copies, *ranks]


@pytest.mark.parametrize(
    ("part", "place", "given"),
    [
        ("device", None, {}),
        ("peers", 0, {"places": ["cuda:0", "cuda:1"], "labels": ["cuda:0", "cuda:3"]}),
        ("all-reduce", 9, {"rank": 3, "world": 4}),
    ],
)
def test_what_the_parts_are_given(
    tmp_path: Path, part: str, place: int | None, given: Answer
) -> None:
    """A copy sees its two GPUs, an all-reduce all of them, in their order."""
    document = of_host(
        tmp_path, everyone=f"if part == {part!r}: tell(error=json.dumps([device, seen, full]))"
    )
    result = document["devices"][3] if place is None else document["together"][place]
    device, seen, full = json.loads(result["fault"]["error"])
    alone = ("cuda:0", "GPU-3")
    pair = ("cuda:0", "GPU-0,GPU-3")
    together = ("cuda:3", "GPU-0,GPU-1,GPU-2,GPU-3")
    assert (device, seen) == {"device": alone, "peers": pair, "all-reduce": together}[part]
    assert full.items() >= {"part": part, "sustained_s": 60, **given}.items()
    assert "meeting" not in full or not Path(full["meeting"]).parent.exists()


def test_a_gpu_that_failed_alone_is_left_out(tmp_path: Path) -> None:
    document = of_host(tmp_path, "os.abort()")
    assert names(document["devices"])[3] == "cuda:3 GPU failed"
    assert names(document["together"])[2:4] == [
        "cuda:0 and cuda:1 copies passed",
        "cuda:0 all-reduce of 3 passed",
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9, 16])
def test_in_each_round_a_gpu_has_one_partner(count: int) -> None:
    """Nine partners at once are more than a GPU takes: cudaErrorTooManyPeers, error 711."""
    found = together.rounds(list(range(count)))
    for pairs in found:
        busy = [gpu for pair in pairs for gpu in pair]
        assert len(busy) == len(set(busy))
    met = sorted(tuple(sorted(pair)) for pairs in found for pair in pairs)
    assert met == [(a, b) for a in range(count) for b in range(a + 1, count)]
    assert len(found) <= count


HANGS = "time.sleep(60) if part == 'peers' and seen == 'GPU-0,GPU-3' else None"


def test_a_pair_that_hangs_is_named_and_the_others_are_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "GRACE", 0.2)
    everyone = "if part == 'peers': tell(start='copy cuda:0 to cuda:1 exact')\n" + HANGS
    document = of_host(tmp_path, everyone=everyone, device_deadline_s=12)
    states = {result["device"]: result["status"] for result in document["together"]}
    assert [states[f"cuda:{a} and cuda:{b}"] for a, b in ((0, 3), (1, 2))] == ["failed", "passed"]
    fault = document["together"][0]["fault"]
    assert fault["name"] == "peer-copy"
    assert "ACS" in fault["meaning"]


def test_pairs_that_there_is_no_time_for_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 400))
    monkeypatch.setattr(together.time, "sleep", lambda seconds: None)
    found = [devices.Device(gpu, "cuda:0", {"a": "b"}, gpu) for gpu in FOUR]
    monkeypatch.setattr(together, "ask", lambda jobs, deadline_s: [dict(TOLD) for _ in jobs])
    monkeypatch.setattr(together.time, "monotonic", lambda: next(clock))
    given = {**probe.DEFAULTS, **expected(level="full", device_deadline_s=1000)}
    copied, warnings = together.copy_between(given, found)
    assert len(copied) == 2
    assert warnings == [
        "copies between 4 pairs of GPUs were not tested: smoke_timeout is too short"
    ]


def test_what_fails_together_fails_the_host(tmp_path: Path) -> None:
    behaviour = "if part == 'all-reduce': tell(error='DistBackendError: NCCL error in: x')"
    given = expected(scripted(behaviour), level="full", nvml=True)
    document, code = run(
        sys.executable, {**given, "driver_program": driver_program(tmp_path, driver(*FOUR))}
    )
    assert (code, document["passed"]) == (2, False)
    assert {device["status"] for device in document["devices"]} == {"passed"}
    assert document["together"][-1]["fault"]["name"] == "nccl"
    assert "cannot work together" in smoke.explain_smoke(document)


def test_without_nvml_the_gpus_keep_their_numbers() -> None:
    behaviour = "tell(error=f'{part} {device} {seen}') if part == 'all-reduce' else None"
    document = in_process(expected(scripted(behaviour), level="full"))
    assert document["together"][-1]["fault"]["error"] == "all-reduce cuda:3 None"


def test_mig_instances_do_not_work_together(tmp_path: Path) -> None:
    parts = [a_gpu(0, uuid=f"MIG-{number}", mig=True) for number in range(2)]
    document = of_host(tmp_path, before=driver(*parts))
    assert (document["passed"], document["together"]) == (True, [])


TOLD = {
    "checks": [{"name": "x", "passed": True}],
    "planned": ["x"],
    "seconds": 1,
    "error": "",
    "measured": [],
}


def test_windows_has_no_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[str] = []

    def ask(jobs: list[children.Job], deadline_s: float) -> list[Answer]:
        parts.extend(job.task["full"]["part"] for job in jobs)
        return [dict(TOLD) for _ in jobs]

    four = [devices.Device(entry, "cuda:0", {"a": "b"}, entry) for entry in FOUR]
    monkeypatch.setattr(together, "ask", ask)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        given = {**probe.DEFAULTS, **expected(level="full")}
        together.test_together(given, four, [dict(TOLD) for _ in FOUR])
    assert parts == ["peers"] * 6


COUNTED = {"ecc_corrected": 4, "ecc_uncorrected": 0, "remapping_failed": 0, "retired_pages": 0}


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        ({"ecc_uncorrected": 2}, "ecc_uncorrected rose from 0 to 2"),
        ({"retired_pages": 1}, "retired_pages rose from 0 to 1"),
        ({"remapping_failed": True}, "remapping_failed rose from 0 to 1"),
    ],
)
def test_a_count_of_errors_that_rises_fails_the_gpu(
    tmp_path: Path, counters: Answer, words: str
) -> None:
    before, after = (a_gpu(2, counters={**COUNTED, **more}) for more in ({}, counters))
    document = of_host(
        tmp_path,
        before=driver(*FOUR[:2], before, FOUR[3]),
        after=driver(*FOUR[:2], after, FOUR[3]),
        gpus=["GPU-2", "GPU-3"],
    )
    states = [device["status"] for device in document["devices"]]
    assert states == ["failed", "passed"]
    fault = document["devices"][0]["fault"]
    assert (fault["name"], words in fault["error"]) == ("memory-errors", True)


def test_errors_that_the_gpu_has_corrected_are_a_warning(tmp_path: Path) -> None:
    counted = {"ecc_corrected": 4, "remapped_correctable": 0}
    before = a_gpu(2, counters=counted)
    after = a_gpu(2, counters={"ecc_corrected": 5, "remapped_correctable": 1})
    document = of_host(
        tmp_path,
        before=driver(*FOUR[:2], before, FOUR[3]),
        after=driver(*FOUR[:2], after, FOUR[3]),
        gpus=["GPU-2"],
    )
    assert document["passed"]
    assert document["warnings"] == [
        "cuda:2: NVML's count ecc_corrected rose from 4 to 5 during the test",
        "cuda:2: NVML's count remapped_correctable rose from 0 to 1 during the test",
    ]


def test_a_gpu_that_nvml_does_not_show_afterwards_has_failed(tmp_path: Path) -> None:
    document = of_host(tmp_path, after=driver(*FOUR[:3]))
    assert [gpu["status"] for gpu in document["devices"]] == ["passed"] * 3 + ["failed"]
    fault = document["devices"][3]["fault"]
    assert (fault["name"], "GPU-3" in fault["error"]) == ("gpu-lost", True)


def test_a_gpu_that_is_lost_meanwhile_and_not_to_be_tested_is_a_warning(tmp_path: Path) -> None:
    after = driver(*FOUR[:3], lost=["GPU 3 is lost: GPU is lost"])
    document = of_host(tmp_path, after=after, gpus=["GPU-1"])
    assert document["passed"]
    assert document["warnings"] == ["GPU 3 is lost: GPU is lost"]


OLD = "3,7,1,-;NVRM: Xid (PCI:0000:41:00): 48, an old one"


def xid(bus: str, number: int) -> str:
    return f"3,8,2,-;NVRM: Xid ({bus}): {number}, pid=7, name=python, a new one"


def with_xids(place: Path, *lines: str) -> Answer:
    """Return the document of a test of two GPUs during which the kernel said this."""
    before, after = driver(*FOUR, xids=[OLD]), driver(*FOUR, xids=[OLD, *lines])
    document = of_host(place, before=before, after=after, gpus=["GPU-1", "GPU-3"])
    assert document["faults"] == []
    return document


def test_an_xid_counts_for_its_own_gpu(tmp_path: Path) -> None:
    lines = (xid("PCI:0000:41:00", 48), xid("0000:43:00", 79))
    document = with_xids(tmp_path, *lines)
    failed = [(gpu["device"], gpu["fault"]["name"]) for gpu in document["devices"]]
    assert failed == [("cuda:1", "xid"), ("cuda:3", "xid")]
    assert document["warnings"] == []


def test_an_xid_that_a_program_may_have_caused_is_shown(tmp_path: Path) -> None:
    """As is one of another GPU, or of a form that nobody knows."""
    lines = [xid("PCI:0000:41:00", number) for number in (13, 31, 43, 45)]
    lines += [xid("PCI:0000:07:00", 48), xid("PCI:0001:41:00", 48), "3,8,2,-;NVRM: Xid of a form"]
    document = with_xids(tmp_path, *lines)
    assert document["passed"]
    shown = document["warnings"]
    assert [line in warning for line, warning in zip(lines, shown, strict=True)] == [True] * 7


def test_an_xid_of_a_gpu_is_one_of_all_its_mig_instances(tmp_path: Path) -> None:
    bus = FOUR[1]["pci_bus_id"]
    parts = [a_gpu(n, uuid=f"MIG-{n}", mig=True, pci_bus_id=bus) for n in range(2)]
    line = xid("PCI:0000:41:00", 48)
    document = of_host(tmp_path, before=driver(*parts), after=driver(*parts, xids=[line]))
    assert [gpu["status"] for gpu in document["devices"]] == ["failed", "failed"]


def test_an_old_xid_does_not(tmp_path: Path) -> None:
    assert of_host(tmp_path, before=driver(*FOUR, xids=[OLD]), gpus=["GPU-1"])["passed"]


def test_a_kernel_log_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    document = of_host(tmp_path, before=driver(*FOUR, xids=None), gpus=["GPU-1"])
    assert document["passed"]
    assert "Xid errors were not counted" in document["warnings"][0]


@pytest.mark.parametrize("gpus", [None, ["GPU-1"]])
def test_an_nvml_that_is_gone_afterwards_fails_the_host(
    tmp_path: Path, gpus: list[str] | None
) -> None:
    document = of_host(tmp_path, after={}, gpus=gpus)
    assert [fault["name"] for fault in document["faults"]] == ["gpu-lost"]
    assert "ended by SIGABRT" in document["faults"][0]["error"]


SLOW = (
    "tell(measurement={'name': 'memory bandwidth', 'value': 900.0, 'unit': 'GB/s',"
    " 'promised': 3352.3, 'fraction': FRACTION})"
)


@pytest.mark.parametrize(
    ("fraction", "least", "status"),
    [(0.27, None, "passed"), (0.27, 0.5, "failed"), (0.5, 0.5, "passed"), (None, 0.5, "passed")],
)
def test_speed_is_judged_by_the_inventory_alone(
    tmp_path: Path, fraction: float | None, least: float | None, status: str
) -> None:
    behaviour = SLOW.replace("FRACTION", str(fraction))
    document = of_host(tmp_path, behaviour, min_fraction=least, gpus=["GPU-3"])
    assert document["devices"][0]["status"] == status
    assert document["devices"][0]["measured"][0]["fraction"] == fraction
    if status == "failed":
        assert document["devices"][0]["fault"]["name"] == "too-slow"


GIB = 1 << 30


@pytest.mark.parametrize(
    ("device", "free", "shares", "entry", "found"),
    [
        ("cuda:0", 100 * GIB, False, {"driver_model": None}, 90 * GIB),
        ("cuda:0", 100 * GIB, False, {"driver_model": "TCC"}, 90 * GIB),
        ("cuda:0", 100 * GIB, False, {"driver_model": "WDDM"}, 50 * GIB),
        ("cuda:0", GIB, False, {}, GIB - (128 << 20)),
        ("cuda:0", GIB // 2, False, {}, GIB // 2 - (72 << 20)),
        ("cuda:0", 100 * GIB, True, {"driver_model": None}, GIB // 4),
        ("cpu", 0, False, {}, GIB // 4),
    ],
)
def test_how_much_memory_is_filled(
    device: str,
    free: int,
    shares: bool,
    entry: Answer,
    found: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the host's memory little, and of a GPU with windows what Windows does not move away."""
    monkeypatch.setattr(smoke_full, "WSL", "/nowhere")
    assert filled(device, free, shares, entry) == found


def filled(device: str, free: int, shares: bool, entry: Answer) -> int:
    cuda = SimpleNamespace(empty_cache=lambda: None, mem_get_info=lambda device: (free, free))
    bench = SimpleNamespace(device=device, shares_memory=shares, torch=SimpleNamespace(cuda=cuda))
    return smoke_full.free_bytes(bench, entry)


def test_in_wsl_windows_drives_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dxg").touch()
    monkeypatch.setattr(smoke_full, "WSL", str(tmp_path / "dxg"))
    assert filled("cuda:0", 100 * GIB, False, {"driver_model": None}) == 50 * GIB


class Words:
    """Words in a device's memory, as far as they are compared."""

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def split(self, size: int) -> list["Words"]:
        starts = range(0, len(self.values), size)
        return [Words(self.values[start : start + size]) for start in starts]

    def __eq__(self, other: object) -> Any:
        assert isinstance(other, Words)
        assert len(self.values) <= 4, "counting these takes eight times their size"
        return Words([a == b for a, b in zip(self.values, other.values, strict=True)])

    def sum(self) -> int:
        return sum(self.values)


def test_words_are_compared_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_full, "COMPARED_WORDS", 4)
    right = list(range(10))
    assert smoke_full.equal_words(Words(right), Words(right)) == 10
    assert smoke_full.equal_words(Words([*right[:7], 0, *right[8:]]), Words(right)) == 9


def test_the_device_catches_up_every_few_blocks() -> None:
    waited: list[str] = []
    cuda = SimpleNamespace(synchronize=waited.append)
    bench = SimpleNamespace(device="cuda:0", torch=SimpleNamespace(cuda=cuda))
    assert list(smoke_full.unhurried(bench, list(range(20)))) == list(range(20))
    assert waited == ["cuda:0"] * 2


@pytest.mark.parametrize(("seconds", "runs"), [(0.0001, 8), (0.05, 4), (0.3, 1), (9.0, 1)])
def test_little_work_is_queued_at_a_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, runs: int
) -> None:
    """The first run is slower: it loads code."""
    clock = [0.0]
    took = iter([50 * seconds, seconds])
    monkeypatch.setattr(smoke_full.time, "perf_counter", lambda: clock[0])

    def action() -> None:
        clock[0] += next(took) * 0.999

    assert smoke_full.runs_per_batch(SimpleNamespace(device="cpu"), action) == runs


CLOCKS = "bus-width 1 {}\nmemory-clock 1 {}\nsm-clock 1 {}\ncores 1 {}\n"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("bus-width 1 5120\nmemory-clock 1 2619\nsm-clock 1 1980\ncores 1 16896\n", [3352.3, 66.9]),
        (
            "bus-width 1 384\nmemory-clock 1 10501\nsm-clock 1 3105\ncores 1 16384\n",
            [1008.1, 101.7],
        ),
        ("bus-width 1 5120\nmemory-clock 1 2619\nsm-clock 1 1980\n", []),
        ("init * error 9\n", []),
    ],
)
def test_what_the_clocks_promise(
    nvml_library: Path, tmp_path: Path, script: str, found: list[float]
) -> None:
    """An H100 SXM and an RTX 4090 by the numbers that NVML gives, against their data sheets."""
    (tmp_path / "script").write_text(script + HEALTHY)
    entry = {"uuid": "GPU-bbbb", "mig": False}
    program = f"import json; print(json.dumps(promised({entry!r})))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", Path(smoke_full.__file__).read_text() + program],
        env={"LD_LIBRARY_PATH": str(nvml_library), "FAKE_NVML": str(tmp_path / "script")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [round(value, 1) for value in json.loads(done.stdout).values()] == found


def test_nothing_is_promised_of_a_part_of_a_gpu() -> None:
    assert smoke_full.promised({"uuid": "MIG-1", "mig": True}) == {}
    assert smoke_full.promised({}) == {}


def test_each_part_of_the_full_level_has_its_checks() -> None:
    full = {"part": "device", "sustained_s": 1}
    checks = [f"{name} {kind}" for name, kind, _ in smoke_full.checks(None, full, {}, None)]
    assert checks == [
        "memory exact",
        "copy bandwidth exact",
        "sustained matmul float32",
        "sustained matmul bfloat16",
    ]
    places = {"places": ["cuda:0", "cuda:1"], "labels": ["cuda:2", "cuda:5"]}
    peers = {"part": "peers", "sustained_s": 1, **places}
    assert [name for name, _, _ in smoke_full.checks(None, peers, {}, None)] == [
        "copy cuda:2 to cuda:5",
        "copy cuda:5 to cuda:2",
    ]
