"""What pyinfra reads: the hosts of inventory/*.yaml, or this machine if there are none.

FLEETWHEEL_INVENTORY names another directory or file.
"""

import os as _os
from pathlib import Path as _Path

from pyinfra.api.exceptions import InventoryError as _InventoryError

from fleetwheel.errors import FleetwheelError as _FleetwheelError
from fleetwheel.inventory import load as _load
from operations._outcome import show_at_exit as _show_at_exit

_show_at_exit()
try:
    _hosts = _load(_Path(_os.environ.get("FLEETWHEEL_INVENTORY", "inventory")))
except _FleetwheelError as _error:
    raise _InventoryError(f"the inventory cannot be used\n{_error}") from None

# pyinfra takes every public list for a group, and "all" for everything.
for _host in _hosts:
    if _host.group:
        globals().setdefault(_host.group, []).append((_host.name, _host.data))
ungrouped = [(_host.name, _host.data) for _host in _hosts if not _host.group]
if not _hosts:
    ungrouped = ["@local"]
