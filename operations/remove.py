"""What goes off a host: environments that the inventory does not name any more, and the rest."""

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

from pyinfra import host, logger
from pyinfra.api import Host, QuoteString, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from fleetwheel.deploy import record as records
from fleetwheel.deploy.hold import held
from fleetwheel.deploy.record import State
from fleetwheel.deploy.removal import (
    Leaving,
    environments_of,
    leaving,
    refuse_held,
    refuse_used,
    remover,
    tense,
    what_of_root,
)
from fleetwheel.errors import FleetwheelError, RefusedError
from fleetwheel.facts.traces import HostTraces, Traces
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _node, _probe, _report
from fleetwheel.operations._environments import each_environment
from fleetwheel.operations._host_state import fact, with_answer
from fleetwheel.operations._removal import Removal
from fleetwheel.operations._step import environment_failed, environment_step, step
from fleetwheel.operations.mirror import UNIT, USER, mirror_removal
from fleetwheel.operations.schedule import schedule_removal
from fleetwheel.reporting.report import EnvironmentReport, HostReport
from fleetwheel.schedule import check, pull

WHAT = ("environments", "schedule", "mirror", "everything")
NOTHING = "nothing to remove"
KEPT = (check.STATE, pull.STATE)
"""What checks and pulls keep on a Linux host."""


@operation()
def leftovers(
    settings: Settings, what: str | None = None, in_use: bool = False
) -> Generator[PyinfraCommand]:
    """
    Take away the environments that the host has and the inventory does not name any more.

    + settings: what the inventory says about the host; ``environment`` names those that are meant
    + what: ``schedule``, ``mirror`` or ``everything`` of fleetwheel, instead of ``environments``
    + in_use: also take away what a process runs from

    Generations go that no other environment names, and from the caches what only they needed.

    **Example:**

    .. code:: python

        remove.leftovers(
            name="Take away what the inventory does not name any more",
            settings=settings(),
        )
    """
    yield from with_answer(settings, partial(_leftovers, what or "environments", in_use))


def _leftovers(
    what: str, in_use: bool, settings: Settings, facts: HostState
) -> Generator[PyinfraCommand]:
    if what not in WHAT:
        raise FleetwheelError(f"--data what={what}: is none of {', '.join(WHAT)}")
    state = records.parse_state(facts.installation.record)
    if what == "environments":
        yield from _environments(settings, facts, state, in_use)
        return
    if settings.environment:
        raise FleetwheelError(
            f"what={what} and environment={','.join(settings.environment)} contradict each other",
            hint="leave one of them out",
        )
    yield from _all_of(facts, _removals(what, settings, facts, state, in_use))


def _environments(
    settings: Settings, facts: HostState, state: State, in_use: bool
) -> Generator[PyinfraCommand]:
    names = leaving(settings, facts.installation, state)
    if not names:
        _nothing(facts)
        return
    on_hold = {name: why for name in names if (why := held(state.environments.get(name), settings))}
    free = [name for name in names if name not in on_hold]
    going = _look(settings, facts, "removal", environments=free, used=in_use) if free else {}

    def steps(name: str, settings: Settings) -> Iterator[PyinfraCommand]:
        about = _about(name, state)
        if name in on_hold:
            environment_failed(host, about, RefusedError(on_hold[name]))
            return
        yield from _environment(about, going["removal"][name], settings, facts, in_use)

    yield from each_environment(facts, dict.fromkeys(names, settings), steps)


def _about(name: str, state: State) -> EnvironmentReport:
    record = state.environments.get(name)
    return EnvironmentReport(
        name=name,
        status="would change",
        choice=record.choice if record else None,
        generation=record.generation if record else None,
    )


def _environment(
    about: EnvironmentReport,
    going: Mapping[str, Any],
    settings: Settings,
    facts: HostState,
    in_use: bool,
) -> Iterator[PyinfraCommand]:
    if not in_use:
        try:
            refuse_used(DEFAULT if about.name == DEFAULT else "it", going["users"])
        except RefusedError as error:
            environment_failed(host, about, error)
            return
    answer = (going["generations"], going["bytes"], going["foreign"], going["users"])
    gone = Leaving(about.name, *answer, going["published"])
    said = about.model_copy(update={"why": gone.told()})
    _report.record_environment(host.name, said)
    place = "" if about.name == DEFAULT else f"{about.name}: "
    logger.info(f"{host.print_prefix}{place}{said.why}")
    yield environment_step(said, _remove, said, gone, settings, facts, in_use)


