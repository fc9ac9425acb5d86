"""A project that real uv has locked from pip's own sources: the same versions, the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from fleetwheel.deploy.decider import Decider
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources.configured import configured_sources
from fleetwheel.team.pins import FAMILY
from tests.samples import CPU_HOST

pytestmark = pytest.mark.real

PROJECT = """
[project]
name = "nlp"
version = "1"
requires-python = ">=3.11,<3.12"
dependencies = ["torch==2.13.0", "numpy", "rich"]
[project.optional-dependencies]
train = ["scikit-learn", "matplotlib"]
[dependency-groups]
eval = ["pandas"]
[tool.uv]
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
"""


def test_a_lock_of_uv_holds_on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    sources = configured_sources()
    simple = [source.url for source in sources if source.layout == "simple" and not source.optional]
    flat = [source.url for source in sources if source.layout == "flat"]
    command = [uv.find_uv_bin(), "lock", "--quiet", "--no-config", "--python", sys.executable]
    command += ["--default-index", simple.pop()]
    command += [word for url in simple for word in ("--index", url)]
    command += [word for url in flat for word in ("--find-links", url)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UV_")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    monkeypatch.chdir(tmp_path)
    said = {"default": {"project": ".", "extras": ["train"], "groups": ["eval"]}}
    request = Settings.from_data({"environments": said}).by_environment()["default"].request
    decider = Decider(tmp_path / "locks", load_matrix(), lambda text: None)
    lock = decider.decide(CPU_HOST, request, None, lambda: None)
    assert isinstance(lock, Lock), lock
    assert request.team is not None
    theirs = {pin.requirement.partition("==")[::2] for pin in request.team.pins}
    assert len(theirs) >= 20
    ours = set(lock.packages.items())
    assert {each for each in ours ^ theirs if each[0] not in FAMILY} == set()
    assert lock.packages["torch"] == "2.13.0+cpu"
    for name, hashes in request.team.hashes.items():
        assert lock.hashes[name] <= hashes, name
