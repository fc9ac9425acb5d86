"""A made-up fleet with a made-up past, the same at every call: for pictures and for big pages.

Its hosts are made up, what is said of them is not: each look is the product's own drift check, on
the state that a host would have recorded. ``python -m tests.made_up_fleet DIRECTORY`` writes its
reports.
"""

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from pyinfra.context import ctx_host

from fleetwheel.choice.choose import Choice
from fleetwheel.deploy.record import Hold, Record, State, smoke_pass
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import (
    Driver,
    DriverState,
    Generation,
    Gpu,
    HostState,
    Installation,
    Profile,
    Python,
)
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.operations import _drift_check
from fleetwheel.operations._host_state import no_answer
from fleetwheel.operations._report import cause_unreachable
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.report import HostReport, Report
from fleetwheel.sources.wheel import Source
from tests.samples import target_of

LAST = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
MODELS = {
    "workstations": ("ws", "NVIDIA GeForce RTX 4090", "8.9", 24564, 1),
    "render": ("render", "NVIDIA RTX 6000 Ada Generation", "8.9", 49140, 2),
    "training": ("h100", "NVIDIA H100 80GB HBM3", "9.0", 81559, 8),
    "teaching": ("lab", "NVIDIA GeForce GTX 1080 Ti", "6.1", 11264, 1),
}
ENVIRONMENTS = {
    "workstations": (),
    "render": ("vision",),
    "training": ("vision", "speech"),
    "teaching": ("course",),
}
"""Beside the default one."""
MANY = tuple(f"team-{letter}" for letter in "abcdefghi")
"""What one host of ``training`` has."""
PACKAGES = {
    "vision": "timm==1.0.22",
    "speech": "soundfile==0.13.1",
    "course": "einops==0.8.1",
}
EXPECT = {"max_temperature_c": 85}
OLD_DRIVER = "575.64.03"
PYTHON = Python(path="/usr/bin/python3.12", version="3.12.11")
HOLD = Hold(since=datetime(2026, 11, 18, tzinfo=UTC), rolled_back_from="2.14.0-cp312-77aa01-1")
FULL = "sh: cannot create temp file for here-document: No space left on device"


def report(hosts: int, day: int = 0) -> Report:
    """Return the drift check of this many hosts, so many days before the last one."""
    groups = [_place(number, hosts) for number in range(hosts)]
    found = (_host(name, group, day) for name, group in groups)
    return Report(kind="drift", at=LAST - timedelta(days=day), hosts=tuple(found))


def past(hosts: int, days: int = 20) -> list[Report]:
    """Return earlier drift checks of the same hosts, the oldest first."""
    return [report(hosts, day) for day in range(days, 0, -1)]


