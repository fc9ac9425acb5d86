"""What every test gets: a frozen matrix, uv's cache of its own, no skips in CI, a project."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fleetwheel.matrix import matrix
from tests.project import Project, copy_of_checkout

# Containers often forbid bytecode. Each process would then compile all of its modules again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Before any test module reads it. tests/fixtures/matrix/README.md says why.
matrix.PATH = Path(__file__).parent / "fixtures/matrix/matrix.yaml"

# How long an example takes says more of a shared machine than of the code.
for name, examples in (("quick", 50), ("thorough", 300)):  # .ci/run asks for the second
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the small wheels of tests out of the cache of whoever runs them."""
    os.environ["UV_CACHE_DIR"] = str(tmp_path_factory.mktemp("uv-cache"))
    yield
    del os.environ["UV_CACHE_DIR"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose host has nothing yet."""
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(copy_of_checkout(directory), tmp_path / "root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where .ci/run has installed all tools, a test that skips has failed."""
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and os.environ.get("FLEETWHEEL_REQUIRE_REAL")
    ):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped in CI: {report.longrepr}"
    return report
