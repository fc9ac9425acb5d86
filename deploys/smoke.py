"""Test the environment in use on every host, at any time.

pyinfra -y inventory.py deploys/smoke.py
pyinfra -y inventory.py deploys/smoke.py --data smoke=full
"""

from operations import smoke
from operations.settings import settings

smoke.test(
    name="Test the PyTorch that is in use",
    settings=settings(),
)
