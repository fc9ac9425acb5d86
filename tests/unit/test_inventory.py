"""The inventory: what hosts get, and errors that name file, line and key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.load import (
    FILE_BYTES,
    VARIABLE,
    Connection,
    ListedHost,
    fleet,
    load_hosts,
)
from fleetwheel.inventory.settings import Settings

MAPPING = "must be a mapping, each key or name with a colon behind it"
GROUP_NAME = "a group's name is letters, digits, - and _, and none of all, inventory, ungrouped"
UNIFORM = "must be true, false, or the name of a group"
HOST_NAME = "a host's name is one word without spaces"
STRICT = {"ssh_strict_host_key_checking": "yes"}


def loaded(directory: Path, **files: str) -> list[ListedHost]:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return load_hosts(directory)


def problems(directory: Path, **files: str) -> list[str]:
    with pytest.raises(FleetwheelError) as caught:
        loaded(directory, **files)
    return str(caught.value.args[0]).replace(f"{directory}/", "").splitlines()


def test_no_files_no_hosts(tmp_path: Path) -> None:
    assert load_hosts(tmp_path) == []


def test_a_bare_name_is_a_host_whose_key_is_checked(tmp_path: Path) -> None:
    assert loaded(tmp_path, lab="hosts:\n  a:\n") == [ListedHost("a", (), STRICT)]


def test_host_wins_over_group_and_group_over_defaults(tmp_path: Path) -> None:
    text = """\
defaults: {keep: 2, user: ops, accelerator: cpu}
groups:
  ws:
    keep: 4
    accelerator: cuda
    hosts:
      a: {keep: 5}
hosts:
  b:
"""
    a, b = loaded(tmp_path, lab=text)
    assert a[:3] == ("a", ("ws",), {**STRICT, "keep": 5, "accelerator": "cuda", "ssh_user": "ops"})
    assert b[:3] == ("b", (), {**STRICT, "keep": 2, "accelerator": "cpu", "ssh_user": "ops"})


def test_defaults_of_one_file_are_for_all(tmp_path: Path) -> None:
    (host,) = loaded(tmp_path, a="hosts: {x: }\n", z="defaults: {keep: 9}\n")
    assert host.data["keep"] == 9


def test_the_way_to_a_host(tmp_path: Path) -> None:
    text = """\
hosts:
  a:
    address: 192.0.2.1
    port: 2222
    user: ops
    key: ~/.ssh/lab
    known_hosts: known
    ssh_config: config
    sudo: true
    pyinfra: {ssh_connect_retries: 3}
"""
    assert loaded(tmp_path, lab=text)[0].data == {
        **STRICT,
        "ssh_hostname": "192.0.2.1",
        "ssh_port": 2222,
        "ssh_user": "ops",
        "ssh_key": "~/.ssh/lab",
        "ssh_known_hosts_file": "known",
        "ssh_config_file": "config",
        "_sudo": True,
        "ssh_connect_retries": 3,
    }


def test_the_home_directory_is_found_where_pyinfra_would_not(tmp_path: Path) -> None:
    (host,) = loaded(tmp_path, lab="hosts: {a: {ssh_config: ~/.ssh/config}}\n")
    assert host.data["ssh_config_file"] == str(Path.home() / ".ssh/config")


def test_a_windows_host_is_reached_by_its_connector(tmp_path: Path) -> None:
    text = """\
groups:
  ws:
    os: windows
    hosts:
      a: {address: 192.0.2.1}
      b: {os: linux}
hosts:
  c: {os: windows}
  "@local": {os: windows}
"""
    a, b, c, local = loaded(tmp_path, lab=text)
    assert a[:3] == ("@winssh/a", ("ws",), {**STRICT, "ssh_hostname": "192.0.2.1"})
    assert b[:3] == ("b", ("ws",), STRICT)
    assert c[:3] == ("@winssh/c", (), STRICT)
    assert local.name == "@local"


@pytest.mark.parametrize("word", ["2026-11-05", "2026-13-45", "=", "22:22", "017", "1_0", "0x1F"])
def test_what_old_yaml_has_other_uses_for_stays_text(tmp_path: Path, word: str) -> None:
    assert loaded(tmp_path, lab=f"hosts: {{a: {{user: {word}}}}}")[0].data["ssh_user"] == word


def test_data_for_pyinfra_is_merged_key_by_key(tmp_path: Path) -> None:
    text = """\
