"""From a team's file to locks: each host its variant of torch, all other versions the file's."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.choice.team_target import TeamTarget
from fleetwheel.delivery.distribution import require_own_files
from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import Decider
from fleetwheel.deploy.record import Record, smoke_pass
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Generation, Profile, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import own_wheel
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.team_pins import require_versions
from fleetwheel.lock.unmet import unmet
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.operations import _planning
from fleetwheel.smoke.result import imported_first
from fleetwheel.sources import store, web
from fleetwheel.sources.configured import pip_settings
from fleetwheel.sources.wheel import Source
from fleetwheel.team.apart import load_team
from tests.samples import (
    CPU_HOST,
    GPU_HOST,
    PYTHON,
    differences,
    host,
    planned,
    record_of,
    state_of,
    target_of,
)
from tests.small_wheels import make_wheel

TAG = "cp311-cp311-manylinux_2_28_x86_64"
MATRIX = load_matrix()
OLD_GPU = GPU_HOST.model_copy(
    update={"driver": Driver(state=DriverState.OK, version="560.35.05", cuda="12.6")}
)
"""Its driver runs no CUDA 13."""
WINDOWS = Profile(
    os="windows", arch="x86_64", pythons=(Python(path=r"C:\py\python.exe", version="3.11.7"),)
)


@dataclass
class Lab:
    """A project directory, with the one source of its wheels."""

    directory: Path
    wheels: Path

    def write(self, name: str, text: str) -> None:
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_text(text)

    def settings(self, **said: Any) -> Settings:
        """Return those of an environment, its file read again, beside a default that differs."""
        load_team.cache_clear()
        data = {"torch": "2.11.0", "packages": ["scipy"], "environments": {"nlp": said}}
        return Settings.from_data(data).by_environment()["nlp"]

    def decide(
        self, profile: Profile = CPU_HOST, record: Record | None = None, **said: Any
    ) -> Lock | Refusal:
        web.forget_pages()
        pip_settings.cache_clear()
        settings = self.settings(**{"requirements": "r.txt", **said})
        decider = Decider(self.directory / "locks", MATRIX, lambda text: None)
        found = decider.decide(profile, settings.request, record, lambda: None)
        if isinstance(found, Lock):
            (self.directory / "locks").mkdir(exist_ok=True)
            (self.directory / "locks" / found.name).write_text(found.text)
        return found

    def lock(self, profile: Profile = CPU_HOST, record: Record | None = None, **said: Any) -> Lock:
        found = self.decide(profile, record, **said)
        assert isinstance(found, Lock), found
        return found

    def sha256(self, name: str) -> str:
        (wheel,) = self.wheels.glob(f"{name}-*.whl")
        return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_pip: None) -> Iterator[Lab]:
    """torch 2.11 to 2.13 for CPU and two CUDAs, each with NVIDIA's own packages, and others."""
    wheels = tmp_path / "wheels"
    for release, partner in (("2.11.0", "0.26.0"), ("2.12.1", "0.27.1"), ("2.13.0", "0.28.0")):
        for label, cuda in (("cpu", ()), ("cu126", ("12",)), ("cu130", ("13",))):
            brought = [f"nvidia-nccl-cu{major}==2.{release[2:4]}" for major in cuda]
            needs = ("sympy>=1.13", *brought)
            make_wheel(wheels, "torch", f"{release}+{label}", tag=TAG, requires=needs)
            torch = (f"torch=={release}", "pillow")
            make_wheel(wheels, "torchvision", f"{partner}+{label}", tag=TAG, requires=torch)
        make_wheel(
            wheels,
            "torch",
            f"{release}+cpu",
            tag="cp311-cp311-win_amd64",
            requires=("sympy>=1.13",),
        )
        for major in ("12", "13"):
            make_wheel(wheels, f"nvidia_nccl_cu{major}", f"2.{release[2:4]}")
    for name, versions in {
        "numpy": ("1.26.4", "2.3.5", "2.4.0"),
        "sympy": ("1.13.0", "1.14.0"),
        "pillow": ("11.0", "12.0"),
        "rich": ("14.0", "15.0"),
        "colorama": ("0.4.6",),
    }.items():
        for version in versions:
            make_wheel(wheels, name, version)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    web.forget_pages()
    yield Lab(tmp_path, wheels)
    web.forget_pages()
    load_team.cache_clear()


