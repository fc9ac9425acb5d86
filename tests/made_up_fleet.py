"""A made-up fleet with a made-up past, the same at every call: for pictures and for big pages.

``python -m tests.made_up_fleet DIRECTORY`` writes its reports.
"""

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleetwheel.choice.choose import Choice
from fleetwheel.host.profile import Driver, DriverState, Gpu, Profile, Python
from fleetwheel.reporting.report import (
    OF_HOST,
    Drift,
    EnvironmentReport,
    HostReport,
    Report,
    Status,
)
from fleetwheel.sources.wheel import Source

LAST = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
MODELS = {
    "workstations": ("ws", "NVIDIA GeForce RTX 4090", "8.9", 24564, 1),
    "render": ("render", "NVIDIA RTX 6000 Ada Generation", "8.9", 49140, 2),
    "training": ("h100", "NVIDIA H100 80GB HBM3", "9.0", 81559, 8),
    "teaching": ("lab", "NVIDIA GeForce GTX 1080 Ti", "6.1", 11264, 1),
}
ENVIRONMENTS = {
    "workstations": ("default",),
    "render": ("default", "vision"),
    "training": ("default", "vision", "speech"),
    "teaching": ("default", "course"),
}
MANY = ("default", *(f"team-{letter}" for letter in "abcdefghi"))
"""What one host of ``training`` has."""
PACKAGES = {
    "vision": ("torchvision==0.28.0", "timm==1.0.22"),
    "speech": ("torchaudio==2.13.0",),
    "course": ("torchvision==0.25.0",),
}
PYTHON = Python(path="/usr/bin/python3.12", version="3.12.11")
DRIFTS = (
    Drift(
        class_="package",
        what="numpy",
        expected="2.4.0",
        found="1.26.4",
        repair="pyinfra -y --limit {host} inventory.py deploys/torch.py",
    ),
    Drift(
        class_="driver",
        what="driver version",
        expected="580.95.05",
        found="575.64.03",
        repair="Install driver 580.95.05 again, or deploy: "
        "pyinfra -y --limit {host} inventory.py deploys/torch.py",
    ),
    Drift(
        class_="hardware",
        what="GPU 3",
        expected="NVIDIA H100 80GB HBM3 at 00000000:9B:00.0",
        found="not there",
        repair="Look for Xid 79 in the kernel log, reseat the card, power the host off and on",
    ),
    Drift(
        class_="runtime",
        what="GPU 0 temperature",
        expected="at most 85 °C",
        found="93 °C",
        repair="Clean the filters of {host}, see that its fans turn",
    ),
)


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
    _, model, capability, memory, count = MODELS[group]
    gpus = tuple(
        Gpu(
            index=index,
            uuid=f"GPU-{chance.getrandbits(32):08x}",
            name=model,
            compute_capability=capability,
            memory_total_mib=memory,
            pci_bus_id=f"00000000:{0x17 + 0x22 * index:02X}:00.0",
        )
        for index in range(count)
    )
    old = group == "teaching"
    profile = Profile(
        os="linux",
        arch="x86_64",
        distribution="Ubuntu 24.04.3 LTS" if not old else "Debian GNU/Linux 12 (bookworm)",
        glibc="2.39" if not old else "2.36",
        memory_total_mib=count * 65536,
        driver=Driver(state=DriverState.OK, version="570.195.03" if old else "580.95.05"),
        gpus=gpus,
    )
    names = MANY if name == "h100-02" else ENVIRONMENTS[group]
    healthy = HostReport(
        name=name,
        group=group,
        status="clean",
        profile=profile,
        environments=tuple(_environment(environment, old) for environment in names),
        seconds=1.4,
    )
    ill = since - until < day <= since
    return _spoilt(healthy, chance) if ill else healthy


def _environment(name: str, old: bool) -> EnvironmentReport:
    choice = _choice(old, *PACKAGES.get(name, ()))
    return EnvironmentReport(
        name=name,
        status="clean",
        choice=choice,
        generation=f"{choice.packages['torch']}-cp312-5c1d0a7e9b42-1",
        smoke={"passed": True},
    )


def _choice(old: bool, *packages: str) -> Choice:
    torch, variant = ("2.10.0", "cu126") if old else ("2.13.0", "cu130")
    return Choice(
        torch=torch,
        variant=variant,
        packages={"torch": f"{torch}+{variant}", **dict(map(_named, packages))},
        requirements=("numpy", *(name for name, _ in map(_named, packages))),
        python=PYTHON,
        source=Source(
            name=f"official {variant}", url=f"https://download.pytorch.org/whl/{variant}"
        ),
        reasons=("the newest torch that runs on every GPU of the host",),
    )


def _named(package: str) -> tuple[str, str]:
    name, _, version = package.partition("==")
    return name, version


def _spoilt(healthy: HostReport, chance: random.Random) -> HostReport:
    match chance.randrange(8):
        case 0:
            return _gone(healthy, "unreachable", "no connection within 10 s: is it switched on?")
        case 1:
            why = "rolled back on 2026-11-18; --data lift_hold=true ends the hold"
            return _in_one(healthy, "on hold", why)
        case 2:
            return _gone(healthy, "failed", "its facts cannot be read: /opt is full")
    kinds = DRIFTS if len(healthy.profile.gpus if healthy.profile else ()) > 3 else DRIFTS[::3]
    kinds = DRIFTS[:2] if healthy.group == "workstations" else kinds
    found = tuple(
        drift.model_copy(update={"repair": drift.repair.format(host=healthy.name)})
        for drift in chance.sample(kinds, chance.choice((1, 1, 2)))
    )
    profile = healthy.profile
    if profile and "driver version" in {drift.what for drift in found}:
        driver = profile.driver.model_copy(update={"version": "575.64.03"})
        profile = profile.model_copy(update={"driver": driver})
    own = tuple(drift for drift in found if drift.class_ in OF_HOST)
    others = tuple(drift for drift in found if drift not in own)
    ill = _in_one(healthy, "drifted", drift=others) if others else healthy
    return ill.model_copy(update={"status": "drifted", "drift": own, "profile": profile})


def _gone(host: HostReport, status: Status, why: str) -> HostReport:
    nothing = {"profile": None, "environments": ()}
    return host.model_copy(update={**nothing, "status": status, "why": why})


def _in_one(
    host: HostReport, status: Status, why: str = "", drift: tuple[Drift, ...] = ()
) -> HostReport:
    """Return a host of whose environments the last one has this status."""
    *others, last = host.environments
    ill = last.model_copy(update={"status": status, "why": why, "drift": drift})
    return host.with_environments([*others, ill])


def _text(report: Report) -> str:
    return json.dumps(report.model_dump(mode="json", by_alias=True, exclude_defaults=True)) + "\n"


def _bare(host: HostReport) -> HostReport:
    """Return a host with nothing but what was wrong with it."""
    nothing = {"choice": None, "generation": None, "smoke": None}
    kept = [each.model_copy(update=nothing) for each in host.environments]
    return host.model_copy(update={"profile": None, "environments": tuple(kept)})


def main(directory: Path) -> None:
    """Write the fleet of the picture."""
    for old in past(44):
        hosts = tuple(_bare(host) for host in old.hosts if host.status != "clean")
        path = directory / f"{old.at:%Y-%m-%dT%H-%M-%S.%fZ}.json"
        path.write_text(_text(old.model_copy(update={"hosts": hosts})), encoding="utf-8")
    (directory / f"{LAST:%Y-%m-%dT%H-%M-%S.%fZ}.json").write_text(_text(report(44)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
