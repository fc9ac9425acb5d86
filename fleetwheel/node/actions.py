"""What a controller can have a host do: each action takes one JSON document and prints one."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from fleetwheel.node.root import Failure

if sys.platform != "win32":
    import select

ANSWERS = {
    "build": "build",
    "activate": "activate",
    "note_test": "activate",
    "drop_bytecode": "activate",
    "verify": "verify",
    "reach": "reach",
    "place": "place",
    "removal": "remove",
    "remove": "remove",
    "leftovers": "uninstall",
    "uninstall": "uninstall",
}
"""Action to the module whose function of this name returns the answer; imported when it is asked.

It is printed as ``{"ok": true, ...}``, or ``{"ok": false, "error": ..., "hint": ...}``.
"""
PROGRAMS = {"smoke": "smoke.run", "device": "smoke.device", "driver": "smoke.driver"}
"""Action to the module whose function of this name prints by itself and returns the exit code."""
BY_HAND = {"check": "check", "test": "smoke.run", "nvml": "nvml"}
"""Command for people to the module whose function ``by_hand`` takes its words."""


def main(words: list[str]) -> int:
    """Do what the command line says, and return the exit code; 3 for bad usage."""
    action, *more = words or [""]
    if action in BY_HAND:
        code: int = function(BY_HAND[action], "by_hand")(more)
        return code
    helps = action in ("-h", "--help")
    if helps or more or action not in {**ANSWERS, **PROGRAMS}:
        usage = f"usage: fleetwheel-node {'|'.join(BY_HAND)} [--help]"
        print(usage, file=sys.stdout if helps else sys.stderr)
        return 0 if helps else 3
    os.umask(0o022)  # all users of a host read what it makes, wherever root's own files are closed
    return perform(action, json.load(sys.stdin))


def perform(action: str, input: dict[str, Any]) -> int:
    """Do an action with this input, print its answer in one line, and return the exit code."""
    signal.signal(signal.SIGTERM, terminated)
    try:
        if action in PROGRAMS:
            code: int = function(PROGRAMS[action], action)(input)
            return code
        if sys.platform != "win32":
            threading.Thread(target=end_with_controller, daemon=True).start()
        answer = {"ok": True, **function(ANSWERS[action], action)(**input)}
    except Failure as failure:
        answer = {"ok": False, "error": str(failure), "hint": failure.hint}
    except OSError as error:
        answer = {"ok": False, "error": str(error), "hint": "check the root's owner and disk"}
    print(json.dumps(answer), flush=True)
    return 0 if answer["ok"] else 1


def function(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(f"fleetwheel.node.{module}"), name)
    return found


def end_with_controller() -> None:
    """End this program when nobody reads its output any more, as after Ctrl-C or a lost link."""
    poll = select.poll()
    poll.register(1, 0)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def terminated(number: int, frame: object) -> None:
    raise Failure(f"ended by signal {number}", "run again: it starts over where this began")
