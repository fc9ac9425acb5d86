"""The shipped matrix: what it has to hold; and the reading of one: what a malformed one says."""

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fleetwheel.errors import FleetwheelError
from fleetwheel.matrix.matrix import Build, load_matrix, numbers, parse_matrix
from fleetwheel.matrix.variant import CPU, Variant

SHIPPED = Path("fleetwheel/matrix/matrix.yaml")
FROZEN = Path("tests/fixtures/matrix/matrix.yaml")
MATRIX = parse_matrix(SHIPPED.read_text(encoding="utf-8"))
LINUX, ARM, WINDOWS = ("linux", "x86_64"), ("linux", "aarch64"), ("windows", "x86_64")
BUILDS = [
    (platform, build)
    for release in MATRIX.releases.values()
    for platform, builds in release.builds.items()
    for build in builds.values()
]


def test_every_release_since_2_0_is_there_newest_first() -> None:
    versions = list(MATRIX.releases)
    assert versions == sorted(versions, reverse=True)
    newest = versions[0].release[1]
    assert newest >= 15
    assert {version.release[:2] for version in versions} == {(2, m) for m in range(newest + 1)}


def test_every_other_test_decides_by_the_frozen_matrix() -> None:
    """So that a release that is added changes no expected answer."""
    frozen = parse_matrix(FROZEN.read_text(encoding="utf-8"))
    assert load_matrix().releases == frozen.releases
    assert not frozen.releases.keys() - MATRIX.releases.keys()


# From PyPI: torch/version.py in the wheels
PYPI = {
    "2.0.1": ("cu117", "cpu"),
    "2.4.1": ("cu121", "cpu"),
    "2.6.0": ("cu124", "cpu"),
    "2.7.1": ("cu126", "cpu"),
    "2.10.0": ("cu128", "cpu"),
    "2.11.0": ("cu130", "cu130"),
    "2.14.1": ("cu130", "cu130"),
    "2.15.0": ("cu132", "cu132"),
}


@pytest.mark.parametrize("version", PYPI)
def test_what_pypi_has(version: str) -> None:
    pypi = MATRIX.releases[Version(version)].pypi
    assert [str(pypi[p]) for p in (LINUX, ARM, WINDOWS)] == [*PYPI[version], "cpu"]


VARIANTS = {
    "2.0.0": "cpu cu117 cu118",
    "2.3.1": "cpu cu118 cu121",
    "2.5.1": "cpu cu118 cu121 cu124",
    "2.8.0": "cpu cu126 cu128 cu129",
    "2.11.0": "cpu cu126 cu128 cu129 cu130",
    "2.12.0": "cpu cu126 cu130 cu132",
    "2.12.1": "cpu cu126 cu129 cu130 cu132",
    "2.14.1": "cpu cu126 cu130 cu132",
    "2.15.0": "cpu cu132",
}


@pytest.mark.parametrize("version", VARIANTS)
def test_published_variants(version: str) -> None:
    builds = MATRIX.releases[Version(version)].builds[LINUX].values()
    published = {str(build.variant) for build in builds if build.published}
    assert published == set(VARIANTS[version].split())


def test_builds_that_may_not_be_published_are_marked() -> None:
    doubtful = {
        (str(b.release), str(b.variant), *platform) for platform, b in BUILDS if not b.published
    }
    assert doubtful == {
        ("2.15.0", "cu134", "linux", "x86_64"),
        ("2.15.0", "cu134", "linux", "aarch64"),
        ("2.15.0", "cu134", "windows", "x86_64"),
        *(
            (version, "cu124", "linux", "aarch64")
            for version in ("2.4.0", "2.4.1", "2.5.0", "2.5.1")
        ),
    }


def test_a_series_can_differ_by_version() -> None:
    assert MATRIX.build(Version("2.9.0"), Variant.parse("cu129"), WINDOWS)
    assert not MATRIX.build(Version("2.9.1"), Variant.parse("cu129"), WINDOWS)
    early, late = (
        MATRIX.build(Version(v), Variant.parse("cu130"), LINUX) for v in ("2.12.0", "2.12.1")
    )
    assert early and "3.13t" in early.pythons
    assert late and "3.13t" not in late.pythons