def _remove(
    host: Host,
    about: EnvironmentReport,
    planned: Leaving,
    settings: Settings,
    facts: HostState,
    in_use: bool,
) -> None:
    given = {"environment": about.name, "used": in_use}
    answer = _act(host, settings, facts, "remove", **given)
    gone = planned._replace(
        generations=answer["removed"],
        bytes=answer["bytes"],
        foreign=answer["foreign"],
        published=answer["published"],
    )
    done = about.model_copy(update={"status": "changed", "why": gone.told(done=True)})
    _report.record_environment(host.name, done)


def _look(settings: Settings, facts: HostState, action: str, **input: Any) -> dict[str, Any]:
    """Have the host say what would go, which changes nothing there."""
    root = facts.installation.root
    python = remover(facts.profile, root).path
    return _probe.run_probe(host, python, action, {"root": root, **input}, settings.smoke_timeout)


def _act(
    host: Host, settings: Settings, facts: HostState, action: str, **input: Any
) -> dict[str, Any]:
    root = facts.installation.root
    python = remover(facts.profile, root).path
    return _probe.generation(host, python, action, root, settings.install_timeout, **input)


def _nothing(facts: HostState) -> None:
    entry = HostReport(name=host.name, status="unchanged", why=NOTHING, profile=facts.profile)
    _report.record(entry)
    host.noop(NOTHING)


def _removals(
    what: str, settings: Settings, facts: HostState, state: State, in_use: bool
) -> list[Removal]:
    """Return what goes, in this order: nothing runs any more when the root goes."""
    everything, linux = what == "everything", facts.profile.os == "linux"
    directory = f"{facts.installation.root}/mirror"
    there = _traces(settings, directory) if linux else Traces()
    found: list[Removal | None] = []
    if everything:
        refuse_held(settings, state)
        last = _root(settings, facts, state, in_use)
    if what == "schedule" or (everything and (there.root or not linux)):
        found.append(schedule_removal(settings))
    if what == "mirror" or everything:
        found.append(mirror_removal(settings, directory, there))
    if everything:
        found += [_kept(there), last]
    return [removal for removal in found if removal]


def _traces(settings: Settings, directory: str) -> Traces:
    paths = (directory, UNIT, *KEPT)
    found = fact(HostTraces, paths=paths, user=USER, _timeout=settings.fact_timeout)
    if found is None:
        raise FleetwheelError("what deploys have left on it cannot be read")
    return found


def _kept(there: Traces) -> Removal | None:
    """Return what takes away what checks and pulls keep, which belongs to root's schedules."""
    paths = [path for path in KEPT if path in there.paths]
    if not paths or not there.root:
        return None
    remove = StringCommand("rm", "-rf", "--", *map(QuoteString, paths))
    return Removal(" and ".join(paths), [remove], sum(there.paths[path] for path in paths))


def _root(settings: Settings, facts: HostState, state: State, in_use: bool) -> Removal | None:
    """Return what takes away what is fleetwheel's under its root."""
    there = facts.installation
    if not there.exists:
        return None
    going = _look(settings, facts, "leftovers", others=["mirror"])
    if not going["there"]:
        return None
    if not in_use:
        refuse_used("all of it", going["users"])
    names = environments_of(there, state)
    answer = (going["foreign"], going["users"], going["linked"], going["published"])
    said, besides = what_of_root(there.root, names, *answer)
    steps = [step(None, _uninstall, settings, facts, in_use)]
    return Removal(said, steps, going["bytes"], besides)


def _uninstall(host: Host, settings: Settings, facts: HostState, in_use: bool) -> None:
    _act(host, settings, facts, "uninstall", used=in_use)
    _node.forget_program(host)


def _all_of(facts: HostState, removals: list[Removal]) -> Generator[PyinfraCommand]:
    if not removals:
        _nothing(facts)
        return
    what = "; ".join(removal.said for removal in removals)
    freed = sum(removal.freed_bytes for removal in removals)
    besides = "".join(removal.besides for removal in removals)
    why = f"{tense(what, freed, done=False)}{besides}"
    about = HostReport(name=host.name, status="would change", why=why, profile=facts.profile)
    _report.record(about)
    logger.info(f"{host.print_prefix}{why}")
    for removal in removals:
        yield from removal.steps
    yield step(about, _done, about, f"{tense(what, freed, done=True)}{besides}")


def _done(host: Host, about: HostReport, why: str) -> None:
    _report.record(about.model_copy(update={"status": "changed", "why": why}))