FILE = """
torch==2.12.1+cu130
torchvision==0.27.1+cu130
nvidia-nccl-cu13==2.12
triton==3.5.0 ; sys_platform == "linux"
sympy==1.13.0
numpy==2.3.5
pillow==11.0
colorama==0.4.6 ; sys_platform == "win32"
"""
OTHERS = {"sympy": "1.13.0", "numpy": "2.3.5", "pillow": "11.0"}


def test_each_host_its_variant_and_all_other_versions_the_files(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    expected = {
        "cpu": (CPU_HOST, {}),
        "cu126": (OLD_GPU, {"nvidia-nccl-cu12": "2.12"}),
        "cu130": (GPU_HOST, {"nvidia-nccl-cu13": "2.12"}),
    }
    for variant, (profile, brought) in expected.items():
        family = {"torch": f"2.12.1+{variant}", "torchvision": f"0.27.1+{variant}"}
        lock = lab.lock(profile)
        assert lock.packages == {**OTHERS, **family, **brought}
        assert lock.choice.packages == family


def test_markers_are_those_of_the_host(lab: Lab) -> None:
    lab.write("r.txt", FILE.replace("torchvision==0.27.1+cu130\n", ""))
    assert lab.lock(WINDOWS).packages == {**OTHERS, "torch": "2.12.1+cpu", "colorama": "0.4.6"}


def test_reasons_say_what_is_not_as_in_the_file(lab: Lab) -> None:
    lab.write("r.txt", "torch==2.12.1+cu130\nnumpy==2.3.5\nrich<15\n")
    reasons = lab.lock().choice.reasons
    assert "2 of 3 packages beside torch's own are those of r.txt" in reasons
    assert "torch==2.12.1+cu130 of r.txt comes as 2.12.1+cpu: this host's variant" in reasons
    assert "not pinned in r.txt, so resolved now: rich 14.0, sympy 1.14.0" in reasons
    reasons = lab.lock(torch="2.13.0").choice.reasons
    overruled = "torch==2.12.1+cu130 of r.txt comes as 2.13.0+cpu: torch: of the environment"
    assert any(reason.startswith(overruled) for reason in reasons)


def test_partners_of_a_torch_that_the_environment_names_are_that_torchs(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    chosen = lab.lock(torch="2.13.0").choice.packages
    assert chosen == {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}


def test_packages_add_to_a_file(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    assert lab.lock(packages=["rich<15"]).packages.keys() - OTHERS.keys() == {
        "rich",
        "torch",
        "torchvision",
    }


def test_a_file_without_torch_bounds_it_by_its_other_pins(lab: Lab) -> None:
    make_wheel(lab.wheels, "serving", "1.0", requires=("torch==2.12.1",))
    lab.write("r.txt", "serving==1.0\n")
    assert lab.lock().packages["torch"] == "2.12.1+cpu"


def test_no_other_torch_than_the_files(lab: Lab) -> None:
    lab.write("r.txt", "torch==2.10.0\n")
    found = lab.decide()
    assert isinstance(found, Refusal)
    assert "torch: of the environment, over the team's file, unlocks 2.13.0+cpu" in found.unlocks


def test_a_wheel_with_another_hash(lab: Lab) -> None:
    lab.write("r.txt", f"colorama==0.4.6 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(FleetwheelError) as caught:
        lab.decide()
    assert "colorama==0.4.6: no wheel with a hash of the team's file, but colorama-0.4.6" in str(
        caught.value
    )
    lab.write("r.txt", f"colorama==0.4.6 --hash=sha256:{lab.sha256('colorama')}\n")
    assert lab.lock().packages["colorama"] == "0.4.6"


def test_of_several_wheels_those_with_a_hash_of_the_file(lab: Lab) -> None:
    for tag in ("py3-none-any", "py3-none-manylinux_2_17_x86_64"):
        make_wheel(lab.wheels, "fast", "1.0", tag=tag)
    (wheel,) = lab.wheels.glob("fast-1.0-py3-none-any.whl")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lab.write("r.txt", f"fast==1.0 --hash=sha256:{sha256}\n")
    assert lab.lock().hashes["fast"] == {sha256}


def test_a_build_for_another_variant(lab: Lab) -> None:
    make_wheel(lab.wheels, "flash", "1.0+cu12torch2.12")
    make_wheel(lab.wheels, "scatter", "2.1+pt212cu126")
    lab.write("r.txt", "torch==2.12.1\nflash==1.0+cu12torch2.12\n")
    assert lab.lock(GPU_HOST).choice.variant.version == (12, 6), "the other variant fits the pin"
    with pytest.raises(FleetwheelError, match="is built for cu12; this host gets cpu"):
        lab.decide()
    lab.write("r.txt", "torch==2.12.1\nscatter==2.1+pt212cu126\n")
    with pytest.raises(
        FleetwheelError, match=r"r.txt with .*is built for cu126; this host gets cpu"
    ):
        lab.decide()


def test_pins_that_contradict_each_other(lab: Lab) -> None:
    lab.write("r.txt", "torch==2.12.1\nnumpy==2.3.5\nnumpy==2.4.0\n")
    with pytest.raises(FleetwheelError) as caught:
        lab.decide()
    assert str(caught.value).startswith(
        "numpy is pinned twice: ==2.3.5 (r.txt, line 2) and ==2.4.0 (r.txt, line 3)"
    )
    lab.write("r.txt", "torch==2.12.1\ntorch==2.13.0\n")
    with pytest.raises(FleetwheelError, match="torch is pinned twice"):
        lab.decide()
    lab.write("r.txt", 'torch==2.12.1\ntorch==2.13.0; sys_platform == "win32"\n')
    assert lab.lock().choice.torch == "2.12.1"


def test_pins_that_do_not_go_together(lab: Lab) -> None:
    make_wheel(lab.wheels, "odd", "1.0", requires=("numpy<2",))
    lab.write("r.txt", "torch==2.12.1\nodd==1.0\nnumpy==2.3.5\n")
    with pytest.raises(FleetwheelError) as caught:
        lab.decide()
    assert str(caught.value).startswith("r.txt with 2.12.1+cpu: uv finds no wheel set")
    assert "change the pins in r.txt" in caught.value.hint


def test_a_python_that_the_file_is_not_for(lab: Lab) -> None:
    lab.write("p/pyproject.toml", '[project]\nname = "p"\nrequires-python = "<3.11"\n')
    found = lab.decide(requirements=None, project="p")
    assert isinstance(found, Refusal)
    assert found.reasons == ("p is for Python <3.11; the host has 3.11.7",)
    assert "change requires-python" in found.unlocks[0]


def test_of_several_interpreters_one_that_the_file_is_for(lab: Lab) -> None:
    for minor in ("12", "13"):
        make_wheel(lab.wheels, "torch", "2.13.0+cpu", tag=f"cp3{minor}-cp3{minor}-linux_x86_64")
    pythons = [Python(path=f"/py{minor}", version=f"3.{minor}.1") for minor in (11, 12, 13)]
    both = CPU_HOST.model_copy(update={"pythons": tuple(pythons)})
    lab.write("p/pyproject.toml", '[project]\nname = "p"\nrequires-python = "<3.13"\n')
    assert lab.lock(both, requirements=None, project="p").choice.python.minor == "3.12"
    lab.write(
        "r.txt", 'rich==15.0; python_version >= "3.13"\nrich==14.0; python_version < "3.13"\n'
    )
    assert lab.lock(both).packages["rich"] == "15.0"
    assert lab.lock(both, python="3.11").packages["rich"] == "14.0"


def test_an_older_interpreter_where_the_newest_has_no_torch(lab: Lab) -> None:
    """The file says another thing for it, and a lock that was made so stays."""
    pythons = [Python(path=f"/py{minor}", version=f"3.{minor}.1") for minor in (11, 13)]
    both = CPU_HOST.model_copy(update={"pythons": tuple(pythons)})
    lab.write(
        "r.txt", 'rich==15.0; python_version >= "3.12"\nrich==14.0; python_version < "3.12"\n'
    )
    lock = lab.lock(both)
    assert (lock.choice.python.minor, lock.packages["rich"]) == ("3.11", "14.0")
    record = record_of(lock, f"{lock.generation(pythons[0])}-1", both)
    make_wheel(lab.wheels, "torch", "2.13.0+cpu", tag="cp313-cp313-linux_x86_64")
    assert lab.lock(both, record) == lock
    found = differences(record, lock, host(both), lab.settings(requirements="r.txt"), MATRIX)
    assert not [drift for drift in found if drift.what.startswith("request")]


def test_what_only_torch_brings_is_in_the_files_version(lab: Lab) -> None:
    lab.write("p/pyproject.toml", OVERRIDDEN.partition("[tool.uv]")[0].replace("odd", "torch"))
    head, _, packages = OVERRIDDEN_LOCK.partition("[manifest]")
    text = head + "[[" + packages.partition("[[")[2]
    text = text.replace("odd", "torch").replace("numpy", "sympy").replace("2.3.5", "1.13.0")
    lab.write("p/uv.lock", text.replace('version = "1.0"', 'version = "2.12.1"'))
    lock = lab.lock(requirements=None, project="p")
    assert lock.packages == {"torch": "2.12.1+cpu", "sympy": "1.13.0"}
    assert lock.origin.target is not None
    assert lock.origin.target.team is not None
    assert lock.origin.target.team.limits == ("sympy==1.13.0",)


def test_a_version_that_uv_picked_in_spite_of_the_file() -> None:
    team = TeamTarget(sha256="", requirements=("a==1",), limits=("b<3",))
    require_versions({"a": Version("1.0"), "b": Version("2"), "c": Version("9")}, team)
    for picked in ({"a": Version("2")}, {"b": Version("3")}):
        with pytest.raises(FleetwheelError, match="but the team's file pins"):
            require_versions(picked, team)


def test_overrides_of_a_uv_lock_count_where_it_cannot_be_resolved_otherwise(lab: Lab) -> None:
    make_wheel(lab.wheels, "odd", "1.0", requires=("numpy<2", "pillow"))
    lab.write("p/pyproject.toml", OVERRIDDEN)
    lab.write("p/uv.lock", OVERRIDDEN_LOCK)
    lock = lab.lock(requirements=None, project="p")
    assert (lock.packages["odd"], lock.packages["numpy"]) == ("1.0", "2.3.5")
    lab.write("p/uv.lock", OVERRIDDEN_LOCK.partition("[manifest]")[0] + PACKAGES_OF_LOCK)
    with pytest.raises(FleetwheelError, match="uv finds no wheel set"):
        lab.decide(requirements=None, project="p")


def test_cuda_that_something_else_than_torch_asks_for_is_told(lab: Lab) -> None:
    """As jax[cuda12]: its libraries are pinned for one CUDA, and torch's variant brings another."""
    make_wheel(lab.wheels, "odd", "1.0")
    text = OVERRIDDEN_LOCK.replace("numpy", "nvidia-nccl-cu12").replace("2.3.5", "2.12")
    lab.write("p/pyproject.toml", OVERRIDDEN.partition("[tool.uv]")[0])
    lab.write("p/uv.lock", text.partition("[manifest]")[0] + "[[" + text.partition("[[")[2])
    reasons = lab.lock(requirements=None, project="p").choice.reasons
    assert "not installed, since torch decides on CUDA here: nvidia-nccl-cu12==2.12" in reasons


OVERRIDDEN = """
[project]
name = "p"
version = "1"
requires-python = ">=3.11"
dependencies = ["odd"]
[tool.uv]
override-dependencies = ["numpy==2.3.5"]
"""
PACKAGES_OF_LOCK = """
[[package]]
name = "numpy"
version = "2.3.5"
source = { registry = "https://example.org/simple" }

[[package]]
name = "odd"
version = "1.0"
source = { registry = "https://example.org/simple" }
dependencies = [{ name = "numpy" }]

[[package]]
name = "p"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "odd" }]
[package.metadata]
requires-dist = [{ name = "odd" }]
"""
OVERRIDDEN_LOCK = f"""version = 1
revision = 3
requires-python = ">=3.11"

[manifest]
overrides = [{{ name = "numpy", specifier = "==2.3.5" }}]
{PACKAGES_OF_LOCK}"""


# What lasts


def deployed(lab: Lab, profile: Profile = CPU_HOST, **said: Any) -> Record:
    """Return the record of a host that runs what its environment asks for now."""
    lock = lab.lock(profile, **said)
    settings = lab.settings(**{"requirements": "r.txt", **said})
    record = record_of(lock, f"{lock.generation(profile.pythons[0])}-1", profile)
    return record.model_copy(update={"request": settings.request})


def test_a_changed_file_is_a_new_lock_and_drift_says_what_changed(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    assert lab.lock(CPU_HOST, record).name == record.lock
    lab.write("r.txt", FILE.replace("numpy==2.3.5", "numpy==2.4.0") + "rich==14.0\n")
    settings = lab.settings(requirements="r.txt")
    old = Lock(name=record.lock, text=(lab.directory / "locks" / record.lock).read_text())
    (drift,) = differences(record, old, host(), settings, MATRIX)[:1]
    assert drift.what == "request for the team's file"
    changes = "added rich 14.0; changed numpy 2.3.5 -> 2.4.0"
    assert (drift.expected, drift.found) == (f"as it is now ({changes})", "as it was")
    new = lab.lock(CPU_HOST, record)
    assert new.name != record.lock
    assert (new.packages["numpy"], new.packages["rich"]) == ("2.4.0", "14.0")


@pytest.mark.parametrize(
    "changed", [FILE + "# a comment\n", FILE.replace("colorama==0.4.6", "colorama==0.4.5")]
)
def test_what_changes_nothing_on_the_host_keeps_its_lock(lab: Lab, changed: str) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    lab.write("r.txt", changed)
    assert lab.lock(CPU_HOST, record).name == record.lock


def test_a_file_of_another_name_with_the_same_pins_keeps_the_lock(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    lab.write("other.txt", FILE)
    assert lab.lock(CPU_HOST, record, requirements="other.txt").name == record.lock


def test_the_lock_of_another_run_is_found_again(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    first = lab.lock()
    for wheel in lab.wheels.glob("numpy-*"):
        wheel.unlink()
    assert lab.lock() == first, "nothing was resolved again"


def test_an_environment_that_has_no_file_any_more_gets_what_it_asks_for(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    found = unmet(lab.lock(), target_of(CPU_HOST, lab.settings(packages=["numpy"]).request))
    assert ("the team's file", "none") in [(one.key, one.asked) for one in found]
    plain = lab.lock(CPU_HOST, record, requirements=None, packages=["numpy"])
    assert plain.packages["torch"] == "2.11.0+cpu", "and torch as the host has it"


def test_a_record_holds_the_digest_and_no_pins(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    text = state_of(record).text()
    team = record.request.team
    assert team is not None
    assert team.sha256 in text
    assert "pillow==" not in text
    again = records.parse_state(text).environments["default"].request.team
    assert again == team.model_copy(update={"pins": (), "overrides": ()})


def test_a_held_environment_is_compared_whatever_its_file_says(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    (lab.directory / "r.txt").unlink()
    lock = Lock(name=record.lock, text=(lab.directory / "locks" / record.lock).read_text())
    settings = lab.settings(requirements="r.txt", hold="exam")
    found = differences(record, lock, host(), settings, MATRIX)
    assert not [drift for drift in found if drift.what.startswith("request")]


def test_a_record_takes_the_new_digest_without_a_build(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    record = deployed(lab)
    lock = lab.lock()
    lab.write("r.txt", FILE.replace("colorama==0.4.6", "colorama==0.4.5"))
    request = lab.settings(requirements="r.txt").request
    built = Generation(
        id=record.generation, python=PYTHON.path, lock=lock.sha256, packages=lock.packages
    )
    there = host(current=record.generation, generations=(built,))
    steps = planned(lock, PYTHON, there, record, request=request, smoke="auto")
    assert (steps.build, steps.smoke, steps.activate) == (False, True, True)
    assert steps.because == "it is in use and right; its record takes the new request"


def test_a_pass_that_has_not_imported_what_the_file_names_is_none(lab: Lab) -> None:
    """The same wheels may be there for an environment without a file, whose test imports none."""
    lab.write("r.txt", FILE)
    record, lock = deployed(lab), lab.lock()
    request = lab.settings(requirements="r.txt").request
    built = Generation(
        id=record.generation, python=PYTHON.path, lock=lock.sha256, packages=lock.packages
    )
    there = host(current=record.generation, generations=(built,))
    tested = []
    for imports in ([], ["numpy", "pillow", "sympy", "torchvision"]):
        passed = smoke_pass(record.generation, CPU_HOST, {"imports": imports})
        changed = record.model_copy(update={"smoke": passed})
        steps = planned(lock, PYTHON, there, changed, request=request, smoke="auto")
        tested.append(steps.smoke)
    assert tested == [True, False]


def test_the_plan_says_which_packages_change(lab: Lab) -> None:
    lab.write("r.txt", FILE)
    lock = lab.lock()
    before = {**lock.packages, "numpy": "1.26.4", "rich": "14.0"}
    del before["sympy"]
    built = Generation(id="old-1", python=PYTHON.path, lock="", packages=before)
    there = host(current="old-1", generations=(built,))
    request = lab.settings(requirements="r.txt").request
    said = _planning.changed_by_team("default", request, lock, there)
    assert said == (
        "what changes: added sympy 1.13.0; removed rich 14.0; changed numpy 1.26.4 -> 2.3.5",
    )
    assert _planning.changed_by_team("default", request, lock, host()) == (), "a first deploy"
    assert _planning.changed_by_team("default", Request(), lock, there) == ()


def test_two_files_that_differ_in_a_hash_have_locks_of_their_own(lab: Lab) -> None:
    lab.write("r.txt", "colorama==0.4.6\n")
    lab.write("s.txt", f"colorama==0.4.6 --hash=sha256:{lab.sha256('colorama')}\n")
    assert lab.lock().name != lab.lock(requirements="s.txt").name


def test_a_projects_own_wheel_stands_in_its_lock(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks of torch is left to the file, whose variant counts; its module is imported."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(lab.directory / "cache"))
    wheel = make_wheel(lab.directory / "built", "nlp", "1.0", requires=("torch==2.12.1+cu118",))
    built = (wheel.name, wheel.read_bytes())
    monkeypatch.setattr(own_wheel, "_build", lambda *_: built)
    lab.write(
        "nlp/pyproject.toml",
        '[project]\nname = "nlp"\nversion = "1.0"\n'
        'dependencies = ["torch==2.12.1", "rich", "numpy==2.3.5"]\n',
    )
    said = {"requirements": None, "project": "nlp", "install": True}
    locks = [lab.lock(profile, **said) for profile in (CPU_HOST, OLD_GPU)]
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for lock in locks:
        assert (lock.packages["nlp"], lock.hashes["nlp"]) == ("1.0", {sha256})
        assert lock.urls["nlp"].endswith(f"/wheels/{sha256}/{wheel.name}")
        assert "nlp 1.0 itself is built from nlp" in lock.choice.reasons
        assert "nlp has no uv.lock: what pyproject.toml asks for is resolved now" in (
            lock.choice.reasons
        )
        assert imported_first(lock) == ["nlp", "numpy", "rich"]
    assert [lock.choice.packages["torch"] for lock in locks] == ["2.12.1+cpu", "2.12.1+cu126"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(lab.directory / "cache of another"))
    own_wheel.with_own_wheel.cache_clear()
    there = lab.lock(CPU_HOST, **said)
    assert there.urls["nlp"] == store.kept_at(wheel.name, sha256).as_uri()
    assert (there.hashes, there.name) == (locks[0].hashes, locks[0].name)
    copy = there.model_copy(update={"from_host": True})
    here = [Source(name="pip", url=str(lab.wheels), layout="flat")]
    assert there.origin.target
    require_own_files(copy, here, [own_wheel.own_requirement(there.origin.target.team)])
    with pytest.raises(FleetwheelError, match="which is in no wheel source here"):
        require_own_files(copy, here)


def test_a_wheel_in_place_of_what_a_uv_lock_has_from_a_path(lab: Lab) -> None:
    wheel = make_wheel(lab.directory / "given", "helper", "2.0", requires=("numpy",))
    lab.write(
        "nlp/pyproject.toml",
        '[project]\nname = "nlp"\nversion = "1.0"\n'
        'dependencies = ["torch==2.12.1", "helper"]\n'
        '[tool.uv.sources]\nhelper = {git = "https://example.org/helper"}\n',
    )
    with pytest.raises(FleetwheelError, match="helper comes from git: hosts install wheels only"):
        lab.lock(requirements=None, project="nlp")
    given = f"{wheel}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    lock = lab.lock(requirements=None, project="nlp", packages=[given])
    assert lock.packages["helper"] == "2.0"
    assert "helper 2.0 is the wheel under packages, not that of nlp" in lock.choice.reasons
    assert imported_first(lock) == ["helper"]


def test_what_resolves_and_does_not_fit_bounds_the_choice(lab: Lab) -> None:
    """Two sets of CUDA in one process, or wheels for CUDA on a host without."""
    make_wheel(lab.wheels, "jax_cuda12_plugin", "0.9.0")
    make_wheel(lab.wheels, "vllm", "0.21.0")
    lab.write("r.txt", "torch==2.13.0\njax-cuda12-plugin==0.9.0\n")
    assert lab.lock(CPU_HOST).choice.packages["torch"] == "2.13.0+cpu"
    lock = lab.lock(GPU_HOST)
    assert lock.choice.packages["torch"] == "2.13.0+cu126"
    assert any(
        "CUDA libraries of two versions" in rejected.reason for rejected in lock.choice.rejected
    )
    lab.write("r.txt", "torch==2.13.0\nvllm\n")
    with pytest.raises(
        FleetwheelError, match=r"vllm 0\.21\.0 does not go with torch 2\.13\.0\+cpu"
    ):
        lab.lock(CPU_HOST)
