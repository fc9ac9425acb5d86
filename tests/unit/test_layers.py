"""Imports point one way, as the picture in docs/architecture.md has it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

FOLDERS = ("deploys", "facts", "fleetwheel", "operations")
MAY_IMPORT_PYINFRA = {
    "fleetwheel/cli/_run.py",
    "fleetwheel/cli/_settings.py",
    "fleetwheel/cli/fleet.py",
    "fleetwheel/inventory/ansible_connector.py",
    "fleetwheel/connection/bounds.py",
    "fleetwheel/connection/client.py",
    "fleetwheel/connection/winssh.py",
}
NODE_MAY_IMPORT = {"fleetwheel", "torch", "numpy", "pynvml", "module"}
"""``module`` is the smoke test's variable for what a team's file names."""


@cache
def module(path: Path) -> ast.Module:
    """Return a file as Python reads it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all that a file consists of."""
    return tuple(ast.walk(module(path)))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it and in whichever way."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) == "import_module":
            yield "".join(ast.unparse(word).lstrip("f").strip("\"'") for word in node.args[:1])


def called(node: ast.Call) -> str | None:
    """Return the last name of what is called: ``import_module`` of ``importlib.import_module``."""
    named = node.func
    return named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", None)


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


def files(folder: str) -> list[Path]:
    """Return the modules of a folder; what is linked into it belongs to another one."""
    found = [path for path in sorted(Path(folder).rglob("*.py")) if not path.is_symlink()]
    assert found, f"no files in {folder}/"
    return found


def floors() -> list[list[str]]:
    """Return the rooms of the picture, the lowest floor first."""
    text = Path("docs/architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"^```floors\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    return [line.split("|")[0].split() for line in reversed(picture.splitlines())]


def room(path: Path) -> str:
    """Return the room of a file: a package or module of fleetwheel, or a folder beside it."""
    return path.parts[1].removesuffix(".py") if path.parts[0] == "fleetwheel" else path.parts[0]


def test_arrows_lead_downwards_in_the_picture() -> None:
    floor = {room: level for level, rooms in enumerate(floors()) for room in rooms}
    upward, used = [], set()
    for path in (path for folder in FOLDERS for path in files(folder)):
        if path.name in ("__init__.py", "__main__.py") and path.parent.name == "fleetwheel":
            continue
        used.add(room(path))
        for name in imports(path):
            there = name.split(".")[1] if name.startswith("fleetwheel.") else None
            if there is None or there == "__version__" or there == room(path):
                continue
            used.add(there)
            if floor[there] >= floor[room(path)]:
                upward.append(f"{path} -> {name}")
    assert upward == []
    assert used == set(floor), "the picture has rooms that are not there"


@pytest.mark.parametrize("folder", [*FOLDERS, "tests", "benchmarks", "scripts"])
def test_facts_and_operations_have_one_name(folder: str) -> None:
    """``facts.gpu.Gpus`` would be another class than ``fleetwheel.facts.gpu.Gpus``."""
    for path in files(folder):
        if re.search("facts|operations", path.read_text(encoding="utf-8")):
            assert not imported(path) & {"facts", "operations"}, path


def test_only_a_few_modules_know_pyinfra() -> None:
    knows = {path.as_posix() for path in files("fleetwheel") if "pyinfra" in imported(path)}
    assert knows == MAY_IMPORT_PYINFRA


def test_a_clone_without_links_says_what_to_do(tmp_path: Path) -> None:
    package = tmp_path / "fleetwheel"
    package.mkdir()
    (package / "__init__.py").write_bytes(Path("fleetwheel/__init__.py").read_bytes())
    (package / "facts").write_text("../facts")
    done = subprocess.run(
        [sys.executable, "-c", "import fleetwheel"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "git config core.symlinks true" in done.stderr


def test_the_program_for_hosts_needs_nothing_that_they_lack() -> None:
    for path in files("fleetwheel/node"):
        assert imported(path) <= set(sys.stdlib_module_names) | NODE_MAY_IMPORT, path
        ours = [name for name in imports(path) if name.startswith("fleetwheel.")]
        assert all(name.startswith("fleetwheel.node.") for name in ours), path


def test_deploys_are_short_scripts() -> None:
    for path in files("deploys"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path
        tree = module(path)
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body), path


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_says_what_it_is_for(folder: str) -> None:
    for path in files(folder):
        assert ast.get_docstring(module(path)), path


def modules_used(path: Path) -> set[str]:
    """Return the files of fleetwheel/ that a file there imports."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fleetwheel"):
            place = Path(*str(node.module).split("."))
            places = [place.with_suffix(".py"), *(place / f"{a.name}.py" for a in node.names)]
            found |= {place.as_posix() for place in places if place.exists()}
    return found


