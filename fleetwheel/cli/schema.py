"""`fleetwheel schema`: the JSON Schema of reports and inventories, for programs and editors."""

import json
from collections.abc import Callable
from typing import Any, Literal

import click
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import BeforeValidatorFunctionSchema
from typing_extensions import override

from fleetwheel.cli._stderr import verbosity_options

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOR_ONE_RUN = ("relock", "lift_hold", "rebuild", "environment")
"""What the command line alone may say."""


class _AsWritten(GenerateJsonSchema):
    """What an inventory may hold where something reads it first: a word for a list, or nothing."""

    @override
    def function_before_schema(self, schema: BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return {"anyOf": [super().function_before_schema(schema), {"type": ["string", "null"]}]}


def inventory_schema() -> dict[str, Any]:
    """Return the schema of a file of inventory/."""
    from fleetwheel.inventory.load import Document

    found = Document.model_json_schema(schema_generator=_AsWritten)
    for name in ("HostEntry", "GroupEntry"):
        for key in FOR_ONE_RUN:
            del found["$defs"][name]["properties"][key]
    return {"$schema": DIALECT, **found}


def report_schema() -> dict[str, Any]:
    """Return the schema of a report as it is written today."""
    from fleetwheel.reporting.report import Report

    return {"$schema": DIALECT, **Report.model_json_schema(mode="serialization")}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "inventory": inventory_schema,
    "report": report_schema,
}


@click.command("schema")
@click.argument("name", type=click.Choice(list(SCHEMAS)))
@verbosity_options
def schema_command(name: Literal["inventory", "report"], verbosity: int) -> None:
    """Print the JSON Schema of reports, or of the files of inventory/."""
    click.echo(json.dumps(SCHEMAS[name](), indent=2))
