"""Make bare hosts tested members of the fleet: a Python where there is none, then PyTorch.

pyinfra inventory.py deploys/onboard.py --limit HOST
"""

from fleetwheel.operations import onboard
from fleetwheel.operations.settings import settings

onboard.member(
    name="Make this host a tested member of the fleet",
    settings=settings(),
)
