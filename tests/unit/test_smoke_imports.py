"""The smoke test imports what a team's file names, before it computes anything."""

import venv
import zipfile
from typing import Any

import pytest

from fleetwheel.deploy.record import smoke_pass
from fleetwheel.node.smoke.imports import main_module
from fleetwheel.smoke import result as smoke
from tests.samples import GPU_HOST
from tests.small_wheels import make_wheel
from tests.smoke_script import expected, run

TORCH = """
from types import SimpleNamespace
__version__ = "2.14.1+cpu"
version = SimpleNamespace(cuda=None)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with a torch that computes nothing, and packages that fail in their ways."""
    base = tmp_path_factory.mktemp("environment")
    venv.create(base, symlinks=True)
    site = next(base.glob("lib/python3*/site-packages"))
    wheels = [
        make_wheel(base, "torch", "2.14.1+cpu", files={"torch/__init__.py": TORCH}),
        make_wheel(base, "sound", "1"),
        make_wheel(base, "lacking", "1", files={"lacking.py": "import absent_module"}),
        make_wheel(base, "crashing", "1", files={"crash/__init__.py": "import os; os.abort()"}),
        make_wheel(base, "stubs", "1", files={"share/stubs/data.txt": ""}),
    ]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return str(base / "bin" / "python")


def tried(python: str, *projects: str) -> dict[str, Any]:
    document, code = run(python, expected(accelerator="cpu", imports=projects))
    assert code == 2
    device: dict[str, Any] = document["devices"][0]
    return device


def test_a_package_that_cannot_be_imported_has_its_own_fault(python: str) -> None:
    fault = tried(python, "lacking", "sound", "stubs")["fault"]
    assert fault["name"] == "package-import"
    first, *others = fault["error"].splitlines()
    words = "No module named 'absent_module', during import lacking of lacking"
    assert first == f"ModuleNotFoundError: {words}"
    assert not any("sound" in line or "stubs" in line for line in others)
    assert "take it out of the file" in fault["repair"]


def test_a_package_that_ends_the_process_is_named(python: str) -> None:
    fault = tried(python, "sound", "crashing")["fault"]
    assert fault["name"] == "package-import"
    assert fault["error"].startswith("ended by SIGABRT, during import crash of crashing")


def test_what_can_be_imported_leaves_the_verdict_to_the_checks(python: str) -> None:
    fault = tried(python, "sound", "stubs")["fault"]
    assert fault["name"] == "unnamed", fault
    assert "AttributeError" in fault["error"]


@pytest.mark.parametrize(
    ("project", "files", "module"),
    [
        ("scikit-learn", ["sklearn/__init__.py", "sklearn/svm.py", "README.py"], "sklearn"),
        ("pyyaml", ["_yaml/__init__.py", "yaml/__init__.py", "yaml/nodes.py"], "yaml"),
        ("attrs", ["attr/__init__.py", "attr/a.py", "attrs/__init__.py"], "attrs"),
        ("pillow", ["PIL/__init__.py", "pillow.libs/libjpeg.so"], "PIL"),
        ("six", ["six.py", "six-1.17.dist-info/METADATA"], "six"),
        ("lxml-fast", ["fast.cpython-311-x86_64-linux-gnu.so"], "fast"),
        ("tool", ["tool/__init__.cpython-311-x86_64-linux-gnu.so"], "tool"),
        ("windows", ["win\\__init__.py"], "win"),
        ("nvidia-nccl", ["nvidia/nccl/lib/libnccl.so.2"], None),
        ("cffi", ["_cffi_backend.so"], None),
        ("scripts", ["../../../bin/tool.py", "tool-1.data/scripts/x.py"], None),
    ],
)
def test_the_module_of_a_project(project: str, files: list[str], module: str | None) -> None:
    assert main_module(project, files) == module


@pytest.mark.parametrize(
    ("done", "needed", "holds"),
    [
        (["numpy", "rich"], ["rich"], True),
        (["numpy"], ["rich"], False),
        (None, [], True),
        (None, ["rich"], False),
        (7, ["rich"], False),
    ],
)
def test_a_pass_holds_for_the_packages_that_it_imported(
    done: object, needed: list[str], holds: bool
) -> None:
    passed = smoke_pass("g-1", GPU_HOST, {"imports": done})
    assert passed.holds("g-1", GPU_HOST, None, needed) is holds


def test_a_document_says_what_was_to_be_imported(python: str) -> None:
    document, _ = run(python, expected(accelerator="cpu", imports=["sound"]))
    assert smoke.result_of(document).imports == ("sound",)
