"""An environment that has lost files or was edited is built again, and the reason says so."""

from pathlib import Path

import pytest

from tests.project import Project


@pytest.fixture
def site(small: Project) -> Path:
    """The packages of an environment that stands as it was deployed."""
    deploy(small, "changed")
    (found,) = (small.root / "current/lib").glob("python3*/site-packages")
    return found.resolve()


def deploy(small: Project, status: str) -> str:
    """Deploy, and return why the host got this status."""
    done = small.deploy(smoke="none")
    assert done.returncode == 0, done.stdout
    entry = small.report()
    assert entry["status"] == status, entry["why"]
    return str(entry["why"])


def edit(path: Path) -> None:
    """Change a file and keep its size; its other links, in uv's cache, keep the old content."""
    text = path.read_text()
    path.unlink()
    path.write_text(text.upper())


def test_a_file_that_is_gone(small: Project, site: Path) -> None:
    """The dry run sees it too."""
    dry = ("--dry", "deploys/torch.py")
    assert "would change" not in small.run(*dry, smoke="none").stdout
    (site / "torch.py").unlink()
    assert "would change" in small.run(*dry, smoke="none").stdout
    assert "files of torch" in small.run("-y", "deploys/drift.py").stdout
    why = deploy(small, "changed")
    assert "files of torch in 2.13.0+cpu" in why
    assert small.python("import torch; print(torch.__version__)") == "2.13.0+cpu"
    assert len(small.generations()) == 2
    deploy(small, "unchanged")


def test_what_a_deep_look_has_found(small: Project, site: Path) -> None:
    edit(site / "numpy.py")
    deploy(small, "unchanged")
    look = small.run("-y", "deploys/drift.py", deep="true", smoke="none")
    assert "files of numpy" in look.stdout
    assert "files of numpy in 2.13.0+cpu" in deploy(small, "changed")
    deploy(small, "unchanged")


def test_what_was_planted_is_found_and_not_run(small: Project, site: Path) -> None:
    """The smoke test of a deep look starts the environment's Python, and so each .pth."""
    ran = small.root / "ran"
    (site / "planted.pth").write_text(f"import os; open({str(ran)!r}, 'w').close()\n")
    look = small.run("-y", "deploys/drift.py", deep="true")
    assert "planted.pth" in look.stdout
    assert not ran.exists()


def test_an_environment_without_its_lib(small: Project, site: Path) -> None:
    site.parents[1].rename(small.root / "lib-of-it")
    look = small.run("-y", "deploys/drift.py", deep="true", smoke="none")
    assert "StopIteration" not in look.stdout
    assert "rebuild=true" in look.stdout
    assert "the environment's packages differ from the lock" in deploy(small, "changed")
