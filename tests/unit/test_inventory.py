"""The inventory: what hosts get, and errors that name file, line and key."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory import FILE_BYTES, Host, load
from fleetwheel.settings import Settings

STRICT = {"ssh_strict_host_key_checking": "yes"}


def loaded(directory: Path, **files: str) -> list[Host]:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return load(directory)


def problems(directory: Path, **files: str) -> list[str]:
    with pytest.raises(FleetwheelError) as caught:
        loaded(directory, **files)
    return str(caught.value.args[0]).replace(f"{directory}/", "").splitlines()


def test_no_files_no_hosts(tmp_path: Path) -> None:
    assert load(tmp_path) == []


def test_a_bare_name_is_a_host_whose_key_is_checked(tmp_path: Path) -> None:
    assert loaded(tmp_path, lab="hosts:\n  a:\n") == [Host("a", None, STRICT)]


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
    assert a == Host("a", "ws", {**STRICT, "keep": 5, "accelerator": "cuda", "ssh_user": "ops"})
    assert b == Host("b", None, {**STRICT, "keep": 2, "accelerator": "cpu", "ssh_user": "ops"})


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour: red\n", "lab.yaml:1: colour: unknown key"),
        (
            "hosts:\n  a: {adress: x}\n",
            'lab.yaml:2: hosts.a.adress: unknown key (did you mean "address"?)',
        ),
        ("grops: {}\n", 'lab.yaml:1: grops: unknown key (did you mean "groups"?)'),
        (
            "hosts:\n  a:\n    keep: many\n",
            "lab.yaml:3: hosts.a.keep: Input should be a valid integer,"
            " unable to parse string as an integer",
        ),
        (
            "groups:\n  g:\n    hosts:\n      a:\n        torch: 2.10\n",
            "lab.yaml:5: groups.g.hosts.a.torch: 2.1 is a number here, so 2.10 would be read as"
            """ 2.1: quote it, "2.10" in YAML, --data 'torch="2.10"' on the command line""",
        ),
        ("hosts:\n  a:\n  b:\n  a:\n", "lab.yaml:4: hosts.a: stands here twice"),
        (
            "groups:\n  g:\n    hosts: {a: }\nhosts:\n  a:\n",
            "lab.yaml:5: hosts.a: host stands at lab.yaml:3 already",
        ),
        ("a: &x [1]\nb: *x\n", "lab.yaml:2: aliases (*name) are not used here"),
        (
            "hosts: !!python/object:os.system {}\n",
            "lab.yaml:1: tags (tag:yaml.org,2002:python/object:os.system) are not used here",
        ),
        ("hosts: [a\n", "lab.yaml:2: expected ',' or ']', but got '<stream end>'"),
        ("- a\n", "lab.yaml:1: Input should be a valid dictionary or instance of Document"),
        ("hosts: {a: {root: here}}\n", "lab.yaml:1: hosts.a.root: 'here' is no absolute path"),
        (
            "groups:\n  all:\n",
            "lab.yaml:2: groups.all: a group's name is letters, digits, - and _,"
            " and not all or inventory",
        ),
    ],
)
def test_a_problem_names_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, lab=text) == [expected]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, a="hosts:\n  x: {keep: 0}\n", b="colour: red\nhosts:\n  y: {prt: 1}\n"
    )
    assert [line.split(": ")[0] for line in found] == ["a.yaml:2", "b.yaml:3", "b.yaml:1"]


def test_a_host_in_two_files(tmp_path: Path) -> None:
    found = problems(tmp_path, a="hosts: {x: }\n", b="hosts: {x: }\n")
    assert found == ["b.yaml:1: hosts.x: host stands at a.yaml:1 already"]


def test_defaults_in_two_files(tmp_path: Path) -> None:
    found = problems(tmp_path, a="defaults: {keep: 1}\n", b="defaults: {keep: 2}\n")
    assert found == ["b.yaml:1: defaults: defaults stands at a.yaml:1 already"]


def test_a_file_of_unlikely_size_is_not_read(tmp_path: Path) -> None:
    assert problems(tmp_path, lab="#" * (FILE_BYTES + 1)) == ["lab.yaml:1: larger than 4 MB"]


def test_depth_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    assert problems(tmp_path, lab="hosts: " + "[" * 5000)[0].startswith(
        "lab.yaml:1: cannot be read"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
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
    import yaml

    try:
        loaded(tmp_path, lab=yaml.safe_dump(document))
    except FleetwheelError as error:
        assert "lab.yaml:" in str(error)


@given(st.text(alphabet=st.sampled_from(list("ab:{}[]&*!|>-?#,'\"%@` \n\t\x00é")), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gives_hosts_or_a_sentence(tmp_path: Path, text: str) -> None:
    try:
        loaded(tmp_path, lab=text)
    except FleetwheelError as error:
        assert "lab.yaml:" in str(error)


def test_the_example_is_an_inventory_and_names_every_key() -> None:
    example = Path("docs/inventory.example.yaml")
    hosts = load(example)
    assert {host.group for host in hosts} == {"workstations", "servers", None}
    text = example.read_text()
    for key in Settings.model_fields:
        assert f"{key}:" in text or f"{key}=" in text, key
