"""Which machine code runs on which GPU."""

from __future__ import annotations

RENAMED = {(10, 1): (11, 0)}
"""Thor was 10.1 before CUDA 13."""
INTEGRATED = ((5, 3), (6, 2), (7, 2), (8, 7), (11, 0))
"""Jetson and Thor: their code runs on nothing else."""
UNIFIED = ((7, 2), (8, 7))
"""Those that run the code of their larger siblings from CUDA 13.2 on."""


def runs_on(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether code for these architectures runs on a GPU, or PTX that is no newer."""
    for entry in built:
        kind, number = entry.rstrip("af").split("_")
        code = divmod(int(number), 10)
        if code_runs(code, capability) or (kind == "compute" and code <= capability):
            return True
    return not built


def code_runs(code: tuple[int, int], device: tuple[int, int]) -> bool:
    """Whether machine code runs on a GPU: the rule of fleetwheel/choosing/compatibility.py."""
    code, device = RENAMED.get(code, code), RENAMED.get(device, device)
    if code == device:
        return True
    if code in INTEGRATED or (device in INTEGRATED and device not in UNIFIED):
        return False
    return code[0] == device[0] and code[1] <= device[1]
