"""What people find an environment by, and who may read it: kernelspec, module file, group."""

import grp
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetwheel import drift
from fleetwheel.deploy.record import Earlier
from fleetwheel.deploy.signposts import kernelspec, module_file, publish_of
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.node import activate as activating
from fleetwheel.node import build, check, publish, readers, remove, state, uninstall, verify
from fleetwheel.node.root import Failure
from fleetwheel.operations._damage import seen_in
from tests.deploying import add_generation
from tests.samples import PYTHON, lock_with, record_of

LOCK = lock_with({"torch": "2.13.0+cpu", "ipykernel": "7.4.0"})
A, B = "a-cp311-0123456789ab-1", "b-cp311-0123456789ab-1"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def wanted(root: Path, base: Path, lock: Lock = LOCK, **said: Any) -> dict[str, Any]:
    """Return what an inventory says that has both kinds of files below a directory."""
    places = {"jupyter": str(base / "kernels"), "modules": str(base / "modulefiles")}
    settings = Settings.model_validate({"publish": places, **said})
    return publish_of("vision", str(root), "linux", settings, lock, PYTHON)


def activate(root: Path, publish: dict[str, Any], id: str = A, name: str = "vision") -> list[str]:
    if not (root / "envs" / id).exists():
        add_generation(root, id)
    record = record_of(LOCK, id).model_copy(update={"group": publish["group"]}).to_json()
    before = state.records(root).get(name)
    found = activating.activate(str(root), id, name, record, [], before, publish)
    return list(found["obstacles"])


def differences(root: Path, publish: dict[str, Any]) -> list[tuple[str, str]]:
    answer = verify.verify(str(root), A, hashes=False, environment="vision", publish=publish)
    return [(Path(each["what"]).name, each["found"]) for each in answer["differences"]]