def test_partners() -> None:
    partners = {str(version): release.partners for version, release in MATRIX.releases.items()}
    assert partners["2.0.0"] == {"torchvision": ("0.15.1",), "torchaudio": ("2.0.1",)}
    assert partners["2.11.0"] == {"torchvision": ("0.26.0",), "torchaudio": ("2.11.0",)}
    assert partners["2.14.1"] == {"torchvision": ("0.29.1", "0.29.2"), "torchaudio": ()}
    assert partners["2.15.0"]["torchvision"][0] == "0.29.2"
    last = [v for v, p in partners.items() if p["torchaudio"]]
    assert max(map(Version, last)) == Version("2.11.0")


@pytest.mark.parametrize(
    ("platform", "build"), BUILDS, ids=lambda value: str(getattr(value, "variant", ""))
)
def test_every_build_is_whole(platform: tuple[str, str], build: Build) -> None:
    assert build.pythons
    assert (build.glibc is not None) == (platform[0] == "linux")
    if build.variant == CPU:
        assert not build.sm
        return
    cuda = MATRIX.cuda[build.variant]
    assert build.variant.version == cuda.version
    assert list(build.sm) == sorted(set(build.sm))
    assert build.ptx is None or build.ptx in build.sm
    assert all(MATRIX.architecture(code) for code in build.sm)
    if cuda.version >= (13, 0):
        assert min(build.sm) >= (7, 5), "CUDA 13 cannot compile for anything older"


def test_drivers_of_cuda() -> None:
    by_version = sorted(MATRIX.cuda.values(), key=lambda cuda: cuda.version)
    for system in ("linux", "windows"):
        assert all(cuda.driver[system] <= cuda.full[system] for cuda in by_version)
        full = [cuda.full[system] for cuda in by_version]
        assert full == sorted(full)
    assert MATRIX.cuda[Variant.parse("cu126")].driver == {
        "linux": (525, 60, 13),
        "windows": (528, 33),
    }
    assert MATRIX.cuda[Variant.parse("cu132")].driver["linux"] == (580, 65, 6)


@pytest.mark.parametrize(
    ("capability", "first"),
    [((3, 7), (6, 5)), ((8, 9), (11, 8)), ((10, 3), (12, 9)), ((12, 0), (12, 8)), ((9, 9), None)],
)
def test_the_first_cuda_that_knows_a_gpu(
    capability: tuple[int, int], first: tuple[int, ...] | None
) -> None:
    assert MATRIX.first_cuda(capability) == first


@pytest.mark.parametrize(
    ("torch", "variant", "platform", "expected"),
    [
        ("2.11.0", "cu126", LINUX, ("2.11.0",)),  # its own
        ("2.14.1", "cu130", LINUX, ("2.11.1", "2.11.0")),  # 2.11.0 looks for CUDA 13.0
        ("2.14.1", "cu132", LINUX, ("2.11.1",)),
        ("2.15.0", "cu132", ARM, ("2.11.1",)),
        ("2.14.1", "cu126", LINUX, ()),  # they link the runtime of CUDA 13
        ("2.14.1", "cpu", LINUX, ()),  # import fails without it
        ("2.14.1", "cpu", WINDOWS, ("2.11.1", "2.11.0")),  # these link torch_cpu.dll alone
        ("2.10.0", "cu130", LINUX, ("2.10.0",)),
    ],
)
def test_partners_that_ask_for_a_range_of_torch(
    torch: str, variant: str, platform: tuple[str, str], expected: tuple[str, ...]
) -> None:
    found = MATRIX.partners_of("torchaudio", Version(torch), Variant.parse(variant), platform)
    assert found == expected


@pytest.mark.parametrize(
    ("torch", "platform", "kept_to"),
    [
        ("2.2.2", LINUX, ["numpy<2"]),
        ("2.3.0", LINUX, []),
        ("2.4.0", WINDOWS, ["numpy<2"]),
        ("2.4.1", WINDOWS, []),
    ],
)
def test_what_releases_do_not_work_with(
    torch: str, platform: tuple[str, str], kept_to: list[str]
) -> None:
    found = MATRIX.limits_of(Version(torch), CPU, platform)
    assert [text for limit in found if "numpy" in (text := limit.requirement)] == kept_to


