"""What a build takes to the host of the moment, and how much that is."""

from urllib.parse import urlsplit

from fleetwheel.delivery import mirror
from fleetwheel.delivery.distribution import (
    lenders,
    require_own_files,
    require_public,
    require_unchanged,
)
from fleetwheel.delivery.proxy import variables
from fleetwheel.delivery.space import amount, download_bytes, missing_wheels, needed_bytes
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.own_wheel import own_requirement
from fleetwheel.operations._delivery import delivery, mirror_address, places
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._steps import (
    uv_to_send,
)
from fleetwheel.sources.configured import configured_sources, uv_credentials
from fleetwheel.sources.survey import sizes


def prepare_transfer(deployment: Deployment) -> Transfer:
    """Find out what a build takes to the host, and how much that is."""
    lock, settings = deployment.lock, deployment.settings
    there = deployment.facts.installation
    sources = configured_sources(settings.own_sources)
    own = filter(None, [own_requirement(deployment.request.team)])
    require_own_files(lock, sources, [*settings.packages, *own])
    how = delivery(settings, lock, deployment.root)
    parcels = {parcel.url: parcel for parcel in how.parcels}
    fetched = {name: url for name, url in missing_wheels(lock, there).items() if url not in parcels}
    lacking = [parcel for parcel in parcels.values() if parcel.sha256 not in there.wheels]
    pushed = {parcel.filename: parcel.url for parcel in lacking}
    wheels = fetched | pushed
    require_public(lock, wheels.values(), sources)
    require_unchanged(lock, wheels.values())
    lent = lenders(lock, sources)
    known = sizes(list(wheels.values()), lent)
    ways = {"to fetch": fetched, "to send": pushed}
    amounts = [f"{amount(each, known)} {way}" for way, each in ways.items() if each]
    built = needed_bytes(lock, download_bytes(wheels, known))
    return Transfer(
        summary=", ".join(amounts) or "nothing to fetch",
        uv=uv_to_send(deployment.facts),
        needed_bytes=built + download_bytes(pushed, known),
        environment=uv_credentials(lent, fetched.values()) | _network(settings),
        delivery=how,
        places=places(settings, fetched.values()),
        sources=lent,
    )


def _network(settings: Settings) -> dict[str, str]:
    """Return the variables by which uv on the host reaches proxy and mirror."""
    if settings.distribution != "mirror":
        return variables(settings.proxy)
    near = str(urlsplit(mirror_address(settings)).hostname)
    return variables(settings.proxy, [near]) | {"UV_HTTP_TIMEOUT": mirror.PATIENCE}
