"""The full level of the smoke test: what takes a device some minutes, or several devices at once.

device.py runs the checks that ``checks`` returns; ``tell`` is its ``Teller``. ``full``, the input,
holds ``part`` ("device", "peers" or "all-reduce"), ``sustained_s``, and what that part takes
besides: ``places`` and ``labels`` of two GPUs, or ``rank``, ``world`` and ``meeting``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

BLOCK_WORDS = 16 << 20
"""Words of 4 bytes that memory is filled by."""
SMALL_BLOCK_WORDS = 2 << 20
SMALL_BYTES = 1 << 30
"""With less free memory than this, blocks are small, or a large part would be left out."""
COMPARED_WORDS = 1 << 20
"""Words that are compared at a time: torch counts what is equal in integers of 8 bytes."""
ROOM_BYTES = 64 << 20
"""What comparing takes, and what torch keeps for itself in segments of 20 MiB."""
BLOCKS_QUEUED = 8
"""Blocks between two synchronisations: a slow GPU takes some 10 ms for one."""
HOST_BYTES = 256 << 20
"""A host's memory is not a device's: this much of it stands for all."""
FREE_FRACTION = 0.9
WDDM_FRACTION = 0.5
"""Windows moves what does not fit beside its windows into the host's memory, and tests that."""
WSL = "/dev/dxg"
"""Where Windows drives the GPU of a Linux."""
TIMED_S = 0.5
"""Seconds that a bandwidth is measured for."""
BATCH_S = 0.2
"""Seconds of work between two synchronisations: Windows ends what takes 2 (TdrDelay)."""


def checks(bench: Any, full: dict[str, Any], driver: dict[str, Any], tell: Any) -> list[Any]:
    """Return name, kind and function of each check, as device.py runs them."""
    if full["part"] == "peers":
        ends = list(zip(full["places"], full["labels"]))  # noqa: B905
        return [
            (f"copy {a[1]} to {b[1]}", "exact", partial(peer_copy, a, b, tell))
            for a in ends
            for b in ends
            if a != b
        ]
    if full["part"] == "all-reduce":
        return [("all-reduce", "float32", partial(all_reduce, full))]
    promises = promised(driver)
    seconds = full["sustained_s"] / 2
    return [
        ("memory", "exact", partial(memory, driver)),
        ("copy bandwidth", "exact", partial(bandwidth, driver, promises, tell)),
        *(
            ("sustained matmul", dtype, partial(sustained, driver, seconds, promises, tell))
            for dtype in ("float32", "bfloat16")
        ),
    ]


def measurement(name: str, value: float, unit: str, promise: float | None) -> dict[str, Any]:
    """Return what was measured, with its share of what the clocks promise."""
    fraction = round(value / promise, 3) if promise else None
    promise = float(f"{promise:.4g}") if promise else None
    kept = {"name": name, "value": float(f"{value:.3g}"), "unit": unit}
    return {**kept, "promised": promise, "fraction": fraction}


def promised(driver: dict[str, Any]) -> dict[str, float]:
    """Return the GB/s and float32 TFLOP/s that the highest clocks allow; empty if unknown.

    Memory moves its bus width twice in each clock, a core multiplies and adds once. A MIG instance
    has a part of its GPU that NVML does not tell in these numbers.
    """
    if not driver or driver["mig"]:
        return {}
    try:
        bus, memory_mhz, sm_mhz, cores = limits(driver["uuid"])
    except (OSError, AttributeError, RuntimeError):
        return {}
    return {"copy": bus / 8 * memory_mhz * 2 / 1e3, "float32": cores * sm_mhz * 2 / 1e6}


def limits(uuid: str) -> list[int]:
    """Return bus width in bits, highest memory and SM clock in MHz, and the number of cores."""
    nvml = ctypes.CDLL("nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1")
    device = ctypes.c_void_p()
    require("nvmlInit_v2", nvml.nvmlInit_v2())
    require("handle", nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)))
    sm_clock, memory_clock = 1, 2
    questions = (
        (nvml.nvmlDeviceGetMemoryBusWidth,),
        (nvml.nvmlDeviceGetMaxClockInfo, memory_clock),
        (nvml.nvmlDeviceGetMaxClockInfo, sm_clock),
        (nvml.nvmlDeviceGetNumGpuCores,),
    )
    found = []
    for function, *arguments in questions:
        number = ctypes.c_uint()
        require("NVML", function(device, *arguments, ctypes.byref(number)))
        found.append(number.value)
    return found


