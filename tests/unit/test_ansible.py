"""An Ansible inventory as pyinfra's hosts, from what Ansible itself says of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.ansible import AnsibleInventory, read_ansible

FIXTURES = Path("tests/fixtures/ansible")
STRICT = {"ssh_strict_host_key_checking": "yes"}


def read(**variables: Any) -> AnsibleInventory:
    """Read an inventory of one host with these variables."""
    return read_ansible({"_meta": {"hostvars": {"a": variables}}})


def problems(**variables: Any) -> list[str]:
    with pytest.raises(FleetwheelError) as caught:
        read(**variables)
    return caught.value.message.splitlines()


@pytest.mark.parametrize("kind", ["ini", "yml"])
def test_the_same_hosts_out_of_both_forms(kind: str) -> None:
    found = read_ansible(json.loads((FIXTURES / f"hosts.{kind}.json").read_text()))
    hosts = {host.name: host for host in found.hosts}
    assert list(hosts) == ["web-proxy", "ws-1", "ws-2", "ws-3"]
    assert hosts["web-proxy"].data == {**STRICT, "ssh_hostname": "192.0.2.9"}
    assert hosts["ws-1"].groups == ("lab", "a100", "workstations")
    assert hosts["ws-1"].data == {
        **STRICT,
        **{"ssh_hostname": "192.0.2.11", "ssh_user": "ops", "_sudo": True},
        **{"torch": "2.10", "accelerator": "cuda"},
    }
    assert hosts["ws-2"].data == {
        **STRICT,
        **{"ssh_port": 2222, "_sudo": True, "keep": 4, "torch": "2.14", "accelerator": "cuda"},
    }
    assert hosts["ws-3"].groups == ("lab", "workstations")
    assert hosts["ws-3"].data["accelerator"] == "cpu"
    (warning,) = found.warnings
    assert warning.startswith("localhost is left out: its ansible_connection is local")


@pytest.mark.parametrize(
    ("variables", "data"),
    [
        ({"ansible_ssh_host": "x"}, {"ssh_hostname": "x"}),
        ({"ansible_port": "22"}, {"ssh_port": 22}),
        ({"ansible_ssh_private_key_file": "k"}, {"ssh_key": "k"}),
        ({"ansible_ssh_pass": "p"}, {"ssh_password": "p"}),
        ({"ansible_become": "no"}, {"_sudo": False}),
        (
            {"ansible_become": True, "ansible_become_user": "ml"},
            {"_sudo": True, "_sudo_user": "ml"},
        ),
        ({"ansible_host_key_checking": False}, {"ssh_strict_host_key_checking": "no"}),
        ({"packages": ["vim"], "torch": 1, "nested": {"a": "{{ b }}"}}, {}),
    ],
)
def test_the_way_to_a_host(variables: dict[str, Any], data: dict[str, Any]) -> None:
    (host,) = read(**variables).hosts
    assert host.data == {**STRICT, **data}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"fleetwheel_tarch": "2.14"}, 'fleetwheel_tarch: unknown key (did you mean "torch"?)'),
        ({"fleetwheel_colour": 1}, "fleetwheel_colour: no such setting"),
        ({"fleetwheel_torch": 2.1}, "fleetwheel_torch: 2.1 is a number, and 2.10 as a number"),
        ({"fleetwheel_torch": "{{ t }}"}, "fleetwheel_torch: a template, which only a playbook"),
        ({"ansible_host": "{{ ip }}"}, "ansible_host: a template, which only a playbook"),
        ({"ansible_become_method": "su"}, "ansible_become_method: su is not sudo"),
        ({"ansible_port": "ssh"}, "ansible_port: ssh is no number"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence(variables: dict[str, Any], said: str) -> None:
    (line,) = problems(**variables)
    assert line.startswith(f"a: {said}")


def test_a_number_says_how_to_quote_it_in_ini() -> None:
    (line,) = problems(fleetwheel_torch=2.1)
    assert line.endswith(
        """: quote it, fleetwheel_torch: "2.10" in YAML, fleetwheel_torch='"2.10"' behind a host"""
        """ of an INI file, fleetwheel_torch="2.10" in its [GROUP:vars]"""
    )


def test_what_is_only_half_read_is_a_warning() -> None:
    assert read(ansible_ssh_common_args="-J gate").warnings == [
        "a: ansible_ssh_common_args is not read: ~/.ssh/config is"
    ]
    found = read(ansible_connection="ssh", ansible_shell_type="powershell")
    assert found.hosts == []
    assert "os: windows" in found.warnings[0]


def test_an_empty_inventory_has_no_hosts() -> None:
    assert read_ansible({"_meta": {"hostvars": {}}}) == AnsibleInventory([], [])
