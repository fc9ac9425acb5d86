"""Put every host back on the generation that it ran before, and hold it there.

pyinfra inventory.py deploys/rollback.py
pyinfra inventory.py deploys/rollback.py --data generation=ID
"""

from pyinfra import host

from fleetwheel.operations import torch
from fleetwheel.operations.settings import settings

torch.rollback(
    name="Go back to the generation before",
    settings=settings(),
    generation=host.data.get("generation"),
)
