"""What differs on a host from its record and lock, for ``fleetwheel drift`` and for the host.

A difference is what stands here against what a deploy recorded. What the inventory asks for, the
controller adds in ``fleetwheel/drift.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fleetwheel.node.driver_states import explain_state
from fleetwheel.node.trust import closing
from fleetwheel.node.windows_trust import CLOSE

DEPLOY = "run deploys/torch.py for this host"
REBUILD = "run deploys/torch.py for this host with --data rebuild=true"
ACCEPT = "if it is meant: run deploys/torch.py, which tests it and records it as the new baseline"
TEST = "run deploys/smoke.py for this host"
TEST_AGAIN = f"{DEPLOY}: it tests again, and builds again what has lost files"
HELD = (
    "it is on hold, and deploys leave it alone: end the hold with --data lift_hold=true, or roll"
    " back to another generation"
)
FOR_ALL = "run deploys/onboard.py, which installs a Python that all can run, then deploys/torch.py"
MEMORY = "memory of a GPU"
OPEN_WAY = "let others into it (chmod o+rX) or name another root, then run deploys/smoke.py"


class Difference(NamedTuple):
    """One difference between what a host is and what it should be."""

    class_: str
    """``package``, ``driver``, ``hardware`` or ``runtime``."""
    what: str
    expected: str
    found: str
    repair: str
    action: str = ""
    """Which deploy carries the repair out; empty where none does (``Action`` of cause.py)."""
    subject: str = ""
    """``what`` in words that several hosts share, where it names a place on this one."""


class DriverLike(Protocol):
    """What a record and a look say of an NVIDIA driver."""

    @property
    def state(self) -> str: ...
    @property
    def version(self) -> str | None: ...


class GpuLike(Protocol):
    """What a record and a look say of a GPU; None where nobody could tell."""

    @property
    def index(self) -> int: ...
    @property
    def uuid(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def pci_bus_id(self) -> str | None: ...
    @property
    def memory_total_mib(self) -> int | None: ...
    @property
    def ecc(self) -> bool | None: ...
    @property
    def mig(self) -> bool | None: ...
    @property
    def pcie_width(self) -> int | None: ...
    @property
    def remapping_pending(self) -> bool | None: ...
    @property
    def remapping_failed(self) -> bool | None: ...


class Pass(NamedTuple):
    """All that has to stay the same for a passed smoke test to hold."""

    generation: str
    driver: str | None
    gpus: tuple[str | None, ...]
    """UUIDs of the GPUs, in index order."""
    boot_id: str | None


class Environment(NamedTuple):
    """A generation as it stands on a host."""

    runs: bool
    """Whether its Python is there."""
    packages: Mapping[str, str]
    """Normalised name to full version."""


class Recorded(NamedTuple):
    """What a record says of the environment in use."""

    generation: str
    interpreter: str
    lock: str
    """The lock's name."""
    packages: Mapping[str, str] | None
    """The lock's packages; None where nobody has it any more."""


def repair_on_hold(repair: str, held: str = HELD) -> str:
    """Return a repair for what is on hold, which no deploy repairs."""
    repair = repair.replace(TEST_AGAIN, TEST)
    for deploy in (REBUILD, DEPLOY, ACCEPT):
        repair = repair.replace(deploy, held)
    return repair


NOTHING_DEPLOYED = Difference(
    "package", "environment", "a deploy", "nothing was deployed", DEPLOY, "deploy"
)


def package_differences(
    recorded: Recorded,
    current: str | None,
    there: Environment | None,
    link: str = "current",
) -> list[Difference]:
    """Compare what is in use, its interpreter and its packages with record and lock."""
    if there is None:
        words = (recorded.generation, "it is gone", DEPLOY)
        return [Difference("package", "environment", *words, "deploy")]
    found = []
    if current != recorded.generation:
        elsewhere = current or "nothing"
        words = (recorded.generation, elsewhere, DEPLOY)
        found.append(Difference("package", link, *words, "deploy"))
    if not there.runs:
        gone = f"{recorded.interpreter} does not run it"
        words = ("bin/python runs", gone, DEPLOY)
        found.append(Difference("package", "interpreter", *words, "deploy"))
    if recorded.packages is None:
        words = (recorded.lock, "nobody has it", REBUILD)
        return [*found, Difference("package", "lock", *words, "rebuild")]
    return [*found, *version_differences(recorded.packages, there.packages)]