def identity(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file that is written or replaced, or with another mode."""
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns, found.st_mode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return tmp_path / "kernels/fleetwheel-vision/kernel.json"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return tmp_path / "modulefiles/fleetwheel/vision"


# What they say


def test_a_kernelspec_leads_to_the_environment_and_not_to_a_generation() -> None:
    spec = json.loads(kernelspec("/opt/fleetwheel", "vision"))
    place = "/opt/fleetwheel/environments/vision"
    assert spec["argv"][:3] == [f"{place}/bin/python", "-m", "ipykernel_launcher"]
    assert spec["env"] == {"PATH": f"{place}/bin:${{PATH}}", "PYTHONPATH": "", "VIRTUAL_ENV": place}
    assert "envs/" not in json.dumps(spec)


def test_a_module_file_says_what_it_is() -> None:
    text = module_file("/opt/fleetwheel", "vision", LOCK, PYTHON)
    assert text.startswith("#%Module")
    assert "module-whatis {PyTorch 2.13.0 without CUDA, Python 3.11}\n" in text
    assert "conflict fleetwheel\n" in text
    assert text.endswith("prepend-path PATH /opt/fleetwheel/environments/vision/bin\n")


def test_no_path_means_anything_to_tcl_or_to_jupyter() -> None:
    odd = "/o pt/$HOME[exec id]{;#\\"
    line = module_file(odd, "vision", LOCK, PYTHON).splitlines()[-1]
    assert re.sub(r"\\(.)", r"\1", line) == f"prepend-path PATH {odd}/environments/vision/bin"
    assert all(f"\\{sign}" in line for sign in " $[]{;#\\")
    assert json.loads(kernelspec(odd, "v"))["env"]["VIRTUAL_ENV"].startswith("/o pt/$$HOME[")


@pytest.mark.parametrize(
    ("said", "os", "packages", "kinds"),
    [
        ({}, "linux", {}, {"modules"}),
        ({}, "linux", {"ipykernel": "7.4.0"}, {"jupyter", "modules"}),
        ({"publish": {"jupyter": False}}, "linux", {"ipykernel": "7.4.0"}, {"modules"}),
        ({"publish": {"modules": False}}, "linux", {}, set()),
        ({}, "windows", {"ipykernel": "7.4.0"}, set()),
    ],
)
def test_which_there_are(
    said: dict[str, Any], os: str, packages: dict[str, str], kinds: set[str]
) -> None:
    lock = lock_with({"torch": "2.13.0+cpu", **packages})
    settings = Settings.model_validate(said)
    found = publish_of("vision", "/opt/fleetwheel", os, settings, lock, PYTHON)
    assert {*found["wanted"]} == kinds


def test_a_place_is_absolute() -> None:
    with pytest.raises(ValueError, match="no absolute path"):
        Settings.model_validate({"publish": {"modules": "sw/modulefiles"}})
    with pytest.raises(ValueError, match="must be true, false, or a directory"):
        Settings.model_validate({"publish": {"modules": 1}})


# Where they stand


def test_root_publishes_what_everybody_can_get_to(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation, interpreter = root / "envs" / A, tmp_path / "python/bin/python3"
    for path in (generation / "bin/python", interpreter):
        path.parent.mkdir(parents=True)
    interpreter.touch()
    (generation / "bin/python").symlink_to(interpreter)
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(publish, "MODULES", (str(tmp_path / "there"), str(tmp_path / "absent")))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    closed: set[Path] = set()
    monkeypatch.setattr(publish, "is_open_to_all", lambda directory: directory not in closed)
    assert publish.directories(generation, "jupyter", None) == ["/usr/local/share/jupyter/kernels"]
    assert publish.directories(generation, "modules", None) == [str(tmp_path / "there")]
    for closed_one in (root, interpreter.parent):
        closed |= {closed_one}
        assert not publish.directories(generation, "jupyter", None)
        assert not publish.directories(generation, "modules", None)
        assert publish.directories(generation, "modules", "/sw") == ["/sw"]
        closed.clear()


def test_another_user_publishes_for_an_own_jupyter_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    own = ["/home/ada/.local/share/jupyter/kernels"]
    assert publish.directories(root / "envs" / A, "jupyter", None) == own
    assert not publish.directories(root / "envs" / A, "modules", None)
    assert publish.directories(root / "envs" / A, "modules", "~/modules") == ["/home/ada/modules"]


def test_an_activation_writes_them_and_the_record_knows(
    root: Path, tmp_path: Path, kernel: Path, module: Path
) -> None:
    old = os.umask(0o077)
    try:
        assert activate(root, wanted(root, tmp_path)) == []
    finally:
        os.umask(old)
    assert {str(kernel), str(module)} == {*state.records(root)["vision"]["published"]}
    assert json.loads(kernel.read_text())["display_name"] == "PyTorch (vision)"
    modes = [path.stat().st_mode & 0o777 for path in (kernel, module, kernel.parent, module.parent)]
    assert modes == [0o644, 0o644, 0o755, 0o755], "whatever root's umask is"
    assert differences(root, wanted(root, tmp_path)) == []


def test_a_second_activation_touches_nothing(root: Path, tmp_path: Path, kernel: Path) -> None:
    activate(root, wanted(root, tmp_path))
    before = identity(kernel)
    activate(root, wanted(root, tmp_path), B)
    assert identity(kernel) == before


def test_what_is_gone_or_changed_is_noticed_and_put_right(
    root: Path, tmp_path: Path, kernel: Path, module: Path
) -> None:
    asked = wanted(root, tmp_path)
    activate(root, asked)
    kernel.unlink()
    module.write_text(f"{module.read_text()}setenv X 1\n")
    assert differences(root, asked) == [("kernel.json", "not there"), ("vision", "changed")]
    record = state.records(root)["vision"]
    lost = {(Path(each.what).name, each.found) for each in publish.lost(record)}
    assert lost == {("kernel.json", "not there"), ("vision", "changed")}
    assert [note.partition(" is ")[0] for note in check.unfound(record)] == [
        str(kernel),
        str(module),
    ]
    assert check.other_readers(root, "vision", record) == []
    activate(root, asked)
    assert differences(root, asked) == [] and "setenv" not in module.read_text()


def test_a_record_of_before_is_completed(root: Path, tmp_path: Path) -> None:
    nothing = {**wanted(root, tmp_path), "wanted": {}}
    activate(root, nothing)
    asked = wanted(root, tmp_path)
    assert [what for what, _ in differences(root, asked)] == ["kernel.json", "vision"]


def test_what_is_switched_off_goes(root: Path, tmp_path: Path, kernel: Path, module: Path) -> None:
    activate(root, wanted(root, tmp_path))
    off = wanted(root, tmp_path, publish={"jupyter": False, "modules": str(module.parents[1])})
    assert [what for what, _ in differences(root, off)] == ["kernel.json"]
    activate(root, off)
    assert not kernel.parent.exists() and module.exists()
    assert {*state.records(root)["vision"]["published"]} == {str(module)}


@pytest.mark.parametrize("kind", ["file", "link", "directory", "other root"])
def test_what_is_somebody_elses_stays(
    root: Path, tmp_path: Path, kernel: Path, module: Path, kind: str
) -> None:
    module.parent.mkdir(parents=True)
    if kind == "link":
        ours = module.with_name("another name")
        ours.write_text(module_file(str(root), "vision", LOCK, PYTHON))
        module.symlink_to(ours)
    elif kind == "directory":
        module.mkdir()
    else:
        other = module_file("/opt/other", "vision", LOCK, PYTHON)
        module.write_text("mine\n" if kind == "file" else other)
    before = identity(module)
    (why,) = activate(root, wanted(root, tmp_path))
    assert why == f"no module file: {module} is somebody else's, and stays"
    remove.remove(str(root), "vision")
    assert identity(module) == before and not kernel.exists()


def test_what_somebody_else_has_put_in_the_place_of_ours_stays(
    root: Path, tmp_path: Path, module: Path
) -> None:
    asked = wanted(root, tmp_path)
    activate(root, asked)
    module.write_text("mine\n")
    for _ in range(2):
        (why,) = activate(root, asked)
        assert "somebody else's" in why and module.read_text() == "mine\n"
        assert differences(root, asked) == [], "a deploy would change nothing"
        seen = seen_in(publish.looked(str(root), A, "vision", asked))
        (named,) = drift.outside((*seen.differences, *seen.replaced))
        assert named.found == f"{module} is somebody else's, and stays"
        assert named.repair.startswith("remove that file, and run deploys/torch.py")
        assert check.unfound(state.records(root)["vision"])
    module.unlink()
    assert activate(root, asked) == [] and module.read_text() != "mine\n"


@pytest.mark.parametrize("place", ["modulefiles", "modulefiles/fleetwheel"])
def test_a_place_that_others_can_change_is_not_used(
    root: Path, tmp_path: Path, module: Path, place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place).chmod(0o777)
    (why,) = activate(root, wanted(root, tmp_path))
    assert why == (
        f"no module file: others can change {module}: everyone can write to {tmp_path / place}"
    )
    assert not module.exists()


def test_nothing_is_removed_from_a_place_that_others_can_change_by_now(
    root: Path, tmp_path: Path, module: Path
) -> None:
    activate(root, wanted(root, tmp_path))
    module.parent.chmod(0o777)
    done = remove.remove(str(root), "vision")
    assert module.exists() and done["foreign"] == [str(module)]


# Removing


def test_they_go_with_the_environment(
    root: Path, tmp_path: Path, kernel: Path, module: Path
) -> None:
    activate(root, wanted(root, tmp_path))
    said = remove.removal(str(root), ["vision"])["removal"]["vision"]
    assert said["published"] == [str(kernel), str(module)] and kernel.exists()
    assert remove.remove(str(root), "vision")["published"] == [str(kernel), str(module)]
    assert not kernel.parent.exists() and not module.parent.exists()
    assert module.parents[1].exists(), "others may use it"


def test_they_go_with_everything(root: Path, tmp_path: Path, kernel: Path, module: Path) -> None:
    activate(root, wanted(root, tmp_path))
    assert uninstall.leftovers(str(root))["published"] == [str(kernel), str(module)]
    uninstall.uninstall(str(root))
    assert not root.exists() and not kernel.exists() and not module.exists()


# Readers


@pytest.fixture
def group() -> tuple[str, int]:
    """A group that is not root's."""
    found = grp.getgrnam("daemon")
    return found.gr_name, found.gr_gid


def test_a_generation_for_a_group_is_shared_with_no_other() -> None:
    names = {LOCK.generation(PYTHON, group) for group in (None, "vision", "course")}
    assert len(names) == 3 and LOCK.generation(PYTHON) in names


@AS_ROOT
def test_a_group_alone_reads_an_environment_and_what_it_is_found_by(
    root: Path, tmp_path: Path, kernel: Path, module: Path, group: tuple[str, int]
) -> None:
    asked = wanted(root, tmp_path, group=group[0])
    activate(root, asked)
    places = (root / "envs" / A, kernel, kernel.parent, module)
    assert [(p.stat().st_mode & 0o777, p.stat().st_gid) for p in places] == [
        (0o750, group[1]),
        (0o640, group[1]),
        (0o750, group[1]),
        (0o640, group[1]),
    ]
    assert module.parent.stat().st_mode & 0o777 == 0o755, "it holds those of others too"
    assert differences(root, asked) == []


@AS_ROOT
def test_other_readers_are_drift_and_put_right(
    root: Path, tmp_path: Path, module: Path, group: tuple[str, int]
) -> None:
    asked = wanted(root, tmp_path, group=group[0])
    activate(root, asked)
    (root / "envs" / A).chmod(0o755)
    module.chmod(0o644)
    assert [what for what, _ in differences(root, asked)] == ["readers", "vision"]
    record = state.records(root)["vision"]
    (found,) = check.other_readers(root, "vision", record)
    assert found.expected == f"group {group[0]} alone"
    activate(root, asked)
    assert differences(root, asked) == []


def test_an_environment_that_root_alone_can_read_is_drift(root: Path, tmp_path: Path) -> None:
    activate(root, wanted(root, tmp_path))
    (root / "envs" / A).chmod(0o700)
    assert [what for what, _ in differences(root, wanted(root, tmp_path))] == ["readers"]


def moved_on(root: Path, base: Path, **said: Any) -> dict[str, Any]:
    """Have an environment go from A to B, and return what its second record was published with."""
    activate(root, wanted(root, base))
    add_generation(root, B)
    asked = wanted(root, base, **said)
    former = Earlier(generation=A)
    record = record_of(LOCK, B).model_copy(update={"group": asked["group"], "earlier": (former,)})
    before = state.records(root).get("vision")
    activating.activate(str(root), B, "vision", record.to_json(), [], before, asked)
    return asked


@AS_ROOT
def test_what_came_before_a_group_is_closed_with_it(
    root: Path, tmp_path: Path, group: tuple[str, int]
) -> None:
    new = "fresh-cp311-0123456789ab-1"
    add_generation(root, new)
    asked = moved_on(root, tmp_path, group=group[0])
    assert readers.readers(root / "envs" / A) == group[1]
    assert readers.readers(root / "envs" / new) is None, "somebody may be about to use it"
    (root / "envs" / A).chmod(0o755)
    record = state.records(root)["vision"]
    (found,) = check.other_readers(root, "vision", record)
    assert (found.what, found.expected) == (f"readers of {A}", f"group {group[0]} alone")
    answer = verify.verify(str(root), B, hashes=False, environment="vision", publish=asked)
    assert [each["what"] for each in answer["differences"]] == [f"readers of {A}"]


@AS_ROOT
def test_what_nobody_names_is_closed_with_a_group(
    root: Path, tmp_path: Path, group: tuple[str, int]
) -> None:
    for id in (stray := "stray-cp311-0123456789ab-1", A):
        add_generation(root, id)
    os.utime(root / "envs" / stray / "pyvenv.cfg", (0, 0))
    activate(root, wanted(root, tmp_path))
    assert readers.readers(root / "envs" / stray) is None
    activate(root, wanted(root, tmp_path, group=group[0]))
    assert (root / "envs" / stray).stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_what_an_environment_for_all_names_stays_open(
    root: Path, tmp_path: Path, group: tuple[str, int]
) -> None:
    activate(root, wanted(root, tmp_path), name="default")
    moved_on(root, tmp_path, group=group[0])
    assert readers.readers(root / "envs" / A) is None
    assert check.other_readers(root, "vision", state.records(root)["vision"]) == []


@AS_ROOT
def test_without_the_group_what_came_before_is_opened(
    root: Path, tmp_path: Path, group: tuple[str, int]
) -> None:
    activate(root, wanted(root, tmp_path, group=group[0]))
    moved_on(root, tmp_path)
    (root / "envs" / A).chmod(0o750)
    os.chown(root / "envs" / A, -1, group[1])
    asked = wanted(root, tmp_path)
    record = state.records(root)["vision"]
    activating.activate(str(root), B, "vision", record, [], record, asked)
    assert readers.readers(root / "envs" / A) is None


@AS_ROOT
def test_a_generation_in_use_elsewhere_is_not_closed_to_its_users(
    root: Path, tmp_path: Path, group: tuple[str, int]
) -> None:
    activate(root, wanted(root, tmp_path), name="default")
    with pytest.raises(Failure, match="is in use in default too"):
        activate(root, wanted(root, tmp_path, group=group[0]))
    assert readers.readers(root / "envs" / A) is None


def test_a_group_that_the_host_has_not_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="there is no group nosuch on the host") as failed:
        activate(root, wanted(root, tmp_path, group="nosuch"))
    assert "groupadd nosuch" in failed.value.hint
    with pytest.raises(Failure, match="there is no group nosuch on the host"):
        build.build(str(root), A, "", "", {}, 0, "", group="nosuch")


