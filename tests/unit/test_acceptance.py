"""How tests/gpu/acceptance.py goes through its steps; the steps need torch, and a GPU."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.gpu import acceptance


def a_run(place: Path, **steps: Any) -> Any:
    """Return a run whose steps do nothing but these."""
    for index in ("right", "wrong"):
        (place / index).mkdir()
    first = ("alone", "held", "build_index")
    names = (*first, "facts", "deploy", "deploy_again", "full", "drift", "wrong_wheels")
    well = {name: lambda **data: "well" for name in names}
    return SimpleNamespace(work=place, cpu=False, found={}, **{**well, **steps})


def test_all_steps_pass(tmp_path: Path) -> None:
    result = acceptance.run(a_run(tmp_path), None)
    assert (result["passed"], len(result["steps"])) == (True, 10)


def test_what_a_step_did_not_foresee_costs_no_result(tmp_path: Path) -> None:
    file = tmp_path / "result.json"

    def full() -> str:
        assert len(json.loads(file.read_text())["steps"]) == 6
        raise TypeError("'NoneType' object is not subscriptable")

    result = acceptance.run(a_run(tmp_path, full=full), file)
    assert result == json.loads(file.read_text())
    assert (result["passed"], len(result["steps"])) == (False, 7)
    assert result["steps"][-1]["said"].startswith("TypeError: 'NoneType'")


def test_a_process_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "IMPORT_S", 0.1)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert acceptance.said_in_time(process) == b""
        process.kill()
