"""Have the host with the project directory look for drift at regular times.

pyinfra inventory.py deploys/schedule.py
"""

from operations import schedule
from operations.settings import settings

schedule.drift_check(
    name="Look for drift at regular times",
    settings=settings(),
)
