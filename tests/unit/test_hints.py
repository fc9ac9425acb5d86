"""What is said where there is no lock: what happened, at which source, and what helps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.deploy.decider import Decider
from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources import web
from fleetwheel.sources.configured import OwnSource, OwnSources, pip_settings
from tests.samples import CPU_HOST
from tests.serve_index import Index, Reply, serve_index
from tests.small_wheels import make_wheel

pytestmark = pytest.mark.usefixtures("quick_pip")

TAG = "cp311-cp311-manylinux_2_28_x86_64"
PAGE = "/whl/lab/acme-utils/"
Lab = tuple[Index, Path]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The inventory's index with acme-utils 1.0; torch, numpy and acme-utils in pip's directory."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    public = tmp_path / "public"
    make_wheel(public, "torch", "2.13.0+cpu", tag=TAG)
    make_wheel(public, "numpy", "2.4.0")
    make_wheel(public, "acme_utils", "99.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(public))
    with serve_index({"lab": [make_wheel(tmp_path / "lab", "acme_utils", "1.0")]}) as index:
        pip_settings.cache_clear()
        web.forget_pages()
        yield index, tmp_path
    web.forget_pages()


def said(lab: Lab, *packages: str, bound: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return why there is no lock, and what is said to help."""
    own = OwnSources(sources=(OwnSource(url=f"{lab[0].url}/lab/", packages=bound),))
    decider = Decider(lab[1] / "locks", load_matrix(), lambda text: None)
    request = Request(packages=packages)
    try:
        found = decider.decide(CPU_HOST, request, None, lambda: None, extra_sources=own)
    except FleetwheelError as error:
        return error.message, error.hint
    assert isinstance(found, Refusal), found
    return "\n".join(found.reasons), "\n".join(found.unlocks)


@pytest.mark.parametrize(
    ("status", "helps"),
    [
        (401, "put user name and password into its address"),
        (403, "put user name and password into its address"),
        (429, "it takes no more requests for now: run again later"),
        (503, "run again when its server is well"),
    ],
)
def test_a_source_that_gave_no_answer(lab: Lab, status: int, helps: str) -> None:
    lab[0].replies[PAGE] = Reply(status)
    why, ways = said(lab, "acme-utils")
    assert f"{lab[0].url}/lab/ (inventory)" in why
    assert f"{lab[0].url}/lab/: {helps}" in ways
    why, ways = said(lab, "acme-utils", bound=("acme-*",))
    assert f"asked: {lab[0].url}/lab/ (bound to it)" in why
    assert f"{lab[0].url}/lab/: {helps}" in ways


@pytest.mark.parametrize(
    ("page", "helps"),
    [
        ("<form><input></form>", "open the address in a browser"),
        ('<a href="/">Home</a>', "correct its address in pip.conf or sources: that of an index"),
    ],
)
def test_a_page_that_is_another(lab: Lab, page: str, helps: str) -> None:
    lab[0].replies[PAGE] = Reply(200, page.encode())
    assert f"{lab[0].url}/lab/: {helps}" in said(lab, "acme-utils")[1]


def test_a_source_is_never_said_to_be_safe_for_a_name(lab: Lab) -> None:
    """The person knows whose name it is: the public source may hold a stranger's."""
    lab[0].replies[PAGE] = Reply(503)
    _, ways = said(lab, "acme-utils")
    assert "bind acme-utils to the source that you trust with it" in ways
    assert str(lab[1] / "public") not in ways
    assert "where none of its names is your own, let locks do without it" in ways


def test_a_name_that_no_source_has(lab: Lab) -> None:
    why, ways = said(lab, "acme-utlis")
    assert f"asked: {lab[0].url}/lab/, {lab[1]}/public" in why
    assert ways == "correct the name acme-utlis, or name the source that has it under sources:"


def test_a_dependency_that_no_source_has(lab: Lab) -> None:
    make_wheel(lab[1] / "public", "needy", "1.0", requires=("nosuchpkg",))
    why, ways = said(lab, "needy")
    assert "no source that answers has a wheel of nosuchpkg; asked: " in why
    assert "correct the name nosuchpkg" in ways


def test_versions_that_do_not_go_together(lab: Lab) -> None:
    why, ways = said(lab, "numpy>=3")
    assert "only numpy==2.4.0 is available" in why
    assert ways == "change the packages or the torch version that the inventory asks for"


def test_a_version_that_stands_behind_the_first_source(lab: Lab) -> None:
    _, ways = said(lab, "acme-utils>=2")
    assert f"into {lab[0].url}/lab/, the first source that holds acme-utils" in ways


@pytest.mark.parametrize(
    "wheel",
    [
        lambda folder: make_wheel(folder, "odd", "1.0", tag="cp39-cp39-manylinux_2_28_x86_64"),
        lambda folder: make_wheel(folder, "odd", "1.0", requires_python=">=3.13"),
    ],
)
def test_a_wheel_for_another_python(lab: Lab, wheel: Callable[[Path], Path]) -> None:
    wheel(lab[1] / "public")
    why, ways = said(lab, "odd")
    assert "odd==1.0" in why
    assert "another version (packages:) or another Python (python:)" in ways
    assert "torch version" not in ways


def test_source_distributions_alone(lab: Lab) -> None:
    (lab[1] / "public/whisper-1.0.tar.gz").touch()
    why, ways = said(lab, "whisper")
    assert f"whisper has no wheel in {lab[1]}/public, only source distributions" in why
    assert "pip wheel --no-deps --wheel-dir DIRECTORY whisper==VERSION" in ways
