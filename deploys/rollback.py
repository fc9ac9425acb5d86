"""Put every host back on the generation that it ran before, and hold it there.

pyinfra inventory.py deploys/rollback.py
pyinfra inventory.py deploys/rollback.py --data generation=ID
"""

from fleetwheel.settings import Settings
from pyinfra import host

from operations import torch

torch.rollback(
    name="Go back to the generation before",
    settings=Settings.from_data(host.data.dict()),
    generation=host.data.get("generation"),
)