def test_architectures() -> None:
    def last(major: int, minor: int) -> int | None:
        found = MATRIX.architecture((major, minor))
        return found.last_driver["linux"] if found and found.last_driver else None

    assert [last(3, 7), last(5, 2), last(6, 1), last(7, 0)] == [470, 580, 580, 580]
    assert [last(7, 5), last(8, 9), last(12, 0)] == [None, None, None]
    assert MATRIX.architecture((9, 9)) is None


def test_candidates_and_post_releases_count_as_their_release() -> None:
    for version in ("2.15.0rc1", "2.15.0.post1"):
        assert MATRIX.build(Version(version), Variant.parse("cu132"), LINUX)
    assert MATRIX.release(Version("2.999.0")) is None
    assert MATRIX.build(Version("2.15.0"), Variant.parse("cu132"), ("linux", "riscv64")) is None


def test_the_arch_list_is_as_torch_prints_it() -> None:
    build = MATRIX.build(Version("2.9.1"), Variant.parse("cu130"), LINUX)
    assert build is not None
    assert build.arch_list == (
        "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120",
    )  # fmt: skip


def test_pythons_agree_with_the_metadata() -> None:
    """Requires-Python of the wheels on PyPI."""
    required = {"2.4.1": ">=3.8", "2.8.0": ">=3.9", "2.14.1": ">=3.10", "2.15.0": ">=3.11"}
    for version, needed in required.items():
        build = MATRIX.build(Version(version), Variant.parse("cpu"), LINUX)
        assert build is not None
        oldest = min(build.pythons, key=lambda minor: Version(minor.rstrip("t")))
        assert needed == f">={oldest}"
        assert oldest in SpecifierSet(needed)


@pytest.mark.parametrize(
    ("good", "bad", "line_of", "said"),
    [
        (
            "confidence: high, source: [wheel]",
            "confidence: sure, source: [wheel]",
            "sure",
            "'high'",
        ),
        ('glibc: "2.28"', "glibc: 2.28", "glibc: 2.28", "quote it"),
        ("pypi: cu132", "pypi: cu131", None, "pypi names cu131"),
        ("source: [quoted]", "source: [hearsay]", None, "no evidence called hearsay"),
        ("only: [2.12.1]", "only: [2.12.9]", None, "no version 2.12.9 in the series"),
        ("cu134: {sm: *turing", "cu139: {sm: *turing", None, "lacks cu139"),
        ("[37, 50, 60, 70, 75, 80, 86]", "[37, 50, 60, x]", "60, x]", "'x' is not an architecture"),
        ("cu132: {sm: *turing-blackwell, ", "cu132: {", None, "CUDA builds have an sm list"),
        ("python: 3.11 3.12", "python: 3.11, x: 3.12", "x: 3.12", "write Python versions"),
        ("torchvision: [0.29.2", "torchvision: [latest", "latest", "match pattern"),
        ("  linux x86_64:", "  linux amd64:", None, "linux x86_64"),
        ("releases:", "release:", None, "Field required"),
        ("&kepler-ampere [37", "&kepler-ampere ]37", None, "is not YAML"),
    ],
)
def test_a_malformed_matrix_says_where(good: str, bad: str, line_of: str | None, said: str) -> None:
    frozen = FROZEN.read_text(encoding="utf-8")
    assert good in frozen
    text = frozen.replace(good, bad, 1)
    with pytest.raises(FleetwheelError) as caught:
        parse_matrix(text, "matrix.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("matrix.yaml")
    if line_of:
        line = next(n for n, row in enumerate(text.splitlines(), 1) if line_of in row)
        assert f"line {line}:" in str(caught.value)


@pytest.mark.parametrize("text", ["", "five", "5.", "5..1", "-5", "5.x", "1_0", "\u0665", "5\n"])
def test_numbers_takes_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        numbers(text)
