"""Test the environment in use on every host, at any time.

pyinfra -y inventory.py deploys/smoke.py
pyinfra -y inventory.py deploys/smoke.py --data smoke=full
"""

from fleetwheel.operations import smoke
from fleetwheel.operations.settings import settings

smoke.test(
    name="Test the PyTorch that is in use",
    settings=settings(),
)
