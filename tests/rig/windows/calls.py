"""Calls of the connector in a process of its own: JSON in, JSON out, for tests.

pyinfra makes sockets and threads cooperative when it starts, which is not for pytest's process.
"""

if __name__ == "__main__":
    import pyinfra_cli  # isort: skip # noqa: F401

import json
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from pyinfra.api import Config, Inventory, State
from pyinfra.api.command import QuoteString, StringCommand

CHECKOUT = Path(__file__).parents[3]


def connect_and_call(data: dict[str, object], *calls: dict[str, Any]) -> list[dict[str, Any]]:
    """Make calls on one connection; each answer has ``ok``, or ``error`` with its type.

    A call is ``run`` (a list: raw text, or in a list of its own an argument to quote) with
    ``arguments``, or ``put`` (text) with ``to``, or ``get``; ``arguments`` are pyinfra's.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=CHECKOUT,
        input=json.dumps({"data": data, "calls": calls}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, list)
    return answers


def main() -> None:
    """Read the calls from standard input, and print the answers."""
    asked = json.load(sys.stdin)
    inventory = Inventory(([("@winssh/winrig", asked["data"])], {}))
    State(inventory, Config())
    (host,) = inventory
    answers = []
    try:
        host.connect(raise_exceptions=True)
    except Exception as error:
        json.dump([_failure(error)], sys.stdout)
        return
    for call in asked["calls"]:
        begun = time.monotonic()
        try:
            answer = _call(host, call)
        except Exception as error:
            answer = _failure(error)
        answers.append(answer | {"seconds": time.monotonic() - begun})
    json.dump(answers, sys.stdout)


def _failure(error: Exception) -> dict[str, Any]:
    return {"ok": False, "error": type(error).__name__, "message": str(error)}


def _call(host: Any, call: dict[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    if "put" in call:
        content = BytesIO(call["put"].encode())
        return {"ok": host.put_file(content, call["to"], **arguments)}
    if "get" in call:
        content = BytesIO()
        ok = host.get_file(call["get"], content, **arguments)
        return {"ok": ok, "content": content.getvalue().decode()}
    bits = [QuoteString(bit[0]) if isinstance(bit, list) else bit for bit in call["run"]]
    ok, output = host.run_shell_command(StringCommand(*bits), **arguments)
    return {"ok": ok, "stdout": output.stdout_lines, "stderr": output.stderr_lines}


if __name__ == "__main__":
    main()
