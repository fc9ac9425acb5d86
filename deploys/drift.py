"""Compare every host with what it should be, and change nothing.

pyinfra -y inventory.py deploys/drift.py
pyinfra -y inventory.py deploys/drift.py --data deep=true

`fleetwheel drift inventory.py` says the same with exit codes, and in more formats.
"""

from pyinfra import host

from fleetwheel.operations import drift
from fleetwheel.operations.settings import settings

drift.check(
    name="Look for drift",
    settings=settings(),
    deep=bool(host.data.get("deep")),
)
