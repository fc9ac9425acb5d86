"""A host more in an inventory file: nothing else of the file changes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory import load as inventory
from fleetwheel.inventory.edit import Entry, insert

LAB = """\
# Ours
defaults:   {user:  ops}   # who
groups:
    workstations:
        torch: "2.14"
        hosts:
            ws-01:
            ws-02: {address:  192.0.2.12,   user: 'admin'}   # the fast one
            # ws-03 is at repair

    # In the basement
    servers:
        hosts:
            dgx:
                pyinfra:
                    ssh_connect_retries: 3   # far away

# Nobody's
hosts:
    login:
# the end
"""


def test_each_host_is_one_line_more() -> None:
    text = insert(LAB, "workstations", "ws-04", {"os": "windows"})
    text = insert(text, "servers", "dgx-2", {})
    text = insert(text, None, "watch", {"user": "on", "key": "~/.ssh/a b", "port": 22})
    text = insert(text, "laptops", "l-01", {})
    assert (
        text
        == """\
# Ours
defaults:   {user:  ops}   # who
groups:
    workstations:
        torch: "2.14"
        hosts:
            ws-01:
            ws-02: {address:  192.0.2.12,   user: 'admin'}   # the fast one
            # ws-03 is at repair
            ws-04: {os: windows}

    # In the basement
    servers:
        hosts:
            dgx:
                pyinfra:
                    ssh_connect_retries: 3   # far away
            dgx-2:
    laptops:
        hosts:
            l-01:

# Nobody's
hosts:
    login:
    watch: {user: "on", key: "~/.ssh/a b", port: 22}
# the end
"""
    )


@pytest.mark.parametrize(
    ("text", "group", "edited"),
    [
        ("", None, "hosts:\n  new:\n"),
        ("# mine", None, "# mine\nhosts:\n  new:\n"),
        ("---\n", "g", "---\ngroups:\n  g:\n    hosts:\n      new:\n"),
        ("hosts:", None, "hosts:\n  new:\n"),
        ("hosts: # none\n", None, "hosts: # none\n  new:\n"),
        ("hosts: {} # none\n", None, "hosts: # none\n  new:\n"),
        ("hosts: null\n", None, "hosts:\n  new:\n"),
        ("hosts:\n  a:", None, "hosts:\n  a:\n  new:\n"),
        ("hosts:\n  a:\n\n# foot\n", "g", None),
        ("hosts: {a: , b: {user: x}}\n", None, "hosts: {a: , b: {user: x}, new: }\n"),
        ("hosts: {\n  a: {},\n}\n", None, "hosts: {\n  a: {},new: \n}\n"),
        ("{hosts: {a: }}\n", "g", "{hosts: {a: }, groups: {g: {hosts: {new: }}}}\n"),
        ("groups: {g: {hosts: {}}}\n", "g", "groups: {g: {hosts: {new: }}}\n"),
        (
            "groups:\r\n  g:\r\n    hosts:\r\n  h:\r\n",
            "g",
            "groups:\r\n  g:\r\n    hosts:\r\n      new:\r\n  h:\r\n",
        ),
        ("groups:\n  g:\n  h:\n", "g", "groups:\n  g:\n    hosts:\n      new:\n  h:\n"),
        (
            "hosts:\n  a:\n    pyinfra:\n      x: |\n        1\n\n# foot\n",
            None,
            "hosts:\n  a:\n    pyinfra:\n      x: |\n        1\n  new:\n\n# foot\n",
        ),
        ("\ufeffhosts:\n  a:\n", None, "\ufeffhosts:\n  a:\n  new:\n"),
    ],
)
def test_every_way_to_write_a_mapping(text: str, group: str | None, edited: str | None) -> None:
    if edited is None:
        edited = f"{text}\ngroups:\n  {group}:\n    hosts:\n      new:\n"
    assert insert(text, group, "new", {}) == edited


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("hosts: {\n  a: , # one\n  b: # two\n}\n", None),
        ("{groups: {g: }, hosts: }\n", None),
        ("{groups: {g: }, hosts: }\n", "g"),
        ("groups: {g: {hosts: {\n  a: # one\n}}}\n", "g"),
    ],
)
def test_where_nothing_fits_in_nothing_is_written(text: str, group: str | None) -> None:
    with pytest.raises(FleetwheelError, match="no place for one host more"):
        insert(text, group, "new", {"user": "x"})


@pytest.mark.parametrize(
    "value",
    ["", "on", "1.5", "~", "a: b", "#x", "C:\\keys\\ü", "::1", "12:30", "- a", "{", '"', "é\t"],
)
def test_values_are_read_back_as_they_were(value: str, tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(insert("", None, "new", {"user": value, "address": value}), encoding="utf-8")
    (host,) = inventory.load_hosts(file)
    assert host.data["ssh_user"] == host.data["ssh_hostname"] == value


comments = st.lists(st.sampled_from(["", "# note", "  # note: {", "      # deep"]), max_size=2)
entries = st.sampled_from(["", " {user: a}", " {port: 1}  # b", "\n{i}  user: a # c", " {}"])


@st.composite
def inventories(draw: st.DrawFn) -> str:
    """Return an inventory file of some groups and hosts, with comments and line ends anywhere."""
    step = " " * draw(st.integers(1, 4))
    names = iter([f"h{i}" for i in range(20)])

    def hosts(indent: str) -> list[str]:
        lines = []
        for _ in range(draw(st.integers(0, 3))):
            entry = draw(entries).replace("{i}", indent)
            lines += [f"{indent}{next(names)}:{entry}", *draw(comments)]
        return lines

    lines = [*draw(comments), *draw(st.sampled_from([[], ["defaults: {user: root}", "# d"]]))]
    groups = ["groups:", *draw(comments)]
    for name in draw(st.sampled_from([[], ["g"], ["g", "x"], ["x", "g"]])):
        groups += [f"{step}{name}:", *draw(st.sampled_from([[], [f"{step * 2}torch: '2.14'"]]))]
        groups += draw(st.sampled_from([[], [f"{step * 2}hosts: # here", *hosts(step * 3)]]))
    sections = [groups, ["hosts:", *draw(comments), *hosts(step)]]
    for section in draw(st.sampled_from([sections, sections[::-1], sections[:1], sections[1:]])):
        lines += section
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(
    text=inventories(),
    group=st.sampled_from([None, "g", "new"]),
    entry=st.sampled_from([{}, {"user": "ops"}, {"address": "192.0.2.1", "port": 22}]),
)
def test_the_same_fleet_plus_one(
    text: str, group: str | None, entry: Entry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fleet.yaml"
    before = inventory.hosts(inventory.read_inventory(file, {file: text}))
    edited = insert(text, group, "new", entry)
    after = inventory.hosts(inventory.read_inventory(file, {file: edited}))
    others = [host[:3] for host in after if host.name != "new"]
    assert others == [host[:3] for host in before]
    (new,) = (host for host in after if host.name == "new")
    assert new.groups == ((group,) if group else ())
    assert new.data.items() >= {f"ssh_{k}": v for k, v in entry.items() if k != "address"}.items()
    rest = iter(edited.splitlines())
    assert all(line in rest for line in text.splitlines()), "the lines are there, in their order"
    if "\r\n" in text:
        assert "\n" not in edited.replace("\r\n", "")