def require(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"{call} failed with error {status}")


def memory(driver: dict[str, Any], bench: Any, kind: str) -> list[Any]:
    """Fill nearly all free memory, read it back, and once more with every bit the other way."""
    torch, size, free = bench.torch, block_words(bench), free_bytes(bench, driver)
    blocks = [empty_words(bench, size) for _ in range(max(free // (4 * size), 1))]
    keys = torch.randint(-(1 << 31), (1 << 31) - 1, (len(blocks),), generator=bench.source).tolist()
    place = torch.arange(size, dtype=torch.int32, device=bench.device)
    right = torch.zeros((), dtype=torch.int64, device=bench.device)
    for flip in (0, -1):
        for block, key in unhurried(bench, list(zip(blocks, keys))):  # noqa: B905
            torch.bitwise_xor(place, key ^ flip, out=block)
        for block, key in unhurried(bench, list(zip(blocks, keys))):  # noqa: B905
            block.bitwise_xor_(key ^ flip)
            right += equal_words(block, place)
    return [(right, bench.tensor(2 * len(blocks) * size))]


def unhurried(bench: Any, work: list[Any]) -> Iterator[Any]:
    """Yield one piece of work after the other, and let the device catch up every few pieces."""
    for number, piece in enumerate(work, 1):
        yield piece
        if number % BLOCKS_QUEUED == 0:
            synchronize(bench)


def equal_words(block: Any, place: Any) -> Any:
    """Return how many words are equal, in slices that need little memory besides."""
    slices = zip(block.split(COMPARED_WORDS), place.split(COMPARED_WORDS))  # noqa: B905
    return sum((mine == right).sum() for mine, right in slices)


def block_words(bench: Any) -> int:
    """Return the size of a block, by the memory that is free."""
    if bench.device == "cpu" or bench.shares_memory:
        return BLOCK_WORDS
    bench.torch.cuda.empty_cache()
    free: int = bench.torch.cuda.mem_get_info(bench.device)[0]
    return BLOCK_WORDS if free >= SMALL_BYTES else SMALL_BLOCK_WORDS


def free_bytes(bench: Any, driver: dict[str, Any]) -> int:
    """Return how much memory may be filled: room for one more block and for comparing is left."""
    if bench.device == "cpu" or bench.shares_memory:
        return HOST_BYTES
    bench.torch.cuda.empty_cache()
    free: int = bench.torch.cuda.mem_get_info(bench.device)[0]
    model = driver.get("driver_model") if driver else None
    windows = model == "WDDM" or (not driver and os.name == "nt") or Path(WSL).exists()
    share = WDDM_FRACTION if windows else FREE_FRACTION
    return min(int(share * free), free - 4 * block_words(bench) - ROOM_BYTES)


def empty_words(bench: Any, count: int = BLOCK_WORDS) -> Any:
    return bench.torch.empty(count, dtype=bench.torch.int32, device=bench.device)


def bandwidth(
    driver: dict[str, Any], promises: dict[str, float], tell: Any, bench: Any, kind: str
) -> list[Any]:
    """Copy within the device, to it and from it, and count the words that arrived."""
    torch, on_cpu = bench.torch, bench.device == "cpu"
    most = 4 * BLOCK_WORDS  # more than a GPU's cache holds
    words = max(min(most, free_bytes(bench, driver) // 16), BLOCK_WORDS // 16)
    host = torch.randint(0, 1 << 30, (words,), generator=bench.source, dtype=torch.int32)
    host = host if on_cpu else host.pin_memory()
    back = torch.empty_like(host, pin_memory=not on_cpu)
    here, there = empty_words(bench, words), empty_words(bench, words)
    routes = [("memory bandwidth", here, there, 2, promises.get("copy"))]
    if not on_cpu:
        routes.insert(0, ("host to device", host, here, 1, None))
        routes.append(("device to host", there, back, 1, None))
    here.copy_(host)
    for name, source, target, passes, promise in routes:
        seconds = timed(bench, partial(target.copy_, source, non_blocking=True))
        tell(measurement=measurement(name, passes * host.nbytes / seconds / 1e9, "GB/s", promise))
    arrived = there if on_cpu else back
    return [((arrived == host).sum(), bench.tensor(words))]


def timed(bench: Any, action: Any) -> float:
    """Return the seconds that one of many runs takes."""
    batch = runs_per_batch(bench, action)
    runs, started = 0, time.perf_counter()
    while time.perf_counter() - started < TIMED_S:
        for _ in range(batch):
            action()
        synchronize(bench)
        runs += batch
    return (time.perf_counter() - started) / runs


def runs_per_batch(bench: Any, action: Any) -> int:
    """Return how often an action may run between two synchronisations, at most eight times."""
    for _ in range(2):  # the first run may load code
        synchronize(bench)
        started = time.perf_counter()
        action()
        synchronize(bench)
    return max(1, min(8, int(BATCH_S / (time.perf_counter() - started))))


def synchronize(bench: Any) -> None:
    if bench.device != "cpu":
        bench.torch.cuda.synchronize(bench.device)


def sustained(
    driver: dict[str, Any],
    seconds: float,
    promises: dict[str, float],
    tell: Any,
    bench: Any,
    dtype: str,
) -> list[Any]:
    """Multiply the same matrices over and over: right at first, and never another product.

    The first product is checked by the sums of its columns. All others must equal it in every bit,
    as cuBLAS promises of one version, architecture and stream.
    """
    roomy = bench.shares_memory or free_bytes(bench, driver) > 1 << 30
    size = 512 if bench.device == "cpu" else 4096 if roomy else 1024
    a, b = (bench.random(size, size, dtype=dtype) for _ in range(2))
    a_here, b_here = bench.put(a, dtype), bench.put(b, dtype)
    torch, got = bench.torch, bench.poisoned(size, size, dtype=dtype)
    multiply = partial(torch.mm, a_here, b_here, out=got)
    multiply()
    first, lowest, highest = got.clone(), got.clone(), got.clone()
    batch = runs_per_batch(bench, multiply)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(batch):
            multiply()
            torch.minimum(lowest, got, out=lowest)
            torch.maximum(highest, got, out=highest)
        synchronize(bench)
    rate = 2 * size**3 / timed(bench, multiply) / 1e12
    tell(measurement=measurement(f"matmul {dtype}", rate, "TFLOP/s", promises.get(dtype)))
    sums = bench.product(a.sum(0, keepdim=True), b)[0]
    reference = first.double().cpu()
    return [
        (first.double().sum(0), sums),
        (lowest, reference, "exact"),
        (highest, reference, "exact"),
    ]


def peer_copy(
    source: tuple[str, str], target: tuple[str, str], tell: Any, bench: Any, kind: str
) -> list[Any]:
    """Copy from one GPU to another, and compare there with a copy that came from the host.

    Each is its name in this process, and the name by which the host's user knows it.
    """
    torch, (a, from_label), (b, to_label) = bench.torch, source, target
    words = torch.randint(0, 1 << 30, (BLOCK_WORDS,), generator=bench.source, dtype=torch.int32)
    sent, expected = words.to(a), words.to(b)
    got = torch.zeros_like(expected)
    seconds = timed(bench, partial(both_ready, torch, got, sent, a, b))
    rate = words.nbytes / seconds / 1e9
    tell(measurement=measurement(f"{from_label} to {to_label}", rate, "GB/s", None))
    return [((got == expected).sum(), bench.tensor(BLOCK_WORDS))]


def both_ready(torch: Any, got: Any, sent: Any, a: str, b: str) -> None:
    got.copy_(sent)
    for place in (a, b):
        torch.cuda.synchronize(place)


def all_reduce(full: dict[str, Any], bench: Any, dtype: str) -> list[Any]:
    """Sum over all processes; each works out by itself what the others put in."""
    torch, rank, world = bench.torch, full["rank"], full["world"]
    distributed = torch.distributed
    on_cpu = bench.device == "cpu"
    if sys.platform == "linux":  # all processes are on this host, which may have no other network
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    store = distributed.FileStore(full["meeting"], world)
    backend = "gloo" if on_cpu else "nccl"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)
    shares = [
        torch.randn(1 << 20, generator=torch.Generator().manual_seed(member), dtype=torch.float64)
        .to(getattr(torch, dtype))
        .double()
        for member in range(world)
    ]
    got = bench.put(shares[rank], dtype)
    distributed.all_reduce(got)
    synchronize(bench)
    store.set(f"done {rank}", "")
    store.wait([f"done {member}" for member in range(world)])  # others may still read from here
    return [(got, sum(shares))]