def version_differences(wanted: Mapping[str, str], there: Mapping[str, str]) -> list[Difference]:
    """Compare versions with their local part; packages that came or went."""
    absent = "not there"
    return [
        Difference(
            "package", name, wanted.get(name, absent), there.get(name, absent), DEPLOY, "deploy"
        )
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]


def damaged_differences(packages: Iterable[str]) -> list[Difference]:
    """Return the packages whose files differ from the hashes in their RECORD."""
    words = ("as in the wheel", "changed or missing", REBUILD, "rebuild")
    return [Difference("package", f"files of {name}", *words) for name in packages]


def unrecorded_differences(files: Sequence[str]) -> list[Difference]:
    """Return the files that Python would run, and that no wheel of the lock brought."""
    if not files:
        return []
    words = ("none", ", ".join(files), REBUILD)
    return [Difference("package", "files of no package", *words, "rebuild")]


def driver_differences(
    before: DriverLike, now: DriverLike, os: str, newer: str = ""
) -> list[Difference]:
    """Compare state and version; ``newer`` is what a new version makes possible, for people."""
    found = []
    if now.state != before.state:
        repair = explain_state(now.state, os).repair
        words = (before.state, now.state, repair or ACCEPT)
        found.append(Difference("driver", "state", *words, "" if repair else "deploy"))
    if now.version != before.version and now.version:
        words = (before.version or "none", now.version, f"{ACCEPT}{newer}")
        found.append(Difference("driver", "version", *words, "deploy"))
    return found


def library_differences(module: str | None, library: str | None, os: str) -> list[Difference]:
    """Compare the loaded kernel module with the library on disk, which an update replaces first."""
    if not module or not library or module == library:
        return []
    reboot = explain_state("version-mismatch", os).repair
    words = (f"kernel module {module}", f"library {library}", reboot)
    return [Difference("driver", "library", *words)]


def hardware_differences(before: Sequence[GpuLike], now: Sequence[GpuLike]) -> list[Difference]:
    """Compare the GPUs by UUID, and those that came and went by their place on the bus."""
    if not all(gpu.uuid for gpu in (*before, *now)):
        return by_index(before, now)
    old, new = ({gpu.uuid: gpu for gpu in gpus} for gpus in (before, now))
    found = [d for uuid, gpu in old.items() if uuid in new for d in same_gpu(gpu, new[uuid])]
    gone = [gpu for uuid, gpu in old.items() if uuid not in new]
    added = {gpu.pci_bus_id: gpu for uuid, gpu in new.items() if uuid not in old}
    for gpu in gone:
        other = added.pop(gpu.pci_bus_id, None) if gpu.pci_bus_id else None
        repair = ACCEPT if other else f"look for the GPU: seat, power, `Xid` in dmesg; {ACCEPT}"
        words = (gpu_place(gpu), gpu_named(gpu), gpu_named(other), repair)
        subject = "another GPU" if other else "a GPU that is gone"
        found.append(Difference("hardware", *words, "deploy", subject))
    for gpu in added.values():
        words = (gpu_place(gpu), "no GPU", gpu_named(gpu), ACCEPT)
        found.append(Difference("hardware", *words, "deploy", "a GPU that is new"))
    return found


def by_index(before: Sequence[GpuLike], now: Sequence[GpuLike]) -> list[Difference]:
    """Compare GPUs that tell no UUID, as after a driver has broken, by name and number."""
    names = [gpu.name for gpu in before], [gpu.name for gpu in now]
    if names[0] == names[1]:
        return []
    old, new = (", ".join(group) or "no GPU" for group in names)
    return [Difference("hardware", "GPUs", old, new, ACCEPT, "deploy")]


