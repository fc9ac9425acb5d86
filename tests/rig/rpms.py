"""Small repositories of rpm packages without files, with the names and conflicts of real ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.rig.trees import REPOSITORIES, System

SPEC = """\
Name: {name}
Epoch: {epoch}
Version: {version}
Release: {release}
Summary: a package of the tests
License: MIT
AutoReqProv: no
{lines}
%description
It holds no files.
%files
"""
BUILD = """
set -e
cd /tmp && rm -rf build && mkdir build && cd build
find "$1" -name '*.spec' | xargs -n 1 -P 2 sh -c 'mkdir $$ && exec rpmbuild -bb --quiet \\
    --define "_topdir $PWD/$$" --define "_rpmdir $0" \\
    --define "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm" "$1"' "$1" \\
    >log 2>&1 || { cat log; exit 1; }
createrepo_c --quiet "$1"
if [ -e "$1/modules.yaml" ]; then modifyrepo_c --mdtype=modules "$1/modules.yaml" "$1/repodata"; fi
"""
"""Two builds run at once, each in a folder of its own: they fail when both make the same one."""
MODULE = """\
---
document: modulemd
version: 2
data:
  name: nvidia-driver
  stream: "{stream}"
  version: 1
  context: c0ffee42
  arch: x86_64
  summary: driver
  description: driver
  license: {{module: [MIT]}}
  profiles: {{default: {{rpms: [nvidia-driver]}}}}
  artifacts: {{rpms: [{rpms}]}}
...
"""


@dataclass(frozen=True)
class Rpm:
    """A package; ``lines`` are those of its spec, such as ``Requires: dkms``."""

    name: str
    version: str = "1"
    lines: tuple[str, ...] = ()
    release: str = "1.el9"
    epoch: int = 0

    @property
    def nevra(self) -> str:
        return f"{self.name}-{self.epoch}:{self.version}-{self.release}.x86_64"


def repository(
    system: System,
    shared: Path,
    name: str,
    packages: Iterable[Rpm],
    streams: dict[str, list[Rpm]] | None = None,
) -> None:
    """Build ``/repositories/NAME``, with a .repo file in it as NVIDIA's have one.

    + streams: of the module nvidia-driver, and their packages
    """
    there = f"{REPOSITORIES}/{name}"
    here = shared / name
    here.mkdir(parents=True)
    for number, rpm in enumerate(packages):
        text = SPEC.format(**{**vars(rpm), "lines": "\n".join(rpm.lines)})
        (here / f"{number}.spec").write_text(text)
    modules = [
        MODULE.format(stream=stream, rpms=", ".join(rpm.nevra for rpm in rpms))
        for stream, rpms in (streams or {}).items()
    ]
    if modules:
        (here / "modules.yaml").write_text("".join(modules))
    done = system.run("sh", "-c", BUILD, "build", there)
    assert done.returncode == 0, done.stdout
    _describe(here, name, there)


def alias(shared: Path, name: str, other: str) -> None:
    """Have a repository by another name too."""
    here = shared / other
    here.mkdir(parents=True)
    _describe(here, other, f"{REPOSITORIES}/{name}")


def _describe(here: Path, name: str, there: str) -> None:
    short = name.split("/")[0]
    (here / f"cuda-{short}.repo").write_text(
        f"[cuda-{short}]\nname={short}\nbaseurl=file://{there}\nenabled=1\ngpgcheck=0\n"
    )


def drivers(branches: Iterable[str]) -> list[Rpm]:
    """Return the packages of NVIDIA's drivers of these versions; from 590 on there is one kind."""
    found = []
    for version in branches:
        same = f"= 3:{version}"

        def add(name: str, *lines: str, version: str = version) -> None:
            found.append(Rpm(name, version, lines, epoch=3))

        libraries = f"Requires: nvidia-driver-libs {same}"
        add("nvidia-driver", f"Requires: nvidia-kmod-common {same}", libraries)
        add("nvidia-driver-libs")
        add("nvidia-driver-cuda", f"Requires: nvidia-persistenced {same}")
        add("nvidia-kmod-common", f"Requires: nvidia-kmod {same}")
        add("nvidia-persistenced")
        add("nvidia-settings", f"Requires: nvidia-driver {same}")
        kmod = f"Provides: nvidia-kmod {same}"
        add("kmod-nvidia-open-dkms", kmod, "Conflicts: kmod-nvidia-latest-dkms")
        if int(version.split(".")[0]) < 590:
            add("kmod-nvidia-latest-dkms", kmod, "Conflicts: kmod-nvidia-open-dkms")
        found.append(Rpm("nvidia-fabricmanager", version))
        found.append(Rpm("nvidia-imex", version))
    return found


def streams_of(packages: Iterable[Rpm]) -> dict[str, list[Rpm]]:
    """Return the streams that NVIDIA's repositories for EL 8 and 9 have of these drivers."""
    streams: dict[str, list[Rpm]] = {}
    for rpm in packages:
        branch = rpm.version.split(".")[0]
        if rpm.epoch != 3:
            continue
        if rpm.name != "kmod-nvidia-latest-dkms":
            streams.setdefault(f"{branch}-open", []).append(rpm)
        if rpm.name != "kmod-nvidia-open-dkms" and int(branch) < 590:
            streams.setdefault(f"{branch}-dkms", []).append(rpm)
    return streams
