"""Imports point one way: deploys -> operations -> facts -> fleetwheel -> libraries."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

OURS = {"deploys", "operations", "facts", "fleetwheel", "pyinfra", "tests"}
ALLOWED = {
    "deploys": {"operations", "facts", "fleetwheel", "pyinfra"},
    "operations": {"operations", "facts", "fleetwheel", "pyinfra"},
    "facts": {"facts", "fleetwheel", "pyinfra"},
    "fleetwheel": {"fleetwheel"},
}
MAY_IMPORT_PYINFRA = {
    "fleetwheel/fleet.py",
    "fleetwheel/joining/host_keys.py",
    "fleetwheel/windows/winssh.py",
}
NODE_MAY_IMPORT = {"fleetwheel", "torch", "numpy", "pynvml"}


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def files(folder: str) -> list[Path]:
    found = sorted(Path(folder).rglob("*.py"))
    assert found, f"no files in {folder}/"
    return found


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_one_way(folder: str) -> None:
    for path in files(folder):
        allowed = ALLOWED[folder] | (
            {"pyinfra"} if path.as_posix() in MAY_IMPORT_PYINFRA else set()
        )
        assert imported(path) & OURS <= allowed, path


def test_the_program_for_hosts_needs_nothing_that_they_lack() -> None:
    for path in files("fleetwheel/node"):
        assert imported(path) <= set(sys.stdlib_module_names) | NODE_MAY_IMPORT, path
        text = path.read_text(encoding="utf-8")
        ours = re.findall(r"^ *(?:from|import) (fleetwheel\S*)", text, re.M)
        assert all(f"{module}.".startswith("fleetwheel.node.") for module in ours), path


def test_deploys_are_short_scripts() -> None:
    for path in files("deploys"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, path
        tree = ast.parse(text)
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body), path


@pytest.mark.parametrize("folder", ALLOWED)
def test_every_module_says_what_it_is_for(folder: str) -> None:
    for path in files(folder):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def modules_used(path: Path) -> set[str]:
    """Return the files of fleetwheel/ that a file there imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fleetwheel"):
            place = Path(*str(node.module).split("."))
            places = [place.with_suffix(".py"), *(place / f"{a.name}.py" for a in node.names)]
            found |= {place.as_posix() for place in places if place.exists()}
    return found


def test_no_modules_import_each_other() -> None:
    used = {path.as_posix(): modules_used(path) for path in files("fleetwheel")}
    assert used["fleetwheel/decision.py"] >= {
        "fleetwheel/choice/answer.py",
        "fleetwheel/wheels/lock.py",
    }
    TopologicalSorter(used).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md", *Path("docs").glob("*.md")])
def test_files_that_documents_name_are_there(document: str | Path) -> None:
    text = Path(document).read_text(encoding="utf-8")
    folders = "benchmarks|deploys|facts|fleetwheel|operations|scripts|templates|tests"
    named = re.findall(rf"(?<![\w/.])(?:{folders})/[\w/]+(?:/|\.(?:py|sh|yaml|j2))", text)
    assert [name for name in named if not Path(name).exists()] == []


def test_one_place_prints_a_hint() -> None:
    """A fault is a FleetwheelError until it is printed, so that nobody has to read it back."""
    ours = [path for folder in ALLOWED for path in files(folder)]
    by_hand = {path.as_posix() for path in ours if any("hint: " in text for text in texts(path))}
    assert by_hand == {"fleetwheel/errors.py"}


def texts(path: Path) -> list[str]:
    """Return the string constants of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
