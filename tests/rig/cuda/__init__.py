"""GPUs for real CUDA torch on a machine without one: CUDA and NVML with scripted answers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAKE_NVML = HERE.parents[1] / "fixtures" / "nvml" / "fake_nvml.c"
L4 = """\
init * ok
driver * 580.95.05
nvml * 13.580.95.05
cuda * 13000
name * NVIDIA L4
capability * 8.9
memory * 25757220864 25165824000 591396864
compute-mode * 0
mig * 0
"""
"""What the fake NVML says of every GPU; number and UUIDs are added."""


def uuid(index: int) -> str:
    """Return the UUID that runtime.c gives the GPU of this number."""
    return f"GPU-6a35e6f5-0000-4000-8000-{index:012x}"


@dataclass
class Rig:
    """The compiled libraries, and a Python whose torch is to meet them."""

    directory: Path
    python: Path

    @classmethod
    def compile(cls, directory: Path, python: Path) -> "Rig":
        """Compile against the headers of this Python's wheels; CalledProcessError when it fails."""
        (headers,) = python.parent.parent.glob("lib/python3*/site-packages/nvidia/cu13/include")
        for output, source, *options in (
            ("runtime.so", HERE / "runtime.c", f"-I{HERE}", f"-I{headers}"),
            ("libcuda.so.1", HERE / "driver.c"),
            ("libnvidia-ml.so.1", FAKE_NVML),
        ):
            command = ["cc", "-shared", "-fPIC", "-w", *options, "-o", directory / output, source]
            subprocess.run(command, check=True, capture_output=True)
        return cls(directory, python)

    def scripts(self, cuda: str, nvml: str, count: int) -> dict[str, str]:
        """Write what both libraries answer, and return what tells them so: first lines count."""
        known = "".join(
            f"uuid {n} {uuid(n)}\npci {n} 00000000:0{n + 1}:00.0\n" for n in range(count)
        )
        texts = {
            "FAKE_CUDA": f"{cuda}\ncount * {count}\n",
            "FAKE_NVML": f"{nvml}\ncount * {count}\n",
        }
        texts["FAKE_NVML"] += known + L4
        for name, text in texts.items():
            (self.directory / name).write_text(text)
        return {name: str(self.directory / name) for name in texts}

    def preloaded(self) -> dict[str, str]:
        """Return the environment in which torch meets these libraries before any others."""
        return {
            "LD_PRELOAD": str(self.directory / "runtime.so"),
            "LD_LIBRARY_PATH": str(self.directory),
        }

    @contextmanager
    def warm(self) -> Iterator["Warm"]:
        """Yield a process that has imported torch, for many tests."""
        with subprocess.Popen(
            [self.python, "-I", HERE / "warm.py"],
            env=self.preloaded(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            yield Warm(process)
            process.kill()


@dataclass
class Warm:
    """A process that runs smoke tests whose children have torch already."""

    process: "subprocess.Popen[str]"

    def run(self, program: Path, given: dict[str, Any], environment: dict[str, str]) -> Any:
        """Return the document of a smoke test of the program in this directory."""
        assert self.process.stdin and self.process.stdout
        task = {"program": str(program), "input": given, "environment": environment}
        print(json.dumps(task), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())
