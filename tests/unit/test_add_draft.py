"""What new hosts would be in the inventory, and how they get there."""

from pathlib import Path

import pytest

from fleetwheel.enrol.adding import Draft, NewHost, conflicts, refuse_unsound
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Gpu, Profile
from fleetwheel.reporting import report
from fleetwheel.reporting.report import HostReport, report_of

LAB = """\
defaults: {user: ops}
groups:
  old:
    hosts:
      old-01: {port: 2222}
  new:
    hosts:
      new-01:
      new-02:
  windows:
    os: windows
    hosts:
      win-01:
  servers: {hosts: {cpu-01: }}
"""
NEWCOMER = NewHost("new-03", None, {})


def host(*gpus: str, os: str = "linux", state: DriverState = DriverState.OK) -> Profile:
    found = tuple(Gpu(index=i, name=name) for i, name in enumerate(gpus))
    return Profile(os=os, arch="x86_64", driver=Driver(state=state), gpus=found)


RTX, GTX = host("NVIDIA RTX 4090"), host("NVIDIA GTX 1080")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a project whose newest reports know all its hosts."""
    monkeypatch.chdir(tmp_path)
    path = Path("inventory", "lab.yaml")
    path.parent.mkdir()
    path.write_text(LAB)
    told = {
        "old-01": GTX,
        "new-01": RTX,
        "cpu-01": host(state=DriverState.NO_GPU),
        "new-02": host("NVIDIA RTX 4090", "NVIDIA RTX 4090"),
        "@winssh/win-01": host("NVIDIA RTX 4090", os="windows"),
    }
    for name, profile in told.items():
        entry = HostReport(name=name, status="unchanged", profile=profile)
        report.save_report(Path("reports"), report_of([entry]))
    Path("reports/broken.json").write_text("{")
    return path


def test_a_new_file_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Draft(None).write([NewHost("ws-01", None, {}), NewHost("ws-02", "lab", {"port": 22})])
    assert Path("inventory/fleet.yaml").read_text() == (
        "# The fleet. docs/inventory.example.yaml explains every key.\n"
        "hosts:\n  ws-01:\n\ngroups:\n  lab:\n    hosts:\n      ws-02: {port: 22}\n"
    )


def test_hosts_go_to_the_file_that_has_their_group(lab: Path) -> None:
    lab.chmod(0o640)
    Draft(None).write([NEWCOMER._replace(group="new"), NewHost("x", "other", {})])
    assert "      new-02:\n      new-03:\n" in lab.read_text()
    assert lab.stat().st_mode & 0o777 == 0o640
    assert "other" in Path("inventory/fleet.yaml").read_text()


def test_a_file_or_directory_of_ones_own(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWHEEL_INVENTORY", "other.yaml")
    Draft(None).write([NEWCOMER])
    assert "new-03" in Path("other.yaml").read_text()
    monkeypatch.setenv("FLEETWHEEL_INVENTORY", "fleets")
    Draft(tmp_path / "fleets" / "a.yml").write([NEWCOMER])
    assert "new-03" in Path("fleets/a.yml").read_text()
    assert lab.read_text() == LAB


@pytest.mark.parametrize(
    "name", ["lab.yaml", "inventory/lab.txt", "inventory/.lab.yaml", "/x.yaml"]
)
def test_a_file_that_nobody_reads_is_refused(name: str, lab: Path) -> None:
    with pytest.raises(FleetwheelError, match=r"inventory\.py does not read it"):
        Draft(Path(name))


def test_a_group_stands_in_one_file(lab: Path) -> None:
    draft = Draft(Path("inventory/more.yaml"))
    with pytest.raises(FleetwheelError, match=r"group new stands in inventory/lab\.yaml"):
        draft.edited([NEWCOMER._replace(group="new")])


def test_where_a_host_stands_and_how_it_differs(lab: Path) -> None:
    draft = Draft(None)
    assert draft.standing("new-03") is None
    old, win = draft.standing("old-01"), draft.standing("win-01")
    assert old and win
    assert (old.path, old.line, win.line) == (lab, 5, 13)
    same = {"user": "ops", "port": 2222, "address": "old-01"}
    assert conflicts(old, NewHost("old-01", "old", same)) == []
    assert conflicts(win, NewHost("win-01", None, {"port": 22})) == []
    other = {"user": "me", "key": "id"}
    assert conflicts(old, NewHost("old-01", "new", other)) == [
        "user ops, not me",
        "key not said, not id",
        "in old, not new",
    ]


@pytest.mark.parametrize(
    ("group", "windows", "entry"),
    [
        (None, False, {}),
        (None, True, {"os": "windows"}),
        ("windows", True, {}),
        ("windows", False, {"os": "linux"}),
    ],
)
def test_the_system_is_said_where_nothing_else_says_it(
    group: str | None, windows: bool, entry: dict[str, str], lab: Path
) -> None:
    newcomer = Draft(None).with_system(NEWCOMER._replace(group=group), windows)
    assert newcomer.entry == entry
    assert Draft(None).hosts([newcomer])["new-03"].name.startswith("@winssh/") == windows


@pytest.mark.parametrize(
    ("profile", "group"),
    [
        (RTX, "new"),
        (GTX, "old"),
        (host("NVIDIA RTX 4090", os="windows"), "windows"),
        (host("NVIDIA A100"), None),
        (host(state=DriverState.NO_DRIVER), None),
        (host(state=DriverState.NO_GPU), "servers"),
    ],
)
def test_a_host_goes_to_those_that_are_like_it(
    profile: Profile, group: str | None, lab: Path
) -> None:
    draft = Draft(None)
    windows = profile.os == "windows"
    assert draft.likest_group(NEWCOMER, profile, windows) == group
    assert Draft(Path("inventory/more.yaml")).likest_group(NEWCOMER, profile, windows) is None


def test_a_group_that_is_reached_in_another_way_is_not_guessed(lab: Path) -> None:
    lab.write_text(LAB.replace("  new:\n", "  new:\n    user: root\n"))
    assert Draft(None).likest_group(NEWCOMER, RTX, windows=False) is None
    same = NEWCOMER._replace(entry={"user": "root"})
    assert Draft(None).likest_group(same, RTX, windows=False) == "new"


def test_nothing_is_written_where_the_result_is_not_sound(lab: Path) -> None:
    draft = Draft(None)
    with pytest.raises(FleetwheelError, match="'here' is no absolute path"):
        draft.write([NewHost("new-04", "new", {}), NewHost("new-05", None, {"root": "here"})])
    assert lab.read_text() == LAB
    assert list(Path("inventory").iterdir()) == [lab]


def test_a_broken_inventory_is_told_before_anything(lab: Path) -> None:
    lab.write_text("hosts: {a: [}")
    with pytest.raises(FleetwheelError, match=r"lab\.yaml:1: "):
        Draft(None)


@pytest.mark.parametrize(
    ("newcomer", "error"),
    [
        (NewHost("a b", None, {}), "a host's name is one word"),
        (NewHost("a", "all", {}), "groups.all: a group's name"),
        (NewHost("a", None, {"port": 0}), "hosts.a.port: "),
    ],
)
def test_names_and_values_that_are_not_taken(newcomer: NewHost, error: str) -> None:
    with pytest.raises(FleetwheelError, match=error):
        refuse_unsound([newcomer])
