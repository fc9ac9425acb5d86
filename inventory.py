"""What pyinfra reads: the hosts of inventory/*.yaml, or this machine if there are none.

FLEETWHEEL_INVENTORY names another directory or file. A program may import this as well: nothing
but the hosts comes of it.
"""

from pyinfra import logger as _logger
from pyinfra.api.exceptions import InventoryError as _InventoryError

try:
    from fleetwheel.errors import FleetwheelError as _FleetwheelError
    from fleetwheel.inventory.load import fleet as _fleet
    from fleetwheel.inventory.login_keys import leave_out_unusable as _leave_out_unusable
    from fleetwheel.operations._command_line import refuse_limit as _refuse_limit
    from fleetwheel.project import demand as _demand
except ModuleNotFoundError as _error:
    raise _InventoryError(f"{_error}: this pyinfra has no fleetwheel; .venv/bin has one") from None

try:
    _demand()
    _hosts = _fleet()
    _refuse_limit({_host.name: _host.groups for _host in _hosts})
except _FleetwheelError as _error:
    raise _InventoryError(f"the inventory cannot be used\n{_error}") from None

for _warning in _leave_out_unusable(_hosts):
    _logger.warning(_warning)

# pyinfra takes every public list for a group, and "all" for everything.
for _host in _hosts:
    for _group in _host.groups or ["ungrouped"]:
        globals().setdefault(_group, []).append((_host.name, _host.data))
