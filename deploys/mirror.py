"""Make the host that the inventory names as `mirror` a caching mirror of wheels.

pyinfra inventory.py deploys/mirror.py
"""

from fleetwheel.operations import mirror
from fleetwheel.operations.settings import settings

mirror.caching_proxy(
    name="Serve wheels from the sources, each fetched once",
    settings=settings(),
)