def test_no_modules_import_each_other() -> None:
    used = {path.as_posix(): modules_used(path) for path in files("fleetwheel")}
    assert used["fleetwheel/deploy/decider.py"] >= {
        "fleetwheel/choice/answer.py",
        "fleetwheel/lock/lock.py",
    }
    TopologicalSorter(used).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md", *Path("docs").glob("*.md")])
def test_files_that_documents_name_are_there(document: str | Path) -> None:
    text = Path(document).read_text(encoding="utf-8")
    folders = "benchmarks|deploys|facts|fleetwheel|operations|scripts|templates|tests"
    named = re.findall(rf"(?<![\w/.])(?:{folders})/[\w/]+(?:/|\.(?:py|sh|yaml|j2))", text)
    assert [name for name in named if not Path(name).exists()] == []


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_names_in_tables_are_files_of_the_folder_before_them(document: str) -> None:
    """After `fleetwheel/choice/choose.py`, `search.py` is a file of fleetwheel/choice/."""
    wrong = []
    for row in re.findall(r"^\|.+", Path(document).read_text(encoding="utf-8"), re.MULTILINE):
        folder = Path()
        for name in re.findall(r"`([\w/.*-]+(?:/|\.(?:py|sh|cmd|yaml|txt|j2)))`", row):
            path = Path(name) if "/" in name else folder / name
            folder = path if name.endswith("/") else path.parent
            wrong += [] if list(Path().glob(str(path))) else [f"{path}: {row[:60]}"]
    assert wrong == []


def test_one_place_prints_a_hint() -> None:
    """A fault is a FleetwheelError until it is printed, so that nobody has to read it back."""
    ours = [path for folder in FOLDERS for path in files(folder)]
    by_hand = {path.as_posix() for path in ours if any("hint: " in text for text in texts(path))}
    assert by_hand == {"fleetwheel/errors.py"}


def texts(path: Path) -> list[str]:
    """Return the string constants of a file."""
    constants = [node for node in nodes(path) if isinstance(node, ast.Constant)]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_public_names_are_unique() -> None:
    """A search for a name finds one thing. Facts are named for pyinfra.

    The program for hosts is a world of its own, in which functions are named for actions.
    """
    where: dict[tuple[bool, str], list[str]] = {}
    for path in (path for folder in ("fleetwheel", "operations") for path in files(folder)):
        if path.name.startswith("windows_"):
            continue  # programs for hosts, each of which stands alone
        for node in module(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(("node" in path.parts, node.name), []).append(path.as_posix())
    shared = {name for (there, name), paths in where.items() if len(paths) > 1}
    assert shared <= {"by_hand", "main"}, "what starts a module of the program for hosts"


def test_every_package_is_in_the_wheel() -> None:
    """An editable install has them all; a wheel only those that are named."""
    named = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    own = {path.parent for path in Path("fleetwheel").rglob("__init__.py")}
    linked = {Path("fleetwheel/facts"), Path("fleetwheel/operations")}
    assert sorted(named) == sorted(".".join(each.parts) for each in own | linked)
