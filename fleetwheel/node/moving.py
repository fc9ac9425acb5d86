"""Renaming what somebody else may have open: Windows refuses that, and most let go soon.

A virus scanner opens each new file, and a look at the host opens the record. uv tries its own
renames again for 10 seconds for this reason.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from fleetwheel.node.holders import holders
from fleetwheel.node.root import Failure

PATIENCE_S = 10.0
PAUSE_S = 0.2
HELD = (5, 32, 33)
"""ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION: of a file that is open."""


def move(source: Path, target: Path) -> None:
    """Put a file or directory in another's place; Failure where that stays open too long."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.replace(str(source), str(target))  # noqa: PTH105 - tests stand in for this one call
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in HELD:
                raise
            if time.monotonic() >= until:
                raise held(source, target, error) from error
        time.sleep(PAUSE_S)


def held(source: Path, target: Path, error: OSError) -> Failure:
    names = ", ".join(dict.fromkeys(holders([source, target])))
    look = "" if names else " (Resource Monitor, CPU, Associated Handles, names it)"
    return Failure(
        f"{source} cannot become {target.name}: for {PATIENCE_S:.0f} s {names or 'a program'} had"
        f" one of them or something in it open ({error.strerror or error})",
        f"end what runs or stands there{look}, or exclude the root from the virus scanner; then run"
        " again",
    )