defaults: {pyinfra: {ssh_forward_agent: true, ssh_connect_retries: 1}}
hosts:
  a: {pyinfra: {ssh_connect_retries: 3, ssh_strict_host_key_checking: accept-new}}
"""
    assert loaded(tmp_path, lab=text)[0].data == {
        "ssh_forward_agent": True,
        "ssh_connect_retries": 3,
        "ssh_strict_host_key_checking": "accept-new",
    }


def test_a_host_can_take_back_what_the_defaults_say(tmp_path: Path) -> None:
    text = (
        'defaults: {torch: "2.14", user: ops, sudo: true}\nhosts: {a: {torch: , user: , sudo: no}}'
    )
    assert loaded(tmp_path, lab=text)[0].data == {**STRICT, "torch": None}


@pytest.mark.parametrize(
    "name", ["@local", "@docker/ubuntu:24.04", "10.0.0.1", "01", "on", "a_b.c"]
)
def test_names_stay_what_they_are(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, lab=f"hosts:\n  {name!r}:\n")[0].name == name
    if not name.startswith("@"):
        assert loaded(tmp_path, lab=f"hosts:\n  {name}:\n")[0].name == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour: red\n", "lab.yaml:1: colour: unknown key"),
        (
            "hosts:\n  a: {adress: x}\n",
            'lab.yaml:2: hosts.a.adress: unknown key (did you mean "address"?)',
        ),
        ("grops: {}\n", 'lab.yaml:1: grops: unknown key (did you mean "groups"?)'),
        ("hosts: {a: {port: 22:22}}\n", "lab.yaml:1: hosts.a.port: must be a whole number"),
        ("hosts: {a: {port: 0x16}}\n", "lab.yaml:1: hosts.a.port: must be a whole number"),
        (
            "hosts:\n  a:\n    keep: many\n",
            "lab.yaml:3: hosts.a.keep: must be a whole number",
        ),
        (
            "groups:\n  g:\n    hosts:\n      a:\n        torch: 2.10\n",
            "lab.yaml:5: groups.g.hosts.a.torch: 2.1 is a number, and 2.10 as a number is 2.1:"
            ' quote it, torch: "2.10" in YAML,'
            """ --data 'torch="2.10"' on the command line""",
        ),
        ("hosts:\n  a:\n  b:\n  a:\n", "lab.yaml:4: hosts.a: stands in line 2 already"),
        ("a: &x [1]\nb: *x\n", "lab.yaml:2: aliases (*name) are not used here"),
        (
            "hosts: !!python/object:os.system {}\n",
            "lab.yaml:1: tags (tag:yaml.org,2002:python/object:os.system) are not used here",
        ),
        (
            "hosts: [a\n",
            "lab.yaml:2: while parsing a flow sequence, expected ',' or ']',"
            " but got '<stream end>'",
        ),
        (
            "hosts:\n  a:\n---\n",
            "lab.yaml:3: expected a single document in the stream, but found another document",
        ),
        (
            "hosts:\n  @local:\n",
            'lab.yaml:2: a name that begins with @ needs quotes: "@local"',
        ),
        ("- a\n", f"lab.yaml:1: {MAPPING}"),
        ("hosts:\n  - a\n  - b\n", f"lab.yaml:1: hosts: {MAPPING}"),
        ("hosts:\n  a: 10.0.0.1\n", f"lab.yaml:2: hosts.a: {MAPPING}"),
        ("hosts:\n  ? [a]\n  : {}\n", "lab.yaml:2: hosts: a key is a word, no list or mapping"),
        ("hosts:\n  '': {}\n", f"lab.yaml:2: hosts.'': {HOST_NAME}"),
        ("hosts:\n  a b: {}\n", f"lab.yaml:2: hosts.a b: {HOST_NAME}"),
        ('hosts:\n  "\\e[2J": {}\n', f"lab.yaml:2: hosts.'\\x1b[2J': {HOST_NAME}"),
        (
            "hosts:\n  a: {ssh_user: ops}\n",
            'lab.yaml:2: hosts.a.ssh_user: unknown key (pyinfra\'s own go below "pyinfra")',
        ),
        (
            "groups:\n  g:\n    host: {a: }\n",
            'lab.yaml:3: groups.g.host: unknown key (did you mean "hosts"?)',
        ),
        (
            "defaults:\n  pyinfra:\n    keep: 3\n",
            "lab.yaml:3: defaults.pyinfra.keep: belongs beside pyinfra, not in it",
        ),
        (
            "defaults:\n  pyinfra:\n    ssh_password: hunter2\n",
            "lab.yaml:3: defaults.pyinfra.ssh_password: passwords do not belong in a file:"
            " use a key or an agent, or pyinfra's --ssh-password-prompt and --use-sudo-password",
        ),
        (
            "defaults:\n  relock: true\n",
            "lab.yaml:2: defaults.relock: is for one run, on the command line: --data relock=true",
        ),
        (
            "hosts:\n  a:\n    gpus:\n      - 0\n      - 1.5\n",
            "lab.yaml:5: hosts.a.gpus.1: 1.5 is no index, UUID or name of a GPU",
        ),
        (
            "hosts:\n  a:\n    port: 70000\n",
            "lab.yaml:3: hosts.a.port: must be less than or equal to 65535",
        ),
        ("hosts:\n  a:\n    user: 1000\n", "lab.yaml:3: hosts.a.user: must be text"),
        (
            f"hosts:\n  a:\n    keep: {'9' * 5000}\n",
            "lab.yaml:3: hosts.a.keep: must be a whole number",
        ),
        (
            "defaults: {keep: 2}\n",
            'lab.yaml:1: hosts: none in any file; this machine would be "@local"',
        ),
        ("", 'lab.yaml:1: hosts: none in any file; this machine would be "@local"'),
        (
            "hosts: {a: }\n\x00",
            "lab.yaml:1: no YAML: unacceptable character #x0000:"
            " special characters are not allowed",
        ),
        ("hosts: {a: {root: here}}\n", "lab.yaml:1: hosts.a.root: 'here' is no absolute path"),
        (
            "defaults:\n  root: /srv/x\ngroups:\n  ws: {os: windows, hosts: {a: }}\n",
            "lab.yaml:2: defaults.root: for a, /srv/x is no absolute path on Windows,"
            r" where it is such as C:\fleetwheel",
        ),
        (
            "hosts:\n  a:\n    root: 'C:\\x'\n",
            r"lab.yaml:3: hosts.a.root: for a, C:\x is no absolute path on Linux,"
            " where it is such as /opt/fleetwheel",
        ),
        (
            "groups:\n  all:\n",
            f"lab.yaml:2: groups.all: {GROUP_NAME}",
        ),
        (
            "environments: {vision: }\n",
            "lab.yaml:1: environments: belongs below defaults, a group or a host",
        ),
        ("hosts:\n  a: {packages: 3}\n", "lab.yaml:2: hosts.a.packages: must be a list"),
        ("hosts:\n  a: {sudo: 3}\n", "lab.yaml:2: hosts.a.sudo: must be true or false"),
        (
            "hosts:\n  a: {hold: ''}\n",
            "lab.yaml:2: hosts.a.hold: must not be empty: write the reason",
        ),
        ("hosts:\n  a: {hold: true}\n", "lab.yaml:2: hosts.a.hold: must be text: write the reason"),
        ("hosts:\n  a: {uniform: 3}\n", f"lab.yaml:2: hosts.a.uniform: {UNIFORM}"),
        (
            "groups: {labs: {hosts: {a: }}}\nhosts:\n  a: {uniform: lab}\n",
            f'lab.yaml:3: hosts.a.uniform: {UNIFORM} (did you mean "labs"?)',
        ),
        (
            "defaults:\n  environments:\n    vision: {uniform: maybe}\nhosts: {a: }\n",
            f"lab.yaml:3: defaults.environments.vision.uniform: {UNIFORM}",
        ),
        (
            "hosts:\n  z: {environments: {vision: }}\n  a: {environments: {vsion: null}}\n",
            "lab.yaml:3: hosts.a.environments.vsion:"
            ' no entry describes this environment (did you mean "vision"?)',
        ),
        ("groups:\n  ungrouped:\n", f"lab.yaml:2: groups.ungrouped: {GROUP_NAME}"),
        ("groups:\n  _os:\n", f"lab.yaml:2: groups._os: {GROUP_NAME}"),
    ],
)
def test_a_problem_names_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, lab=text) == [expected]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, a="hosts:\n  x: {keep: 0}\n", b="colour: red\nhosts:\n  y: {prt: 1}\n"
    )
    assert [line.split(": ")[0] for line in found] == ["a.yaml:2", "b.yaml:1", "b.yaml:3"]


def test_what_is_wrong_as_yaml_hides_nothing_else(tmp_path: Path) -> None:
    found = problems(tmp_path, a="hosts:\n  x: {keep: 0}\n  y:\n  y:\n", b="hosts: {y: }\nhosts:\n")
    assert found == [
        "a.yaml:2: hosts.x.keep: must be greater than or equal to 1",
        "a.yaml:4: hosts.y: stands in line 3 already",
        "b.yaml:2: hosts: stands in line 1 already",
    ]


@pytest.mark.parametrize("root", ["root: 'D:/x'", "root: null"])
def test_a_windows_host_has_a_root_of_its_own(tmp_path: Path, root: str) -> None:
    text = f"defaults: {{root: ~/x}}\ngroups: {{ws: {{{root}, hosts: {{a: {{os: windows}}}}}}}}\n"
    [host] = loaded(tmp_path, lab=text)
    assert host.data["root"] == yaml.safe_load(root)["root"]


GROUPS = """\
defaults: {keep: 2, smoke: always}
groups:
  wide: {keep: 3, torch: "2.13", user: ops, hosts: {a: , b: }}
  narrow:
    torch: "2.14"
    hosts: {a: {address: 192.0.2.1}}
