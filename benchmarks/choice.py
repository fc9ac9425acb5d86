"""How long 10,000 choices take on one core: every GPU with every driver, offline and with sources.

Run it with ``python benchmarks/choice.py``; the limit is 10 s for the matrix alone. Measured on one
core of a busy machine with two: 10,000 choices in 4.7 s, and with 840 wheels 4 ms for each choice.
"""

import itertools
import time

from fleetwheel.choice.answer import answer
from fleetwheel.choice.candidates import stock_of
from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.host.profile import Driver, DriverState, Gpu, Profile, Python
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources.wheel import Source, Wheel

CHOICES = 10_000
GPUS = [(), ("6.1",), ("7.0",), ("7.5",), ("8.0",), ("8.9",), ("9.0",), ("12.0",), ("8.6", "8.9")]
DRIVERS = ["470.256.02", "525.60.13", "535.183.01", "550.54.15", "570.86.16", "580.95.05"]
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
MATRIX = load_matrix()
REQUEST = Request(packages=("torchvision", "numpy"))


def profiles() -> list[Profile]:
    """Return one host for each GPU, driver and interpreter."""
    return [
        Profile(
            os="linux",
            arch="x86_64",
            glibc="2.35",
            pythons=(Python(path="/usr/bin/python3", version=f"{python}.1"),),
            driver=Driver(state=DriverState.OK if gpus else DriverState.NO_GPU, version=driver),
            gpus=tuple(
                Gpu(index=index, name="GPU", compute_capability=gpu)
                for index, gpu in enumerate(gpus)
            ),
        )
        for gpus, driver, python in itertools.product(GPUS, DRIVERS, PYTHONS)
    ]


def stock() -> list[Wheel]:
    """Return what the official indexes of three variants hold for five interpreters."""
    wheels = []
    for variant in ("cu126", "cu130", "cpu"):
        source = Source(name=f"official {variant}", url=f"https://example.org/{variant}")
        for release, python in itertools.product(MATRIX.releases.values(), PYTHONS):
            tag = "cp" + python.replace(".", "")
            versions = {
                "torch": str(release.version),
                "torchvision": release.partners["torchvision"][0],
            }
            for project, version in versions.items():
                name = f"{project}-{version}+{variant}-{tag}-{tag}-manylinux_2_28_x86_64.whl"
                wheels.append(Wheel(filename=name, url=f"{source.url}/{name}", source=source))
    return wheels


def measure(label: str, count: int, wheels: list[Wheel] | None) -> None:
    """Print how long a number of choices take."""
    hosts = list(itertools.islice(itertools.cycle(profiles()), count))
    stock = None if wheels is None else stock_of(wheels)
    start = time.process_time()
    refused = sum(isinstance(answer(host, REQUEST, MATRIX, stock), Refusal) for host in hosts)
    seconds = time.process_time() - start
    print(f"{label}: {count} choices in {seconds:.1f} s of CPU, {refused} of them refusals")


if __name__ == "__main__":
    measure("matrix alone", CHOICES, None)
    wheels = stock()
    measure(f"{len(wheels)} wheels in sources", CHOICES // 50, wheels)