# pip


def environment(base: Path) -> Path:
    """Return what uv makes of an environment without packages."""
    (base / "bin").mkdir(parents=True)
    (base / "lib/python3.11/site-packages").mkdir(parents=True)
    return base


def test_pip_says_whose_environment_it_is(root: Path) -> None:
    made = build.place_pip(environment(root / "envs" / A))
    assert {path.name for path in made} == {"pip", "pip3", "pip3.11"}
    (root / "environments").mkdir()
    (root / "environments/vision").symlink_to(f"../envs/{A}")
    pip = root / "environments/vision/bin/pip"
    done = subprocess.run([pip, "install", "rich"], capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert f"pip: {root}/environments/vision is deployed by fleetwheel" in done.stderr
    assert "ask whoever deploys it" in done.stderr
    (root / "bin").mkdir()
    (root / "bin/overlay").touch(mode=0o755)
    done = subprocess.run([pip], capture_output=True, text=True)
    assert f"them: {root}/bin/overlay DIR vision\n" in done.stderr


@pytest.mark.parametrize(("called", "name"), [("current", " default"), (f"envs/{A}", "")])
def test_by_whatever_way_it_is_called(root: Path, called: str, name: str) -> None:
    build.place_pip(environment(root / "envs" / A))
    (root / "current").symlink_to(f"envs/{A}")
    (root / "bin").mkdir()
    (root / "bin/overlay").touch(mode=0o755)
    done = subprocess.run([root / called / "bin/pip3"], capture_output=True, text=True)
    assert f"them: {root}/bin/overlay DIR{name}\n" in done.stderr


def test_a_real_pip_stays(root: Path) -> None:
    there = environment(root / "envs" / A)
    (there / "bin/pip").write_text("real")
    assert build.place_pip(there) == []
    assert [path.name for path in (there / "bin").iterdir()] == ["pip"]
