"""A deploy from a team's file, with real torch: what it names is imported before it is used."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.project import Project, copy_of_checkout
from tests.small_wheels import make_wheel

FILE = "teams/course/requirements.txt"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has its packages from a file, two of them from a source of its own."""
    base = tmp_path_factory.mktemp("lab")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    make_wheel(base / "wheels", "ballast", "1.0")
    make_wheel(base / "wheels", "ballast", "2.0", files={"ballast.py": "import keel"})
    make_wheel(base / "wheels", "anchor", "1.0")
    inventory = {
        "defaults": {
            "sources": [str(base / "wheels")],
            "environments": {"default": {"requirements": FILE}},
        },
        "hosts": {"@local": {}},
    }
    (project.directory / "inventory" / "lab.yaml").write_text(json.dumps(inventory))
    (project.directory / FILE).parent.mkdir(parents=True)
    yield project
    shutil.rmtree(base)


def write(lab: Project, *lines: str) -> None:
    (lab.directory / FILE).write_text("\n".join(["torch==2.13.0+cu130", "numpy", *lines]) + "\n")


def test_what_the_file_names_is_installed_and_imported(lab: Project) -> None:
    write(lab, "ballast==1.0")
    done = lab.deploy()
    assert done.returncode == 0, done.stdout
    report = lab.report()
    assert report["smoke"]["imports"] == ["ballast", "numpy"]
    assert ", 2 packages imported" in report["smoke"]["devices"][0]["summary"]
    assert "torch==2.13.0+cu130 of teams/course/requirements.txt comes as 2.13.0+cpu" in done.stdout
    program = "import torch, ballast; print(torch.__version__, ballast.__version__)"
    assert lab.python(program) == "2.13.0+cpu 1.0"
    assert lab.deploy().returncode == 0
    assert lab.report()["status"] == "unchanged"


def test_a_changed_file_is_shown_before_anything_is_done(lab: Project) -> None:
    write(lab, "ballast==2.0", "anchor==1.0")
    done = lab.run("--dry", "deploys/torch.py")
    assert "what changes: added anchor 1.0; changed ballast 1.0 -> 2.0" in done.stdout, done.stdout


def test_what_cannot_be_imported_is_not_used(lab: Project) -> None:
    before = (lab.root / "current").resolve()
    done = lab.deploy()
    assert done.returncode == 1, done.stdout
    why = lab.report()["why"]
    assert "a package that the team's file names cannot be imported here" in why
    assert "(ModuleNotFoundError: No module named 'keel', during import ballast of ballast)" in why
    assert (lab.root / "current").resolve() == before


def test_a_file_that_cannot_be_used_leaves_its_environment_as_it_is(lab: Project) -> None:
    before = (lab.root / "current").resolve()
    write(lab, "tool @ git+https://example.org/tool")
    done = lab.deploy()
    assert done.returncode == 1
    assert f"{FILE}, line 3: tool comes from git: hosts install wheels only" in done.stdout
    assert (lab.root / "current").resolve() == before
