"""A team's requirements.txt: read as pip reads it, or refused with a sentence."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from fleetwheel.errors import FleetwheelError
from fleetwheel.team.loading import read_team
from fleetwheel.team.pins import Team, TeamFile

A, B = "a" * 64, "b" * 64


def read(directory: Path, content: str | bytes) -> Team:
    path = directory / "requirements.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_team(TeamFile(key="requirements", path=str(path)))


def names(directory: Path, content: str | bytes) -> list[str]:
    return [pin.requirement for pin in read(directory, content).pins]


def refusal(directory: Path, content: str | bytes) -> str:
    with pytest.raises(FleetwheelError) as caught:
        read(directory, content)
    assert caught.value.hint
    return str(caught.value)


def test_lines_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    team = read(
        tmp_path,
        "# ours\n\nNumPy == 2.3.5  # the last\n  rich[jupyter,a]>=14,<16\n"
        'pywin32==306; sys_platform == "win32"\nscipy \\\n  ==1.15.0\n'
        "--only-binary :all:\n--prefer-binary\nlast\\",
    )
    numpy, rich, pywin32, scipy, last = team.pins
    assert (numpy.requirement, numpy.place) == ("numpy==2.3.5", "requirements.txt, line 3")
    assert rich.requirement == "rich[a,jupyter]<16,>=14"
    assert (pywin32.requirement, pywin32.marker) == ("pywin32==306", 'sys_platform == "win32"')
    assert (scipy.requirement, scipy.place) == ("scipy==1.15.0", "requirements.txt, line 6")
    assert last.requirement == "last"
    assert not team.whole


def test_hashes(tmp_path: Path) -> None:
    team = read(
        tmp_path, f"a==1 --hash=sha256:{A} \\\n  --hash sha256:{B.upper()}\ntorch==2.13.0\n"
    )
    assert team.hashes == {"a": {A, B}}
    assert [pin.hashes for pin in team.pins] == [(A, B), ()], "torch needs none: its build differs"


def test_a_comment_ends_a_continued_line(tmp_path: Path) -> None:
    assert names(tmp_path, "a \\\n  # why\nb\n") == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfnumpy==2\r\nrich\r\n",
        "numpy==2\r\nrich".encode("utf-16"),
        b"numpy==2\rrich\r",
    ],
)
def test_what_editors_and_powershell_write(tmp_path: Path, content: bytes) -> None:
    assert names(tmp_path, content) == ["numpy==2", "rich"]


def test_included_files(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/base.txt").write_text("numpy\n-c limits.txt\n")
    (tmp_path / "more/limits.txt").write_text("scipy<2\n-r deep.txt\n")
    (tmp_path / "more/deep.txt").write_text("sympy==1.14\n")
    team = read(tmp_path, "-rmore/base.txt\n--requirement=more/base.txt\n-c more/limits.txt\n")
    wanted = [(pin.requirement, pin.wanted) for pin in team.pins]
    once = [("numpy", True), ("scipy<2", False), ("sympy==1.14", False)]
    assert wanted == [*once, *once, *once[1:]]
    assert team.pins[1].place == "more/limits.txt, line 1"


def test_comments_and_order_leave_the_digest_as_it_is(tmp_path: Path) -> None:
    first = read(tmp_path, "a==1\nb==2\n")
    assert read(tmp_path, "# new\nb == 2\nA==1  # same\n").sha256 == first.sha256
    others = ["a==1\nb==3\n", "a==1\n", "a==1; python_version<'3'\nb==2\n", "-c c.txt\nb==2\n"]
    others.append(f"a==1 --hash=sha256:{A}\nb==2 --hash=sha256:{A}\n")
    (tmp_path / "c.txt").write_text("a==1\n")
    assert len({read(tmp_path, text).sha256 for text in others} | {first.sha256}) == 6


REFUSED = {
    "git+https://example.org/x.git": "comes from git: hosts install wheels only",
    "x @ git+ssh://git@example.org/x.git": "line 1: x comes from git: hosts install wheels only",
    "-e .": "line 1: . comes from a path: hosts install wheels only",
    "--editable=git+https://example.org/x": "comes from git",
    "-e": "it comes from a path",
    "./wheels/x-1-py3-none-any.whl": "./wheels/x-1-py3-none-any.whl comes from a path",
    "x-1.tar.gz": "x-1.tar.gz comes from a path",
    "C:\\wheels\\x": "comes from a path",
    "https://me:secret@example.org/x-1.whl": "https://example.org/x-1.whl comes from an address",
    "x @ https://example.org/x.whl": "line 1: x comes from an address",
    "--index-url https://example.org/simple": "names an index, and which sources there are is the",
    "-i https://example.org": "sources:, bound to the names",
    "--extra-index-url=https://example.org": "names an index",
    "-f /wheels": "names an index",
    "--find-links /wheels": "names an index",
    "--no-index": "names an index",
    "--trusted-host example.org": "names an index",
    "--no-binary :all:": "the option --no-binary cannot be kept to",
    "--pre": "the option --pre cannot be kept to",
    "x==1 --config-settings=a=b": "has the option --config-settings",
    "x==1 --hash=md5:0123": "has no whole hash of the kind sha256",
    "x==1 --hash=sha256:0123": "has no whole hash of the kind sha256",
    "x==${VERSION}": "has an environment variable in it",
    "x=1": "'x=1' is no requirement",
    "numpy scipy": "is no requirement",
    f"x==1 --hash=sha256:{A}\ny==1": "line 2: y==1 has no hash, but x==1 has",
    "-r requirements.txt": "requirements.txt -> requirements.txt: these files include one another",
    "-r nowhere.txt": "nowhere.txt cannot be read: No such file or directory",
    "-r ../elsewhere.txt": "outside of",
    "-c https://example.org/c.txt": "cannot be read: No such file",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(tmp_path: Path, line: str) -> None:
    said = refusal(tmp_path, line + "\n")
    assert REFUSED[line] in said
    assert "secret" not in said


@pytest.mark.parametrize("content", ["", "# numpy==2.4.0\n", "--prefer-binary\n"])
def test_a_file_that_was_cut_off_takes_nothing_away(tmp_path: Path, content: str) -> None:
    assert "names no package" in refusal(tmp_path, content)


def test_files_that_include_one_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-c b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    assert "requirements.txt -> a.txt -> b.txt -> a.txt: these" in refusal(tmp_path, "-r a.txt")


def test_files_that_include_very_many(tmp_path: Path) -> None:
    for depth in range(9):
        (tmp_path / f"{depth}.txt").write_text(f"-r {depth + 1}.txt\n" * 9)
    (tmp_path / "9.txt").write_text("numpy\n")
    assert "or too many of them" in refusal(tmp_path, "-r 1.txt\n" * 9)


def test_a_link_out_of_the_directory(tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("password\n")
    (tmp_path / "team").mkdir()
    (tmp_path / "team/link.txt").symlink_to(outside)
    said = refusal(tmp_path / "team", "-r link.txt")
    assert f"link.txt leads to {outside}, outside of {tmp_path / 'team'}" in said
    assert "password" not in said
    (tmp_path / "team/inside.txt").symlink_to("more.txt")
    (tmp_path / "team/more.txt").write_text("numpy\n")
    assert names(tmp_path / "team", "-r inside.txt") == ["numpy"]


def test_what_is_no_file_of_text(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"# \n" * (50 * 2**20 // 3))
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    assert "large.txt has more than 8 MB" in refusal(tmp_path, "-r large.txt")
    assert "directory cannot be read: Is a directory" in refusal(tmp_path, "-r directory")
    assert "pipe.txt is no file" in refusal(tmp_path, "-r pipe.txt")
    assert "is no text in UTF-8" in refusal(tmp_path, b"\xff\xfa\x00")
    assert "NUL" in refusal(tmp_path, b"num\0py")


def test_torch_by_address_is_to_be_written_by_version(tmp_path: Path) -> None:
    said = refusal(tmp_path, "torch @ https://example.org/torch-2.13.0+cu130-py3-none-any.whl")
    assert "write torch==VERSION: which build of it, each host decides" in said


@pytest.mark.parametrize(
    "line",
    ["a" * 2**22, "[" * 2**22, "(" * 2**22, "a;" + "(" * 2**20, "\\\n" * 2**21, "- " * 2**21],
)
def test_large_files_end_soon(tmp_path: Path, line: str) -> None:
    begun = time.monotonic()
    try:
        read(tmp_path, line)
    except FleetwheelError as error:
        assert len(str(error)) < 2000
    assert time.monotonic() - begun < 10
    with pytest.raises(FleetwheelError, match="more than 20000 lines"):
        read(tmp_path, "numpy\n" * 50_000)


@pytest.mark.parametrize("name", ["poetry.lock", "pdm.lock", "environment.yml", "uv.lock"])
def test_files_of_other_tools(tmp_path: Path, name: str) -> None:
    for key in ("requirements", "lock"):
        with pytest.raises(FleetwheelError, match=f"{name} is no ") as caught:
            read_team(TeamFile.model_validate({"key": key, "path": str(tmp_path / name)}))
        assert "requirements" in caught.value.hint or "project: DIRECTORY" in caught.value.hint


def test_a_path_is_relative_to_the_project_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "teams/course").mkdir(parents=True)
    (tmp_path / "teams/course/requirements.txt").write_text("-r ../common.txt\n")
    (tmp_path / "teams/common.txt").write_text("numpy\n")
    monkeypatch.chdir(tmp_path)
    team = read_team(TeamFile(key="requirements", path="teams/course/requirements.txt"))
    assert [pin.place for pin in team.pins] == ["teams/common.txt, line 1"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_uv_pip_compile_writes(name: str) -> None:
    """The files of this project, with every hash."""
    path = Path(name).resolve()
    team = read_team(TeamFile(key="requirements", path=str(path)))
    text = path.read_text()
    lines = [line for line in text.splitlines() if line and line[0] not in " #-"]
    assert len(team.pins) >= len(lines)
    assert sum(len(pin.hashes) for pin in team.pins) >= text.count("--hash=sha256:")
    assert all("==" in pin.requirement and pin.hashes for pin in team.pins)


pinned = st.builds(
    lambda name, version, marker, hashes: (f"{name}=={version}", marker, tuple(sorted(hashes))),
    st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True).filter(
        lambda name: "--" not in name and name not in ("torch", "triton")
    ),
    st.from_regex(r"[1-9]\.[0-9]", fullmatch=True),
    st.sampled_from(["", 'sys_platform == "win32"', 'python_version < "3.12"']),
    st.sets(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), min_size=1, max_size=3),
)


@given(
    st.lists(pinned, min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([" ", " \\{end}    ", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["", "# note{end}", "{end}{end}"]),
)
def test_any_way_of_writing_pins_gives_these_pins(
    wanted: list[tuple[str, str, tuple[str, ...]]], end: str, gap: str, encoding: str, between: str
) -> None:
    text = ""
    for requirement, marker, hashes in wanted:
        text += between.format(end=end) + requirement + (f" ; {marker}" if marker else "")
        text += "".join(f"{gap.format(end=end)}--hash=sha256:{each}" for each in hashes) + end
    with TemporaryDirectory() as directory:
        team = read(Path(directory), text.encode(encoding))
    assert [(pin.requirement, pin.marker, pin.hashes) for pin in team.pins] == wanted


words = st.sampled_from(
    [
        *REFUSED,
        "numpy==2",
        "\\",
        "\n",
        "\r\n",
        " ",
        "#",
        ";",
        "--hash=",
        "sha256:",
        A,
        "[",
        "@",
        "-r",
    ]
)


@given(st.lists(words | st.text(max_size=5), max_size=12).map("".join) | st.binary(max_size=40))
def test_whatever_stands_there_is_pins_or_a_sentence(content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    with TemporaryDirectory() as directory:
        try:
            team = read(Path(directory), raw)
        except FleetwheelError as error:
            assert str(error).strip()
            return
    for pin in team.pins:
        assert Requirement(pin.requirement).name == pin.name
        assert Requirement(pin.requirement).url is None
