"""The whole main job on one machine, out of the torch that it has: see acceptance.sh."""

import argparse
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetwheel.node import faults
from fleetwheel.smoke import result as smoke
from tests import node_program
from tests.gpu.installed_wheels import closure, installed, rebuild, served, write_index
from tests.project import CHECKOUT, Project, copy_of_checkout

ASK = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda]))"
COMPUTE = "import torch; print(torch.ones(3, device='{}').sum().item())"
HOLD = """
import sys, torch
free = torch.cuda.mem_get_info(0)[0]
block = torch.empty(free - (1000 << 20), dtype=torch.uint8, device="cuda:0")
print("held", flush=True)
sys.stdin.read()
"""


IMPORT_S = 120
"""Seconds for a process that does little more than import torch."""
HELD = ("memory-held", "out-of-memory")
"""The faults of a held GPU: the context of the test's own process decides which comes first."""


class Failed(Exception):  # noqa: N818 - it is no error of this program
    """What did not come out as it must."""


def require(condition: object, words: str) -> None:
    if not condition:
        raise Failed(words)


@dataclass
class Acceptance:
    """One machine on its way through the job."""

    work: Path
    python: Path
    """An interpreter that has torch."""
    cpu: bool
    project: Project = field(init=False)
    program: Path = field(init=False)
    """The unpacked program for hosts."""
    torch: str = field(init=False)
    variant: str = field(init=False)
    address: str = ""
    wrong_address: str = ""
    gpus: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    """What the result shows besides its steps."""

    def __post_init__(self) -> None:
        (self.work / "project").mkdir()
        self.program = node_program.unpacked(self.work)
        self.project = Project(copy_of_checkout(self.work / "project"), self.work / "root")
        version, cuda = json.loads(
            subprocess.check_output([self.python, "-c", ASK], timeout=IMPORT_S)
        )
        self.torch = version
        self.variant = "cu" + cuda.replace(".", "") if cuda else "cpu"
        self.found |= {"torch": version, "variant": self.variant}

    def alone(self) -> str:
        """Run the smoke test by hand on the torch that is installed, before anything is built."""
        command = [self.python, self.program, "test"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        require(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}")
        self.found["alone"] = json.loads(done.stdout)
        devices = self.found["alone"]["devices"]
        wanted = "cpu" if self.cpu else "cuda"
        require(all(d["device"].startswith(wanted) for d in devices), f"tested {devices}")
        return "; ".join(device["summary"] for device in devices)

    def held(self) -> str:
        """A GPU whose memory another process holds is left alone, and counts as no failure."""
        hold = [self.python, "-c", HOLD]
        with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                require(said_in_time(holder) == b"held\n", "nothing was held")
                result = self.smoke_by_program()
            finally:
                holder.kill()
        skipped = [device.fault for device in result.devices if device.status == "skipped"]
        names = [fault and fault.name for fault in skipped]
        require(len(names) == 1 and names[0] in HELD, f"{names} were skipped: {result}")
        return str(skipped[0])

    def smoke_by_program(self) -> smoke.SmokeResult:
        """Run the smoke test as a deploy does, on the torch that is installed."""
        given = {"accelerator": "cuda", "words": faults.words(self.torch)}
        done = node_program.run(self.python, self.program, "smoke", given, timeout=300)
        return smoke.parse_smoke(done.stdout)

    def build_index(self) -> str:
        """Make the right wheels, and the same with a torch that says it is of another variant."""
        there = installed(self.python)
        names = ["torch", *(["numpy"] if "numpy" in there else [])]
        right, wrong = (self.work / index / "files" for index in ("right", "wrong"))
        for files in (right, wrong):
            files.mkdir(parents=True)
        with ThreadPoolExecutor() as pool:  # hashes and checksums let other threads run
            other = pool.submit(rebuild, there["torch"], wrong, self.other_variant())
            wheels = list(pool.map(lambda found: rebuild(found, right), closure(there, names)))
            other.result()
        for wheel in wheels:
            if not wheel.name.startswith("torch-"):
                os.link(wheel, wrong / wheel.name)
        for files in (right, wrong):
            write_index(files.parent, self.variant, sorted(files.glob("*.whl")))
        size = sum(wheel.stat().st_size for wheel in wheels)
        self.found["packages"] = names
        return f"{len(wheels)} wheels, {size / 1e9:.1f} GB, with {' and '.join(names)}"

    def other_variant(self) -> dict[str, bytes]:
        """Return torch/version.py of a CPU torch; of a CUDA one where the right one is for CPU."""
        show = "import torch.version as v; print(v.__file__)"
        text = Path(
            subprocess.check_output([self.python, "-c", show], text=True, timeout=IMPORT_S).strip()
        )
        cuda = "'13.0'" if self.variant == "cpu" else "None"
        changed = re.sub(r"^cuda\b.*$", f"cuda = {cuda}", text.read_text(), flags=re.M)
        require(changed != text.read_text(), "torch/version.py does not say which CUDA it is for")
        return {"torch/version.py": changed.encode()}

    def facts(self) -> str:
        """Ask the host; with a GPU the answer has to come from NVML."""
        main = "import sys; from fleetwheel.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", main, "facts", "inventory.py", "--json"],
            cwd=self.project.directory,
            env={**os.environ, **self.environment(self.address)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        require(done.returncode == 0, done.stderr[-2000:])
        profile = json.loads(done.stdout)["hosts"][0]["profile"]
        self.gpus = profile["gpus"]
        self.found["driver"], self.found["gpus"] = profile["driver"], self.gpus
        if self.cpu:
            require(not self.gpus, "this machine has a GPU: run without --cpu")
            return "no GPU"
        require(profile["driver"]["state"] == "ok", f"the driver is {profile['driver']}")
        require(self.gpus, "the driver shows no GPU")
        require(self.gpus[0]["memory_free_mib"] is not None, "NVML did not answer")
        names = ", ".join(gpu["name"] for gpu in self.gpus)
        return f"{names}, driver {profile['driver']['version']}"

    def deploy(self) -> str:
        """Choose, lock, install, test and activate."""
        self.pyinfra("deploys/torch.py")
        entry = self.project.report()
        require(entry["status"] == "changed", f"status {entry['status']}: {entry['why']}")
        require(entry["choice"]["variant"] == self.variant, f"chose {entry['choice']['variant']}")
        locks = [lock.read_text() for lock in (self.project.directory / "locks").iterdir()]
        own = f'url = "{self.address}/files/torch-'
        require([own in lock for lock in locks] == [True], "torch is locked from elsewhere")
        smoke = entry["smoke"]
        self.found["quick"] = smoke
        require(smoke["passed"], "the smoke test did not pass")
        tested = [device["status"] for device in smoke["devices"]]
        require(set(tested) == {"passed"}, f"devices: {tested}")
        require(len(tested) >= len(self.gpus), f"{len(tested)} devices were tested")
        answer = self.project.python(COMPUTE.format("cpu" if self.cpu else "cuda"))
        require(answer == "3.0", f"the environment in use computes {answer}")
        return f"{entry['generation']}, smoke test {smoke['seconds']} s"

    def deploy_again(self, **data: str) -> str:
        """Nothing is left to do."""
        before = self.project.tree()
        self.pyinfra("deploys/torch.py", **data)
        entry = self.project.report()
        require(entry["status"] == "unchanged", f"status {entry['status']}: {entry['why']}")
        require(self.project.tree() == before, "files under the root have changed")
        return "unchanged"

    def full(self) -> str:
        """Run the full level on the environment in use."""
        self.pyinfra("deploys/smoke.py", smoke="full")
        smoke = self.project.report()["smoke"]
        self.found["full"] = smoke
        require(smoke["passed"] and smoke["level"] == "full", "the full smoke test did not pass")
        measured = [m for device in smoke["devices"] for m in device["measured"]]
        require(measured and smoke["together"], "something was left out")
        if not self.cpu:
            require(any(m["fraction"] for m in measured), "NVML told no clocks to compare with")
        said = (f"{m['name']} {m['value']} {m['unit']}" for m in measured)
        return f"{smoke['seconds']} s; {', '.join(said)}"

    def drift(self) -> str:
        """Nothing is other than it was deployed."""
        if not (CHECKOUT / "deploys/drift.py").exists():
            return "not checked: there is no deploys/drift.py"
        self.pyinfra("deploys/drift.py")
        entry = self.project.report()
        require(entry["status"] == "clean", f"status {entry['status']}: {entry['drift']}")
        return "clean"

    def wrong_wheels(self) -> str:
        """Wheels of another variant than the lock's fail, and the old environment stays."""
        current = (self.project.root / "current").readlink()
        self.pyinfra("deploys/torch.py", address=self.wrong_address, fails=True, relock="true")
        entry = self.project.report()
        require(entry["status"] == "failed", f"status {entry['status']}")
        faults = [fault["name"] for fault in (entry["smoke"] or {}).get("faults", [])]
        require(faults == ["wrong-variant"], f"faults {faults}: {entry['why']}")
        require((self.project.root / "current").readlink() == current, "current has moved")
        answer = self.project.python(COMPUTE.format("cpu" if self.cpu else "cuda"))
        require(answer == "3.0", f"the environment in use computes {answer}")
        return f"{faults[0]}; {current.name} stays in use"

    def environment(self, address: str) -> dict[str, str]:
        """Return what makes the local index the only source of wheels."""
        return {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{address}/simple/",
            "FLEETWHEEL_PYTORCH_INDEX": f"{address}/whl",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(CHECKOUT),
        }

    def pyinfra(self, deploy: str, *, address: str = "", fails: bool = False, **data: str) -> None:
        """Run a deploy; its exit code has to be 0, or 1 where it has to fail."""
        packages = [name for name in self.found["packages"] if name != "torch"]
        data = {"packages": ",".join(packages) or "[]", **data}
        environment = self.environment(address or self.address)
        done = self.project.run("-y", deploy, env=environment, **data)
        words = " ".join(f"--data {key}={value}" for key, value in data.items())
        print(f"$ pyinfra -y inventory.py {deploy} {words}\n{done.stdout}", file=sys.stderr)
        require(
            done.returncode == int(fails), f"exit code {done.returncode}: {done.stdout[-2000:]}"
        )


def said_in_time(process: subprocess.Popen[bytes]) -> bytes:
    """Return the first line that a process prints; nothing where it prints none in time."""
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], IMPORT_S)
    return process.stdout.readline() if ready else b""


