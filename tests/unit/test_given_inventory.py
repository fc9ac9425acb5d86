"""What a command takes as its inventory."""

import click
import pytest
from click.testing import CliRunner

from fleetwheel.cli._options import inventory_argument
from fleetwheel.errors import FleetwheelError


@click.command()
@inventory_argument
def shown(inventory: str) -> None:
    click.echo(inventory)


def taken(word: str) -> str:
    done = CliRunner().invoke(shown, ["--", word])
    if done.exception:
        raise done.exception
    return done.output.strip()


@pytest.mark.parametrize("word", ["inventory.py", "a,b", "@ssh/h", "@ansible/hosts.yml"])
def test_what_pyinfra_takes_passes(word: str) -> None:
    assert taken(word) == word


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("-", "- is not an inventory"),
        ("a,", "'a,' names a host without a name"),
        ("lab.yaml", "lab.yaml: pyinfra takes no YAML here"),
        ("inventory/lab.yml", "inventory/lab.yml: pyinfra takes no YAML here"),
    ],
)
def test_what_it_cannot_take_is_refused(word: str, why: str) -> None:
    with pytest.raises(FleetwheelError, match=why):
        taken(word)
