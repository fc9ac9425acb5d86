"""Two teams' files on hosts of five kinds: each its variant of torch, all other versions equal.

The wheels are small and made up, so nothing is computed; uv, the hosts and the installs are real.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

from tests.rig.fleet import Gpu, HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject
from tests.rig.windows import Rig, windows_rig
from tests.rig.windows.prefix import missing as missing_wine
from tests.small_wheels import make_wheel

LACKING = missing() or missing_wine()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(LACKING), reason=str(LACKING))]

VOLTA = Gpu("Tesla V100-SXM2-32GB", "7.0", "580.95.05", "13.0")
OLD_DRIVER = Gpu("NVIDIA GeForce RTX 3090", "8.6", "560.35.05", "12.6")
HOSTS = [
    HostSpec("cpu"),
    HostSpec("rtx4090", Gpu()),
    HostSpec("v100", VOLTA),
    HostSpec("rtx3090", OLD_DRIVER),
]
WINDOWS = "@winssh/winrig"
VARIANTS = {"cpu": "cpu", "rtx4090": "cu130", "v100": "cu126", "rtx3090": "cu126", WINDOWS: "cpu"}
KITS = [f"lab-kit-{number:02}" for number in range(95)]
ROOT = r"C:\fleetwheel"
PROJECT = f"""
[project]
name = "nlp"
version = "1.0"
requires-python = ">=3.11,<3.12"
dependencies = {[*KITS[::5], "numpy", "colorama; sys_platform == 'win32'"]!r}
[project.optional-dependencies]
old = ["torch==2.12.1"]
train = ["torch==2.13.0", "torchvision", "rich"]
[tool.uv]
conflicts = [[{{extra = "old"}}, {{extra = "train"}}]]
"""


@dataclass
class Lab:
    """The hosts, and the project directory that has the teams' files in it."""

    project: FleetProject
    windows: Rig
    wheels: Path
    environments: dict[str, dict[str, object]]

    @property
    def teams(self) -> Path:
        return self.project.directory / "teams"

    def ask_for(self, environments: dict[str, dict[str, object]]) -> None:
        """Write an inventory with these environments for all hosts of the fleet."""
        self.project.inventory(
            sources=[str(self.wheels)],
            distribution="push",
            smoke="none",
            environments=environments,
        )

    def installed(self, host: str, environment: str) -> dict[str, str]:
        """Return name to version of what an environment of a host has, by its directories."""
        reports = self.project.newest()[host]["environments"]
        (generation,) = (r["generation"] for r in reports if r["name"] == environment)
        if host == WINDOWS:
            site = self.windows.drive_c / f"fleetwheel/envs/{generation}/Lib/site-packages"
            names = [path.name for path in site.iterdir()]
        else:
            site = f"/opt/fleetwheel/envs/{generation}/lib/python3*/site-packages"
            names = self.project.rig[host].run(f"ls -d {site}/*.dist-info").split()
        found = [re.search(r"([^/]+)-([^-/]+)\.dist-info$", name) for name in names]
        return {each[1].replace("_", "-"): each[2] for each in found if each}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("teams")
    wheels = base / "wheels"
    make_family(wheels)
    others = make_others(wheels)
    with fleet(base / "fleet", HOSTS) as rig, windows_rig(base / "windows") as windows:
        project = FleetProject(base / "project", rig)
        write_teams(project.directory / "teams", wheels, others)
        environments: dict[str, dict[str, object]] = {
            "default": {"requirements": "teams/course/requirements.txt"},
            "nlp": {"project": "teams/nlp", "extras": ["train"]},
        }
        lab = Lab(project, windows, wheels, environments)
        lab.ask_for(environments)
        (project.directory / "inventory/windows.yaml").write_text(
            f"hosts: {{winrig: {{os: windows, address: {windows.address}, port: {windows.port},"
            f" user: {windows.user}, key: '{windows.key}', accelerator: cpu,"
            f" known_hosts: '{windows.known_hosts}', root: '{ROOT}'}}}}\n"
        )
        yield lab


def make_family(wheels: Path) -> None:
    """Make two releases of torch for each variant, each with NVIDIA's package for it."""
    for release, partner in (("2.12.1", "0.27.1"), ("2.13.0", "0.28.0")):
        for label, cuda in (("cpu", ""), ("cu126", "12"), ("cu130", "13")):
            brought = ("sympy>=1.13", *([f"nvidia-nccl-cu{cuda}==2.27"] if cuda else []))
            systems = ["manylinux_2_28_x86_64", *(["win_amd64"] if not cuda else [])]
            for system in systems:
                tag = f"cp311-cp311-{system}"
                make_wheel(wheels, "torch", f"{release}+{label}", tag=tag, requires=brought)
                needs = (f"torch=={release}", "pillow")
                make_wheel(wheels, "torchvision", f"{partner}+{label}", tag=tag, requires=needs)
    for cuda in ("12", "13"):
        make_wheel(wheels, f"nvidia_nccl_cu{cuda}", "2.27")


def make_others(wheels: Path) -> dict[str, Path]:
    """Make what the teams ask for; return their wheels by name."""
    made = {}
    for place, name in enumerate(KITS):
        needs = tuple(KITS[place + 1 : place + 2]) if (place + 1) % 5 else ()
        made[name] = make_wheel(wheels, name.replace("-", "_"), "1.0", requires=needs)
    for name in ("numpy", "rich", "pillow", "sympy", "colorama"):
        made[name] = make_wheel(wheels, name, "1.14")
    return made