def same_gpu(before: GpuLike, now: GpuLike) -> list[Difference]:
    """Compare what should stay as it is on one GPU, as far as both looks could tell."""
    values: dict[str, tuple[object, object]] = {
        "place on the bus": (before.pci_bus_id, now.pci_bus_id),
        "memory, MiB": (before.memory_total_mib, now.memory_total_mib),
        "ECC": (before.ecc, now.ecc),
        "MIG": (before.mig, now.mig),
    }
    found = [
        Difference(
            *("hardware", f"{what} of GPU {now.index}", word(old), word(new), ACCEPT),
            action="deploy",
            subject=f"{what} of a GPU",
        )
        for what, (old, new) in values.items()
        if old != new and old is not None and new is not None
    ]
    old_width, width = before.pcie_width, now.pcie_width
    if old_width and width and width < old_width:
        seat = "reseat the GPU and look at its slot and riser"
        words = (f"PCIe width of GPU {now.index}", f"x{old_width}", f"x{width}", seat)
        found.append(Difference("hardware", *words, subject="PCIe width of a GPU"))
    return found


def word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def gpu_place(gpu: GpuLike) -> str:
    return f"GPU at {gpu.pci_bus_id}" if gpu.pci_bus_id else f"GPU {gpu.uuid}"


def gpu_named(gpu: GpuLike | None) -> str:
    return f"{gpu.name} ({gpu.uuid})" if gpu else "no GPU"


def untested_differences(generation: str, tested: str | None) -> list[Difference]:
    """Return a test that failed since the deploy.

    ``tested`` is the generation whose smoke test passed last.
    """
    words = ("passed", "no pass that counts", TEST_AGAIN, "deploy")
    return [] if tested == generation else [Difference("runtime", "smoke test", *words)]


def failing_memory(gpus: Sequence[GpuLike]) -> list[Difference]:
    """Return the GPUs whose memory has rows that are, or will be, out of use."""
    found = []
    for gpu in gpus:
        what = f"memory of GPU {gpu.index}"
        if gpu.remapping_failed:
            words = ("sound", "no spare row is left", "replace the GPU")
            found.append(Difference("runtime", what, *words, subject=MEMORY))
        elif gpu.remapping_pending:
            words = ("sound", "a row waits to be replaced", "reboot, or reset the GPU")
            found.append(Difference("runtime", what, *words, subject=MEMORY))
    return found


def others_differences(python: str, reach: str, result: Mapping[str, Any]) -> list[Difference]:
    """Return what keeps other users of the host from an environment that is there for all."""
    why = for_root_alone(python, reach, result)
    repair, action = (FOR_ALL, "onboard") if reach == "private" else (OPEN_WAY, "smoke")
    words = ("they can run it", why, repair, action)
    return [Difference("runtime", "other users", *words)] if why else []


def for_root_alone(python: str, reach: str, result: Mapping[str, Any]) -> str:
    """Return why only root can run an environment that is there for all; empty where others can.

    ``reach`` says who can run its interpreter, ``result`` is the document of its smoke test, which
    starts it as another user.
    """
    if reach == "private":
        return f"only root can run it: {python} lies where other users cannot go"
    others = result.get("others")
    return f"another user cannot start it: {others}" if others else ""


def outside_differences(found: Iterable[tuple[str, str, str]]) -> list[Difference]:
    """Return who else may read an environment, and what differs in what people find it by."""
    return [Difference("runtime", *words, DEPLOY, "deploy") for words in found]


def replaced_differences(found: Iterable[tuple[str, str, str]]) -> list[Difference]:
    """Return which files that people found an environment by are somebody else's now."""
    repair = "remove that file, and run deploys/torch.py; or switch it off, with publish:"
    return [Difference("runtime", *words, repair) for words in found]


def root_differences(why: str, user: str, os: str) -> list[Difference]:
    """Return that others than this user could change what stands under a root (trust.sh)."""
    windows = os == "windows"
    who = " and ".join(dict.fromkeys(["administrators" if windows else "root", user]))
    expected, repair = f"only {who} can change it", CLOSE if windows else closing(why, user)
    return [Difference("runtime", "root", expected, why, repair)] if why else []


def since(passed: Pass, now: Pass) -> list[str]:
    """Return what has changed since a smoke test passed: with anything, it holds no longer."""
    words = {
        "generation": "of another environment",
        "driver": f"with driver {passed.driver or 'none'}, and {now.driver or 'none'} runs now",
        "gpus": "with other GPUs",
        "boot_id": "before the host was booted",
    }
    return [said for name, said in words.items() if getattr(passed, name) != getattr(now, name)]
