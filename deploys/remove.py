"""Take off every host the environments that the inventory does not name any more.

pyinfra inventory.py deploys/remove.py
pyinfra inventory.py deploys/remove.py --data what=everything --limit HOST

`--data what=schedule` and `what=mirror` take these away; `in_use=true` what a process runs from.
"""

from pyinfra import host

from fleetwheel.operations import remove
from fleetwheel.operations.settings import settings

remove.leftovers(
    name="Take away what the inventory does not name any more",
    settings=settings(),
    what=host.data.get("what"),
    in_use=bool(host.data.get("in_use")),
)