def run(acceptance: Acceptance, file: Path | None) -> dict[str, Any]:
    """Take every step in order, until one fails; return the result, kept after every step."""
    steps: list[tuple[str, Callable[[], str]]] = [
        ("facts", acceptance.facts),
        ("deploy", acceptance.deploy),
        ("deploy again", acceptance.deploy_again),
        ("full smoke test", acceptance.full),
        ("drift", acceptance.drift),
        ("wrong wheels", acceptance.wrong_wheels),
        ("relock from the right index", lambda: acceptance.deploy_again(relock="true")),
    ]
    first = [("smoke test by hand", acceptance.alone)]
    first += [] if acceptance.cpu else [("a GPU that is in use", acceptance.held)]
    first += [("index of the installed torch", acceptance.build_index)]
    done: list[dict[str, Any]] = []

    def go_on(name: str, step: Callable[[], str]) -> None:
        done.append(take(name, step))
        keep(result_of(acceptance, done, len(first) + len(steps)), file)

    for name, step in first:
        go_on(name, step)
    with served(acceptance.work / "right") as right, served(acceptance.work / "wrong") as wrong:
        acceptance.address, acceptance.wrong_address = right, wrong
        for name, step in steps:
            if done[-1]["passed"]:
                go_on(name, step)
    return result_of(acceptance, done, len(first) + len(steps))


