"""The hosts of a uniform group, asked so that all of them meet the same release."""

from pyinfra import host, inventory, logger, state
from pyinfra.api import Host
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.context import ctx_host

from fleetwheel.deploy import record as records
from fleetwheel.deploy.decider import Member, takes_cuda
from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations._host_state import host_state

_left_out: set[str] = set()


def members(environment: str, settings: Settings) -> list[Member]:
    """
    Return the CUDA hosts of this host's group; one that cannot be asked is left out, and named.

    + environment: the one that has to be the same on all of them
    + settings: what the inventory says about it on this host

    Hosts outside of ``--limit`` are asked as well: they belong to the group.
    """
    found = [_member(other, environment, settings.uniform) for other in inventory]
    return [member for member in found if member and _takes_cuda(member)]


def _takes_cuda(member: Member) -> bool:
    return takes_cuda(member.profile, member.request)


def _member(other: Host, environment: str, group: bool | str) -> Member | None:
    """Return what a host brings into a group; None for one of others, or that gives no answer."""
    own = None
    try:
        settings = Settings.from_data(other.data.dict())
        own = settings.by_environment().get(environment)
        if own is None or own.uniform != group:
            return None
        if other not in state.failed_hosts:
            with ctx_host.use(other):
                facts = host_state(settings)
            if facts:
                found = records.parse_state(facts.installation.record)
                record = found.environments.get(environment)
                return Member(facts.profile, own.request, record, other.name)
    except (ConnectError, FleetwheelError) as error:
        logger.debug(f"{other.name}: {error}")
    except PyinfraError:  # no host is left
        raise
    except Exception as error:
        logger.debug(f"{other.name}: {unforeseen(error)}")
    if group in (own.uniform if own else None, other.data.get("uniform")):
        _warn(other)
    return None


def _warn(other: Host) -> None:
    if other.name not in _left_out:
        _left_out.add(other.name)
        text = f"{other.name} cannot be asked: the others of its uniform group are chosen without"
        logger.warning(f"{host.print_prefix}{text} it")
