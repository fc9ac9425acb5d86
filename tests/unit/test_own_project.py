"""``fleetwheel choose --format``: lines for somebody's own project, fed to the real uv and pip."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetwheel.choice.own_project import requirements_lines, uv_lines
from fleetwheel.cli import commands
from fleetwheel.sources.wheel import Source
from tests.samples import choice
from tests.serve_index import serve_index
from tests.small_wheels import make_wheel

GPU = ("--driver", "580.95.05", "--gpu", "8.9", "--torch", "2.14.1")
UV = Path(sys.executable).with_name("uv")


def run(*words: str) -> Result:
    return CliRunner().invoke(commands, ["choose", "--offline", *words], catch_exceptions=False)


def clean_environment(**more: str) -> dict[str, str]:
    """Return an environment in which no configuration of this machine names another source."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    cache = {"UV_CACHE_DIR": os.environ["UV_CACHE_DIR"], "PIP_CONFIG_FILE": os.devnull}
    nowhere = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"), "/nowhere")
    return {**kept, **cache, **nowhere, "UV_PYTHON_DOWNLOADS": "never", **more}


def wheels(directory: Path) -> dict[str, list[Path]]:
    """Make the release by two variants and by a stranger, and what it needs, for each index."""
    ours = [
        make_wheel(directory / "cu130", "torch", "2.14.1+cu130", requires=("filelock",)),
        make_wheel(directory / "cu130", "torchvision", "0.29.1+cu130", requires=("torch==2.14.1",)),
    ]
    everyone = [
        make_wheel(directory / "simple", "torch", "2.14.1", requires=("filelock",)),
        make_wheel(directory / "simple", "torchvision", "0.29.1", requires=("torch==2.14.1",)),
        make_wheel(directory / "simple", "filelock", "3.0"),
        make_wheel(directory / "simple", "numpy", "2.4.0"),
    ]
    return {"cu130": ours, "simple": everyone}


PACKAGES = ("--packages", "torchvision", "numpy>=2")
LOCKED = {"torch": "2.14.1+cu130", "torchvision": "0.29.1+cu130"}
LOCKED |= {"filelock": "3.0", "numpy": "2.4.0"}


def test_uv_locks_a_project_with_these_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_index(wheels(tmp_path)) as index:
        monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", index.url)
        minor = f"3.{sys.version_info.minor}"
        result = run(*GPU, *PACKAGES, "--python", minor, "--accelerator", "cu130", "--format", "uv")
        fragment = result.stdout.replace("[project]\n", '[project]\nname = "mine"\nversion = "1"\n')
        (tmp_path / "pyproject.toml").write_text(fragment)
        told = clean_environment(UV_DEFAULT_INDEX=f"{index.url}/simple", UV_PYTHON=sys.executable)
        done = subprocess.run([UV, "lock"], cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packages = tomllib.loads((tmp_path / "uv.lock").read_text())["package"]
    locked = {package["name"]: package for package in packages}
    assert {name: locked[name]["version"] for name in LOCKED} == LOCKED
    assert locked["torch"]["source"] == {"registry": f"{index.url}/cu130/"}
    assert locked["filelock"]["source"] == {"registry": f"{index.url}/simple"}, "explicit"


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_pip_and_uv_install_from_this_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    with serve_index(wheels(tmp_path)) as index:
        monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", index.url)
        words = (*GPU, *PACKAGES, "--accelerator", "cu130", "--format", "requirements")
        (tmp_path / "requirements.txt").write_text(run(*words).stdout)
        target = tmp_path / "target"
        install = ["install", "--target", target, "-r", tmp_path / "requirements.txt"]
        command = [sys.executable, "-m", "pip"] if tool == "pip" else [UV, "pip"]
        index_of = {
            "PIP_INDEX_URL": f"{index.url}/simple",
            "UV_DEFAULT_INDEX": f"{index.url}/simple",
        }
        told = clean_environment(UV_PYTHON=sys.executable, **index_of)
        done = subprocess.run([*command, *install], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    infos = (path.name.removesuffix(".dist-info") for path in target.glob("*.dist-info"))
    assert dict(info.split("-") for info in infos) == LOCKED


@pytest.mark.parametrize("format", ["uv", "requirements"])
def test_a_directory_of_wheels_serves_too(tmp_path: Path, format: str) -> None:
    place = tmp_path / "wheels of it's"
    make_wheel(place, "torch", "2.13.0+cpu")
    source = Source(name="pip find-links", url=str(place), layout="flat")
    told = clean_environment(UV_PYTHON=sys.executable, UV_OFFLINE="1")
    alone = choice().model_copy(update={"requirements": ()})
    if format == "uv":
        text = uv_lines(alone, source).replace("[project]\n", '[project]\nname="m"\nversion="1"\n')
        (tmp_path / "pyproject.toml").write_text(text)
        command = [UV, "lock"]
    else:
        (tmp_path / "requirements.txt").write_text(requirements_lines(alone, source))
        command = [UV, "pip", "compile", "requirements.txt"]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lock = (tmp_path / "uv.lock").read_text() if format == "uv" else done.stdout
    assert "2.13.0+cpu" in lock


def test_a_login_stays_out_and_is_said() -> None:
    source = Source(name="mirror", url="https://user:secret@example.org/simple")
    for text in (uv_lines(choice(), source), requirements_lines(choice(), source)):
        assert "secret" not in text and "https://example.org/simple" in text
        assert "wants a login" in text
    assert "UV_INDEX_TORCH_CPU_USERNAME" in uv_lines(choice(), source)


def test_what_the_release_does_not_work_without_is_a_limit_and_no_package() -> None:
    limited = choice().model_copy(
        update={"requirements": ("numpy>=1",), "limits": ("numpy<2", "xformers<1")}
    )
    source = Source(name="mirror", url="https://example.org/simple")
    document = tomllib.loads(uv_lines(limited, source))
    assert document["tool"]["uv"]["constraint-dependencies"] == ["numpy<2", "xformers<1"]
    assert document["project"]["dependencies"][-1] == "numpy>=1"
    lines = requirements_lines(limited, source).splitlines()
    assert lines[-3:] == ["numpy>=1", "numpy<2", "# should you add it: xformers<1"]


def test_a_refusal_leaves_the_file_empty() -> None:
    result = run("--torch", "1.0", "--format", "uv")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "refused" in result.stderr


@pytest.mark.parametrize("word", ["--json", "--explain"])
def test_one_form_at_a_time(word: str) -> None:
    result = run("--format", "uv", word)
    assert (result.exit_code, "leave --json and --explain out" in result.stderr) == (1, True)
