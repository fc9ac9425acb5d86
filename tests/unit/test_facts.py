"""The facts: from the lines of a host to values."""

import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api import FactBase, StringCommand
from pyinfra.api.exceptions import FactProcessError

from fleetwheel.host.profile import Installation, Profile

FIXTURES = Path(__file__).parents[1] / "fixtures" / "facts"
CASES = sorted(FIXTURES.glob("*/*.yaml"))
FACTS = (
    "platform.Platform",
    "python.Pythons",
    "gpu.Gpus",
    "environments.Environments",
    "host.Host",
)


def fact(name: str) -> FactBase[Any]:
    module, _, kind = name.partition(".")
    found: FactBase[Any] = getattr(import_module(f"fleetwheel.facts.{module}"), kind)()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_case(case: Path) -> None:
    data = yaml.safe_load(case.read_text(encoding="utf-8"))
    output = data["output"].splitlines()
    if "error" in data:
        with pytest.raises(FactProcessError, match=data["error"]):
            fact(case.parent.name).process(output)
    else:
        value = fact(case.parent.name).process(output)
        assert value == type(value).model_validate(data["fact"])


def test_the_whole_host_is_its_parts() -> None:
    cases = {"platform.Platform": "debian", "python.Pythons": "several", "gpu.Gpus": "rtx_4090"}
    cases["environments.Environments"] = "one_generation"
    data = [yaml.safe_load((FIXTURES / n / f"{c}.yaml").read_text()) for n, c in cases.items()]
    state = fact("host.Host").process("".join(part["output"] for part in data).splitlines())
    platform, pythons, gpu, environments = (part["fact"] for part in data)
    assert state.installation == Installation.model_validate(environments)
    assert state.profile == Profile.model_validate(
        {
            **platform,
            **pythons,
            **gpu,
            "problems": platform["problems"] + pythons["problems"],
        }
    )


@pytest.mark.parametrize("name", FACTS)
def test_commands_fit_a_command_line(name: str) -> None:
    command: StringCommand = fact(name).command()
    assert len(command.get_raw_value().encode()) < 100 * 1024


@pytest.mark.parametrize("root", ["/a b", "/'; touch x; '", "/$(id)\n`id`"])
def test_a_root_reaches_the_shell_as_one_word(root: str) -> None:
    command: StringCommand = fact("host.Host").command(root=root, gpu_timeout=7)
    first = command.get_raw_value().removesuffix("answer platform pythons environments gpu")
    values = first.split("# What every question shares")[0] + 'printf "%s|" "$@"'
    said = subprocess.run(["sh", "-c", values], capture_output=True, text=True, check=True)
    assert said.stdout == f"{root}|7||||"


@pytest.mark.parametrize("name", FACTS)
@given(lines=st.lists(st.text(), max_size=8))
def test_no_output_raises_anything_but_the_fact_s_error(name: str, lines: list[str]) -> None:
    sections = ("platform", "pythons", "environments", "gpu")
    output = [f"{section} {line}" for section in sections for line in (*lines, "ended 0")]
    for answer in (lines, output, ["platform uname Linux x86_64", *output]):
        try:
            fact(name).process(answer).to_json()
        except FactProcessError as error:
            assert str(error)