"""


def test_of_two_groups_the_later_one_wins(tmp_path: Path) -> None:
    a, b = loaded(tmp_path, lab=GROUPS, more="groups: {last: {keep: 9, hosts: {b: {keep: 5}}}}\n")
    assert a.groups == ("wide", "narrow")
    assert a.data == {
        **STRICT,
        **{"ssh_user": "ops", "ssh_hostname": "192.0.2.1"},
        **{"keep": 3, "smoke": "always", "torch": "2.14"},
    }
    assert (b.groups, b.data["keep"], b.data["torch"]) == (("wide", "last"), 5, "2.13")


def test_files_come_in_the_order_of_their_names_whatever_their_groups_are_called(
    tmp_path: Path,
) -> None:
    texts = {name: f"groups: {{g{9 - int(name[1])}: {{keep: {name[1]}, hosts: {{x: }}}}}}\n"
             for name in ("f1", "f2", "f3")}  # fmt: skip
    (host,) = loaded(tmp_path, **texts)
    assert (host.groups, host.data["keep"]) == (("g8", "g7", "g6"), 3)


def test_a_key_of_an_environment_says_where_it_stands(tmp_path: Path) -> None:
    text = """\
defaults:
  environments:
    vision: {torch: "2.13"}
groups:
  lab:
    environments:
      vision:
        keep: 2
      course: null
    hosts: {a: {environments: {course: }}}
