"""Small repositories of Debian packages, with the names and conflicts of real ones."""

import hashlib
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.rig.trees import REPOSITORIES

CONTROL = """\
Package: {name}
Version: {version}
Architecture: amd64
Maintainer: tests <tests@example.org>
Description: a package of the tests
"""


@dataclass(frozen=True)
class Deb:
    """A package; ``lines`` are those of its control file, such as ``Depends: dkms``."""

    name: str
    version: str
    lines: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Path to text."""
    component: str = "main"


def flat(shared: Path, name: str, packages: Iterable[Deb]) -> None:
    """Build ``/repositories/NAME`` as NVIDIA's are: flat, with no Release file."""
    here = shared / name
    here.mkdir(parents=True)
    (here / "Packages").write_text("".join(_stanza(here, here, deb) for deb in packages))


def distribution(shared: Path, origin: str, suite: str, packages: Iterable[Deb]) -> str:
    """Build the repository of a distribution by components; return the apt source of its main."""
    here = shared / origin.lower()
    index: dict[str, str] = {"main": ""}
    for deb in packages:
        pool = here / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        index[deb.component] = index.get(deb.component, "") + _stanza(here, pool, deb)
    sums = ""
    for component, text in index.items():
        path = here / f"dists/{suite}/{component}/binary-amd64/Packages"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        sums += f" {digest} {len(text.encode())} {component}/binary-amd64/Packages\n"
    (here / f"dists/{suite}/Release").write_text(
        f"Origin: {origin}\nLabel: {origin}\nSuite: {suite}\nCodename: {suite}\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\n"
        f"Components: {' '.join(index)}\nSHA256:\n{sums}"
    )
    return f"deb [trusted=yes] file:{REPOSITORIES}/{origin.lower()} {suite} main"


def build(deb: Deb, target: Path) -> Path:
    """Build the file of a package in a directory."""
    tree = target / f"{deb.name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    lines = "".join(f"{line}\n" for line in deb.lines)
    (tree / "DEBIAN/control").write_text(CONTROL.format(**vars(deb)) + lines)
    for path, text in deb.files.items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_text(text)
    built = target / f"{deb.name}_{deb.version.replace(':', '%3a')}_amd64.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, built]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-r", tree], check=True)
    return built


def _stanza(base: Path, target: Path, deb: Deb) -> str:
    built = build(deb, target)
    data = built.read_bytes()
    lines = "".join(f"{line}\n" for line in deb.lines)
    return (
        f"{CONTROL.format(**vars(deb))}{lines}Filename: ./{built.relative_to(base)}\n"
        f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    )


def nvidia(branches: Collection[str]) -> list[Deb]:
    """Return what NVIDIA's repositories for Debian have of drivers of these versions."""
    found = []
    for number in branches:
        version = f"{number}-1"
        same = f"(= {version})"
        common = f"nvidia-driver {same}, nvidia-driver-cuda {same}"
        kernel = f"Conflicts: nvidia-kernel{{}}-dkms\nProvides: nvidia-kernel-{number}"
        found += [
            Deb("nvidia-open", version, (f"Depends: {common}, nvidia-kernel-open-dkms {same}",)),
            Deb("cuda-drivers", version, (f"Depends: {common}, nvidia-kernel-dkms {same}",)),
            Deb("nvidia-driver", version, (f"Depends: nvidia-kernel-{number}",)),
            Deb(
                "nvidia-driver-cuda",
                version,
                (f"Depends: libcuda1 {same}, libnvidia-ml1 {same}, nvidia-smi {same}",),
            ),
            *(Deb(name, version) for name in ("libcuda1", "libnvidia-ml1", "nvidia-persistenced")),
            Deb("nvidia-smi", version, (f"Depends: libnvidia-ml1 {same}",)),
            Deb("nvidia-kernel-dkms", version, tuple(kernel.format("-open").splitlines())),
            Deb("nvidia-kernel-open-dkms", version, tuple(kernel.format("").splitlines())),
            Deb("nvidia-fabricmanager", version),
            Deb("nvidia-imex", version),
        ]
    pins = [_pin(branch) for branch in sorted({number.split(".")[0] for number in branches})]
    return [*found, *pins, Deb("nvlsm", "2025.10.1-1")]


def _pin(branch: str) -> Deb:
    packages = "nvidia-* libnvidia-* libcuda1 cuda-drivers*"
    text = f"Package: {packages}\nPin: version {branch}.*\nPin-Priority: 1000\n"
    return Deb(
        f"nvidia-driver-pinning-{branch}",
        branch,
        ("Provides: nvidia-driver-pinning", "Conflicts: nvidia-driver-pinning"),
        {"/etc/apt/preferences.d/nvidia-driver-pin": text},
    )


def keyring(shared: Path, name: str) -> None:
    """Put the package into a flat repository that adds it to apt's sources."""
    here = shared / name
    source = f"deb [trusted=yes] file:{REPOSITORIES}/{name} /\n"
    files = {"/etc/apt/sources.list.d/cuda.list": source}
    built = build(Deb("cuda-keyring", "1.1-1", (), files), here)
    built.rename(here / "cuda-keyring_1.1-1_all.deb")
