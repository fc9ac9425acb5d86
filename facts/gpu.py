"""The NVIDIA driver and GPUs of a host."""

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from fleetwheel.collectors import gpu
from fleetwheel.facts._question import question, read_answer
from fleetwheel.host.profile import Nvidia
from fleetwheel.host.trust import NOBODY, Trust


class Gpus(FactBase[Nvidia]):
    """
    Returns the NVIDIA driver with its state, and the GPUs in index order.

    NVML tells it where the host has a Python, nvidia-smi where it has none: see docs/facts.md.

    + gpu_timeout: seconds that both get before the driver counts as hung
    + trust: whom the host believes besides root and the asking user

    .. code:: python

        {
            "driver": {"state": "ok", "version": "580.95.05", "cuda": "13.0", ...},
            "gpus": [
                {
                    "index": 0,
                    "uuid": "GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16",
                    "name": "NVIDIA GeForce RTX 4090",
                    "compute_capability": "8.9",
                    "memory_total_mib": 24564,
                    "pci_bus_id": "00000000:01:00.0",
                    "memory_free_mib": 24079,
                    "temperature_c": 41,
                    "ecc": None,
                    "unavailable": {"ecc": "Not Supported", ...},
                    ...
                },
            ],
        }
    """

    @override
    def command(self, gpu_timeout: int = 20, trust: Trust = NOBODY) -> StringCommand:
        return question("gpu", gpu_timeout=gpu_timeout, trust=trust)

    @override
    def process(self, output: list[str]) -> Nvidia:
        return read_answer(gpu.parse_gpus, output, "gpu")