"""
    (host,) = loaded(tmp_path, lab=text)
    lab = f"{tmp_path}/lab.yaml"
    assert {key: at for key, at in host.origins.items() if "." in key} == {
        "environments.vision": f"group lab, {lab}:7",
        "environments.vision.torch": f"defaults, {lab}:3",
        "environments.vision.keep": f"group lab, {lab}:8",
        "environments.course": f"host, {lab}:10",
    }


def test_every_setting_says_where_it_stands(tmp_path: Path) -> None:
    a, _ = loaded(tmp_path, lab=GROUPS)
    at = {key: origin.replace(f"{tmp_path}/", "") for key, origin in a.origins.items()}
    assert at == {
        "keep": "group wide, lab.yaml:3",
        "smoke": "defaults, lab.yaml:1",
        "torch": "group narrow, lab.yaml:5",
        "ssh_user": "group wide, lab.yaml:3",
        "ssh_hostname": "host, lab.yaml:6",
    }


def test_a_host_of_a_group_can_say_more_among_the_hosts(tmp_path: Path) -> None:
    text = "groups: {g: {keep: 4, hosts: {a: {user: ops}}}}\nhosts: {a: {torch: '2.14'}, b: }\n"
    a, b = loaded(tmp_path, lab=text)
    assert a[:3] == ("a", ("g",), {**STRICT, "ssh_user": "ops", "keep": 4, "torch": "2.14"})
    assert (b.name, b.groups) == ("b", ())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("hosts: {x: {keep: 4}}\n", "hosts:\n  x: {keep: 5}\n"),
        ("groups: {g: {hosts: {x: {keep: 4}}}}\n", "hosts:\n  x: {keep: 5}\n"),
    ],
)
def test_a_host_that_says_two_things_of_itself(tmp_path: Path, first: str, second: str) -> None:
    found = problems(tmp_path, a=first, b=second)
    assert found == ["b.yaml:2: hosts.x.keep: a.yaml:1 says something else"]
    assert loaded(tmp_path, a=first, b=second.replace("5", "4"))[0].data["keep"] == 4


def test_a_uniform_group_is_the_one_that_says_so(tmp_path: Path) -> None:
    text = "groups:\n  rack: {hosts: {a: , b: }}\n  jobs: {uniform: true, hosts: {a: }}\n"
    a, b = loaded(tmp_path, lab=text)
    assert (a.data["uniform"], b.data.get("uniform")) == ("jobs", None)
    a, b = loaded(
        tmp_path, lab=f"defaults: {{uniform: true}}\n{text.replace('uniform: true, ', '')}"
    )
    assert (a.data["uniform"], b.data["uniform"]) == ("rack", "rack")


def test_defaults_in_two_files(tmp_path: Path) -> None:
    found = problems(tmp_path, a="defaults: {keep: 1}\n", b="defaults: {keep: 2}\n")
    assert found == ["b.yaml:1: defaults: defaults stands at a.yaml:1 already"]


def test_a_file_of_unlikely_size_is_not_read(tmp_path: Path) -> None:
    assert problems(tmp_path, lab="#" * (FILE_BYTES + 1)) == ["lab.yaml:1: larger than 4 MB"]


def test_depth_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    assert problems(tmp_path, lab="hosts: " + "[" * 5000) == ["lab.yaml:1: nested too deeply"]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_bytes(b"hosts: {\xff: }")
    assert problems(tmp_path) == [
        "lab.yaml:1: cannot be read: 'utf-8' codec can't decode byte 0xff in position 8:"
        " invalid start byte"
    ]


def test_notepad_begins_a_file_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("\ufeffhosts: {a: }\r\n", encoding="utf-8")
    assert [host.name for host in load_hosts(tmp_path)] == ["a"]


def test_what_editors_hide_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".#lab.yaml").symlink_to("someone@somewhere")
    (tmp_path / "lab.yaml~").write_text("old")
    assert load_hosts(tmp_path) == []


class TestFleet:
    """Which place is read."""

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(VARIABLE, raising=False)

    @pytest.mark.parametrize("place", [None, "inventory"])
    def test_without_a_file_it_is_this_machine(self, place: str | None) -> None:
        if place:
            Path(place).mkdir()
        assert fleet() == [ListedHost("@local", (), {})]

    def test_inventory_is_read(self) -> None:
        Path("inventory").mkdir()
        Path("inventory/lab.yml").write_text("hosts: {a: }")
        assert [host.name for host in fleet()] == ["a"]

    @pytest.mark.parametrize("named", ["lab.yaml", "."])
    def test_the_variable_names_a_file_or_a_directory(
        self, named: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("lab.yaml").write_text("hosts: {a: }")
        monkeypatch.setenv(VARIABLE, named)
        assert [host.name for host in fleet()] == ["a"]

    def test_an_empty_variable_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("compose.yaml").write_text("services: {}")
        monkeypatch.setenv(VARIABLE, "")
        assert [host.name for host in fleet()] == ["@local"]

    @pytest.mark.parametrize(
        ("named", "words"),
        [(".", ".: holds no *.yaml file"), ("no.yaml", "no.yaml:1: cannot be read: No such file")],
    )
    def test_a_wrong_place_never_means_this_machine(
        self, named: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, named)
        with pytest.raises(FleetwheelError, match=re.escape(words)):
            fleet()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["hosts", "groups", "defaults", "torch", "keep", "gpus", "a"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_is_written_gives_hosts_or_a_sentence(tmp_path: Path, document: Any) -> None:
    try:
        loaded(tmp_path, lab=yaml.safe_dump(document))
    except FleetwheelError as error:
        assert "lab.yaml:" in str(error)


@given(st.text(alphabet=st.sampled_from(list("ab:{}[]&*!|>-?#,'\"%@` \n\t\x00é")), max_size=40))
@example("? {a: b}\n: c")
@example("a: 2026-13-45")
@example("a: =")
@example("<<: {a: b}")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gives_hosts_or_a_sentence(tmp_path: Path, text: str) -> None:
    try:
        loaded(tmp_path, lab=text)
    except FleetwheelError as error:
        assert "lab.yaml:" in str(error)


def test_the_example_is_an_inventory_and_names_every_key() -> None:
    example = Path("docs/inventory.example.yaml")
    hosts = load_hosts(example)
    assert {host.groups for host in hosts} == {("workstations",), ("servers",), ()}
    text = example.read_text()
    for key in [*Settings.model_fields, *Connection.model_fields]:
        assert f"{key}:" in text or f"{key}=" in text, key
    for host in hosts:
        Settings.from_data(host.data)
