"""Indexes as the usual products lay them out: surveyed, locked, fetched for a push, installed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.sources import store, web
from fleetwheel.sources.configured import pip_settings, uv_credentials
from fleetwheel.sources.survey import survey
from fleetwheel.sources.wheel import Source
from tests.index_layouts import LAYOUTS, Served, serve_layout
from tests.samples import CPU_HOST, REQUEST, choice, target_of
from tests.small_wheels import make_wheel

pytestmark = pytest.mark.usefixtures("quick_pip")

NAMES = {"acme-utils": "1.0", "numpy": "2.4.0", "torch": "2.13.0+cpu"}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pip_settings.cache_clear()
    web.forget_pages()
    folder = tmp_path / "wheels"
    yield {
        "acme-utils": make_wheel(folder, "acme_utils", "1.0", requires=("numpy",)),
        "numpy": make_wheel(folder, "numpy", "2.4.0"),
        "torch": make_wheel(folder, "torch", "2.13.0+cpu"),
    }
    pip_settings.cache_clear()
    web.forget_pages()


@pytest.fixture(params=LAYOUTS)
def served(request: pytest.FixtureRequest, wheels: dict[str, Path]) -> Iterator[Served]:
    own = [wheels["acme-utils"], wheels["torch"]]
    with serve_layout(LAYOUTS[request.param], own, [wheels["numpy"]]) as running:
        yield running


def locked(source: Source) -> Lock:
    chosen = choice(source).model_copy(update={"requirements": ("acme-utils",)})
    target = target_of(CPU_HOST)
    text = locking.pick(chosen, target, [source])
    return locking.lock_of(text, chosen, target, REQUEST)


def test_each_layout_from_survey_to_the_wheels(
    served: Served, wheels: dict[str, Path], tmp_path: Path
) -> None:
    source = Source(name="lab", url=served.url)
    found = survey([source], NAMES)
    assert {wheel.project: str(wheel.version) for wheel in found.wheels} == NAMES
    assert not found.warnings

    lock = locked(source)
    assert lock.packages == NAMES
    assert "s3cret" not in lock.text
    for name, path in wheels.items():
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert lock.hashes[name] == {sha256}
        assert store.fetch(lock.urls[name], {sha256}, [source]).read_bytes() == path.read_bytes()

    environment = tmp_path / "venv"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "-p", sys.executable, environment], check=True)
    (tmp_path / "pylock.toml").write_text(lock.text)
    install = [uv.find_uv_bin(), "pip", "sync", "-q", "--no-config", "--no-cache"]
    install += ["--python", str(environment), "--preview-features", "pylock"]
    done = subprocess.run(
        [*install, str(tmp_path / "pylock.toml")],
        env={**os.environ, **uv_credentials([source], lock.urls.values())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(environment.glob("lib/python3*/site-packages/acme_utils.py"))
