"""``fleetwheel schema``: what editors and programs are told of inventories and reports."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleetwheel.cli import commands
from fleetwheel.cli.schema import FOR_ONE_RUN
from fleetwheel.inventory.load import HostEntry
from fleetwheel.reporting.causes import follow
from tests.made_up_fleet import report


def schema(name: str) -> dict[str, Any]:
    done = CliRunner().invoke(commands, ["schema", name])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_an_inventory_may_say_what_a_file_may_say() -> None:
    found = schema("inventory")
    host = found["$defs"]["HostEntry"]
    assert {*host["properties"]} == {*HostEntry.model_fields} - {*FOR_ONE_RUN}
    assert host["additionalProperties"] is found["additionalProperties"] is False
    hosts, nothing = found["properties"]["hosts"]["anyOf"]
    assert "null" in nothing["type"]
    assert hosts["additionalProperties"]["anyOf"][0] == {"$ref": "#/$defs/HostEntry"}


def test_the_schema_that_projects_get_is_that_of_today() -> None:
    """Written by ``fleetwheel schema inventory > docs/inventory.schema.json``."""
    kept = json.loads(Path("docs/inventory.schema.json").read_text(encoding="utf-8"))
    assert kept == schema("inventory")


@pytest.mark.parametrize("part", ["Report", "HostReport", "SharedCause", "Drift"])
def test_a_report_has_the_keys_of_its_schema(part: str) -> None:
    found = schema("report")
    document = follow(report(12), []).model_dump(mode="json", by_alias=True)
    host = next(host for host in document["hosts"] if host["drift"])
    parts = {
        "Report": (document, found),
        "HostReport": (host, found["$defs"]["HostReport"]),
        "SharedCause": (document["causes"][0], found["$defs"]["SharedCause"]),
        "Drift": (host["drift"][0], found["$defs"]["Drift"]),
    }
    written, told = parts[part]
    assert {*written} == {*told["properties"]}