def _place(number: int, hosts: int) -> tuple[str, str]:
    groups = list(MODELS)
    group = groups[number * len(groups) // hosts]
    return f"{MODELS[group][0]}-{number % -(-hosts // len(groups)) + 1:02}", group


def _host(name: str, group: str, day: int) -> HostReport:
    chance = random.Random(name)
    since, until = 20 - chance.randrange(40), chance.randint(1, 9)
    return _looked_at(name, group, ill=since - until < day <= since)


@cache
def _looked_at(name: str, group: str, *, ill: bool) -> HostReport:
    """Return what the drift check says of a host, well or as it is in its bad days."""
    chance = random.Random(name)
    chance.randrange(40), chance.randint(1, 9)
    names = MANY if name == "h100-02" else ENVIRONMENTS[group]
    settings = _settings(names)
    profile = _profile(group, chance)
    locks = {each: _lock(own, profile, group) for each, own in settings.by_environment().items()}
    state = _deployed(profile, locks)
    fate = chance.randrange(8) if ill else -1
    if fate == 0:
        why = f"Could not connect ([Errno None] Unable to connect to port 22 on {name})"
        cause = cause_unreachable(ConnectionRefusedError())
        return HostReport(name=name, group=group, status="unreachable", why=why, cause=cause)
    if fate == 1:
        state = _on_hold(state, list(locks)[-1])
    elif fate > 2:
        state = _spoilt(state, group, chance, list(locks)[-1])
    answer = no_answer(FULL) if fate == 2 else state
    with _answering(name, group, answer, locks):
        return _drift_check.look(settings).model_copy(update={"seconds": 1.4})


@contextmanager
def _answering(
    name: str, group: str, answer: HostState | FleetwheelError, locks: dict[str, Lock]
) -> Iterator[None]:
    """Have the drift check ask a host that answers this."""

    def answered(settings: Settings) -> HostState:
        if isinstance(answer, FleetwheelError):
            raise answer
        return answer

    def lock(facts: HostState, record: Record | None, on_hold: str) -> Lock | None:
        return next((one for one in locks.values() if record and one.name == record.lock), None)

    asked = SimpleNamespace(name=name, groups=[group])
    with (
        ctx_host.use(asked),
        patch.object(_drift_check, "group_of", lambda groups: groups[0]),
        patch.object(_drift_check, "answered", answered),
        patch.object(_drift_check, "_lock", lock),
        patch.object(_drift_check, "look_at_files", lambda *_: ([], [])),
    ):
        yield


def _settings(names: tuple[str, ...]) -> Settings:
    environments = {
        name: {"packages": [PACKAGES[name]] if name in PACKAGES else []} for name in names
    }
    return Settings.model_validate({"environments": environments, "expect": EXPECT})


def _profile(group: str, chance: random.Random) -> Profile:
    _, model, capability, memory, count = MODELS[group]
    gpus = tuple(
        Gpu(
            index=index,
            uuid=f"GPU-{chance.getrandbits(32):08x}",
            name=model,
            compute_capability=capability,
            memory_total_mib=memory,
            pci_bus_id=f"00000000:{0x17 + 0x22 * index:02X}:00.0",
            temperature_c=61,
        )
        for index in range(count)
    )
    old = group == "teaching"
    return Profile(
        os="linux",
        arch="x86_64",
        distribution="Ubuntu 24.04.3 LTS" if not old else "Debian GNU/Linux 12 (bookworm)",
        glibc="2.39" if not old else "2.36",
        memory_total_mib=count * 65536,
        pythons=(PYTHON,),
        boot_id="boot-1",
        driver=Driver(
            state=DriverState.OK,
            version="570.195.03" if old else "580.95.05",
            cuda="12.8" if old else "13.0",
        ),
        gpus=gpus,
    )


def _lock(settings: Settings, profile: Profile, group: str) -> Lock:
    torch, variant = ("2.10.0", "cu126") if group == "teaching" else ("2.13.0", "cu130")
    pinned = [package.split("==") for package in settings.request.packages if "==" in package]
    return _locked(
        settings, profile, {"torch": f"{torch}+{variant}", "numpy": "2.4.0", **dict(pinned)}
    )


def _locked(settings: Settings, profile: Profile, packages: dict[str, str]) -> Lock:
    torch, _, variant = packages["torch"].partition("+")
    lines = ['lock-version = "1.0"\ncreated-by = "tests"\n']
    for name, version in packages.items():
        url = f"https://example.org/{name}-{version}-py3-none-any.whl"
        wheel = f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
        lines.append(f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{wheel}')
    address = f"https://download.pytorch.org/whl/{variant}"
    choice = Choice(
        torch=torch,
        variant=variant,
        packages={"torch": packages["torch"]},
        requirements=settings.request.packages,
        python=PYTHON,
        source=Source(name=f"official {variant}", url=address),
        reasons=("the newest torch that runs on every GPU of the host",),
    )
    target = target_of(profile, settings.request)
    return locking.lock_of("".join(lines), choice, target, settings.request)


def _deployed(profile: Profile, locks: dict[str, Lock]) -> HostState:
    """Return a host as deploys of these locks leave it."""
    ids = {
        name: f"{lock.choice.packages['torch']}-cp312-{lock.name[-17:-5]}-1"
        for name, lock in locks.items()
    }
    records = {
        name: Record(
            generation=ids[name],
            request=lock.origin.request,
            lock=lock.name,
            choice=lock.choice,
            driver=profile.driver,
            gpus=profile.gpus,
            smoke=smoke_pass(ids[name], profile, {"passed": True}),
            deployed_at=LAST - timedelta(days=40),
        )
        for name, lock in locks.items()
    }
    installation = Installation(
        root="/opt/fleetwheel",
        user="root",
        exists=True,
        writable=True,
        free_bytes=10**12,
        current=ids["default"],
        environments={name: id for name, id in ids.items() if name != "default"},
        generations=tuple(
            Generation(id=id, python=PYTHON.path, packages=dict(locks[name].packages))
            for name, id in ids.items()
        ),
        record=State(environments=records).text(),
    )
    return HostState(profile=profile, installation=installation)


def _on_hold(there: HostState, name: str) -> HostState:
    records = dict(State.model_validate_json(there.installation.record).environments)
    records[name] = records[name].model_copy(update={"hold": HOLD})
    return _with(there, record=State(environments=records).text())


def _with(there: HostState, **changes: object) -> HostState:
    installation = there.installation.model_copy(update=changes)
    return there.model_copy(update={"installation": installation})


def _spoilt(there: HostState, group: str, chance: random.Random, name: str) -> HostState:
    """Return a host to which one or two things have happened."""
    kinds = [_numpy, _other_driver, _lost_gpu, _hot_gpu]
    kinds = kinds if len(there.profile.gpus) > 3 else kinds[::3]
    kinds = [_numpy, _other_driver] if group == "workstations" else kinds
    for happens in chance.sample(kinds, chance.choice((1, 1, 2))):
        there = happens(there, chance, name)
    return there


def _numpy(there: HostState, chance: random.Random, name: str) -> HostState:
    found = chance.choice(("1.26.4", "1.26.4", "1.26.4", "2.3.5"))
    *others, last = there.installation.generations
    spoilt = last.model_copy(update={"packages": {**last.packages, "numpy": found}})
    return _with(there, generations=(*others, spoilt))


def _other_driver(there: HostState, chance: random.Random, name: str) -> HostState:
    driver = there.profile.driver.model_copy(update={"version": OLD_DRIVER, "cuda": "12.9"})
    profile = there.profile.model_copy(update={"driver": driver})
    return there.model_copy(update={"profile": profile})


def _lost_gpu(there: HostState, chance: random.Random, name: str) -> HostState:
    lost = chance.randrange(len(there.profile.gpus))
    gpus = tuple(gpu for gpu in there.profile.gpus if gpu.index != lost)
    return there.model_copy(update={"profile": there.profile.model_copy(update={"gpus": gpus})})


def _hot_gpu(there: HostState, chance: random.Random, name: str) -> HostState:
    first, *others = there.profile.gpus
    hot = first.model_copy(update={"temperature_c": chance.choice((91, 93, 94))})
    gpus = (hot, *others)
    return there.model_copy(update={"profile": there.profile.model_copy(update={"gpus": gpus})})


def _bare(host: HostReport) -> HostReport:
    """Return a host with nothing but what was wrong with it."""
    nothing = {"choice": None, "generation": None, "smoke": None}
    kept = [each.model_copy(update=nothing) for each in host.environments if each.status != "clean"]
    return host.model_copy(update={"profile": None, "environments": tuple(kept)})


def main(directory: Path) -> None:
    """Write the fleet of the picture; of its past, no more than what was wrong."""
    for old in past(44):
        hosts = tuple(map(_bare, old.hosts))
        _write(directory, old.model_copy(update={"hosts": hosts}))
    _write(directory, follow(report(44), past(44)))


def _write(directory: Path, made: Report) -> None:
    path = directory / f"{made.at:%Y-%m-%dT%H-%M-%S.%fZ}.json"
    document = made.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