def result_of(acceptance: Acceptance, done: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """Return the result of these steps, which has passed when all so many have."""
    return {
        "schema": "fleetwheel.acceptance/1",
        "passed": len(done) == count and all(step["passed"] for step in done),
        "seconds": round(sum(step["seconds"] for step in done), 1),
        **acceptance.found,
        "steps": done,
    }


def keep(result: dict[str, Any], file: Path | None) -> None:
    """Write the result so far: a machine that dies later takes no more than the step with it."""
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n")


def take(name: str, step: Callable[[], str]) -> dict[str, Any]:
    """Take one step; say how it went."""
    started = time.monotonic()
    try:
        passed, said = True, step()
    except Exception as error:  # what one step did not foresee must not cost the others' results
        passed, said = False, f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - started, 1)
    print(f"{'ok    ' if passed else 'FAILED'} {name} ({seconds} s): {said}", flush=True)
    return {"name": name, "passed": passed, "seconds": seconds, "said": said}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="an interpreter with torch")
    parser.add_argument("--cpu", action="store_true", help="the same steps without a GPU")
    parser.add_argument("--json", type=Path, help="file for the result")
    parser.add_argument("--work", type=Path, help="directory with 20 GB free; a new one in /tmp")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        del os.environ[name]  # or they would name other sources of wheels
    work = Path(tempfile.mkdtemp(prefix="acceptance-", dir=options.work))
    try:
        return tell(run(Acceptance(work, options.python, options.cpu), options.json))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def tell(result: dict[str, Any]) -> int:
    """Print the verdict, before tidying up costs more time."""
    failed = [step["name"] for step in result["steps"] if not step["passed"]]
    verdict = "PASS" if result["passed"] else f"FAILED: {', '.join(failed)}"
    print(f"{verdict}, after {result['seconds']} s", flush=True)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
