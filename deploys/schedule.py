"""Have hosts look for drift, or pull what they should be, at regular times.

pyinfra inventory.py deploys/schedule.py
pyinfra inventory.py deploys/schedule.py --data mode=pull
"""

from pyinfra import host

from fleetwheel.operations import schedule
from fleetwheel.operations.settings import settings

schedule.regularly(
    name="Look for drift, or pull, at regular times",
    settings=settings(),
    mode=host.data.get("mode"),
)