def write_teams(teams: Path, wheels: Path, others: dict[str, Path]) -> None:
    """Write both teams' files, and let newer releases than theirs come to the source."""
    (teams / "nlp").mkdir(parents=True)
    (teams / "course").mkdir()
    (teams / "nlp/pyproject.toml").write_text(PROJECT)
    command = [uv.find_uv_bin(), "lock", "--quiet", "--no-config", "--no-cache", "--no-index"]
    command += ["--find-links", str(wheels), "--python", sys.executable]
    subprocess.run(command, cwd=teams / "nlp", check=True)
    lines = {
        name: f"{name}==1.14 --hash=sha256:{hashlib.sha256(others[name].read_bytes()).hexdigest()}"
        for name in ("numpy", "rich")
    }
    torch = f"torch==2.12.1+cu130 --hash=sha256:{'0' * 64}"
    (teams / "course/base.txt").write_text(f"{lines['numpy']}\n")
    (teams / "course/requirements.txt").write_text(f"-r base.txt\n{torch}\n{lines['rich']}\n")
    for name in ("numpy", "rich", "lab_kit_03"):
        make_wheel(wheels, name, "9.0")


def test_each_host_its_variant_and_all_other_versions_equal(lab: Lab) -> None:
    code, said = lab.project.deploy(timeout=900)
    assert code == 0, said
    locked = dict.fromkeys(KITS, "1.0")
    nlp = locked | dict.fromkeys(("numpy", "rich", "pillow", "sympy"), "1.14")
    course = dict.fromkeys(("numpy", "rich", "sympy"), "1.14")
    for host, variant in VARIANTS.items():
        found = lab.installed(host, "nlp")
        family = {"torch": f"2.13.0+{variant}", "torchvision": f"0.28.0+{variant}"}
        cuda = {f"nvidia-nccl-cu{variant[2:4]}": "2.27"} if variant != "cpu" else {}
        there = {"colorama": "1.14"} if host == WINDOWS else {}
        assert found == nlp | family | cuda | there, host
        assert len(found) >= 100
        found = lab.installed(host, "default")
        assert found == course | {"torch": f"2.12.1+{variant}"} | cuda, host


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    code, said = lab.project.deploy(timeout=900)
    assert (code, set(lab.project.status().values())) == (0, {"unchanged"}), said


def broken_files(teams: Path) -> dict[str, dict[str, object]]:
    """Write ten files that cannot be used; return the environments that name them."""
    loop, edited = teams / "loop.txt", teams / "edited"
    lines = {
        "hash": f"torch==2.13.0 --hash=sha256:{'0' * 64}\nrich==1.14 --hash=sha256:{'1' * 64}\n",
        "git": "torch==2.13.0\ntool @ git+https://example.org/tool\n",
        "index": "--extra-index-url https://example.org/simple\ntorch==2.13.0\n",
        "pins": "torch==2.13.0\nsympy==1.12\n",
        "loop": "-c loop-too.txt\ntorch==2.13.0\n",
    }
    for name, text in lines.items():
        (teams / f"{name}.txt").write_text(text)
    loop.with_name("loop-too.txt").write_text("-c loop.txt\n")
    with (teams / "large.txt").open("wb") as large:
        large.truncate(50 * 2**20)
    (teams / "out.txt").symlink_to("/etc/hostname")
    edited.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        (edited / name).write_bytes((teams / "nlp" / name).read_bytes())
    pyproject = edited / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("'numpy'", "'numpy', 'scipy'"))
    (teams / "newer").mkdir()
    (teams / "newer/pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n'
        'dependencies = ["torch"]\n'
    )
    named: dict[str, dict[str, object]] = {
        name: {"requirements": f"teams/{name}.txt"} for name in [*lines, "large", "out"]
    }
    return named | {
        "edited": {"project": "teams/edited", "extras": ["train"]},
        "newer": {"project": "teams/newer"},
        "extra": {"project": "teams/nlp", "extras": ["training"]},
    }


SENTENCES = {
    "hash": "rich==1.14: no wheel with a hash of the team's file, but rich-1.14-py3-none-any.whl",
    "git": "teams/git.txt, line 2: tool comes from git: hosts install wheels only",
    "index": "teams/index.txt, line 1: names an index, and which sources there are is",
    "pins": "this environment depends on sympy==1.12",
    "loop": "teams/loop.txt -> teams/loop-too.txt -> teams/loop.txt: these files include one",
    "large": "teams/large.txt has more than 8 MB",
    "out": "teams/out.txt leads to /etc/hostname, outside of ",
    "edited": "teams/edited/uv.lock does not fit pyproject.toml",
    "newer": "teams/newer is for Python >=3.12; the host has 3.11",
    "extra": "teams/nlp/pyproject.toml has no training among its extras, which are: old, train",
}


def test_ten_files_that_cannot_be_used_each_with_its_sentence(lab: Lab) -> None:
    lab.ask_for(lab.environments | broken_files(lab.teams))
    code, said = lab.project.deploy("--limit", "cpu")
    assert code == 1
    found = {each["name"]: each for each in lab.project.newest()["cpu"]["environments"]}
    assert {name: found[name]["status"] for name in lab.environments} == {
        "default": "unchanged",
        "nlp": "unchanged",
    }, said
    for name, words in SENTENCES.items():
        assert found[name]["status"] in ("failed", "refused"), said
        assert words in " ".join(found[name]["why"].split()), name
