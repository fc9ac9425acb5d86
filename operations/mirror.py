"""A caching mirror of wheels on a host of the fleet: nginx under the root directory.

What it is told belongs to root; nginx runs as a user of its own, who owns two directories in there.
"""

import hashlib
import re
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from pyinfra import host, inventory, logger
from pyinfra.api import (
    Host,
    OperationError,
    QuoteString,
    StringCommand,
    operation,
)
from pyinfra.api.command import PyinfraCommand
from pyinfra.operations import server, systemd
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from fleetwheel.choice.request import project_of
from fleetwheel.delivery import mirror
from fleetwheel.errors import FleetwheelError, RefusedError
from fleetwheel.facts.mirror import Ground, MirrorGround
from fleetwheel.facts.traces import Traces
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import lock as locks
from fleetwheel.matrix.variant import CPU
from fleetwheel.operations import _push, _report
from fleetwheel.operations._delivery import mirror_address
from fleetwheel.operations._host_state import alone, answered, fact
from fleetwheel.operations._removal import Removal
from fleetwheel.operations._step import step
from fleetwheel.operations._steps import LOCKS
from fleetwheel.render import render
from fleetwheel.reporting.report import HostReport
from fleetwheel.sources.configured import certificate, configured_sources, official_source
from fleetwheel.sources.survey import survey

USER = "fleetwheel-mirror"
SERVICE = "fleetwheel-mirror.service"
UNIT = f"/etc/systemd/system/{SERVICE}"
START_S = 15
DIRECTORIES = """
umask 022
mkdir -p "$0" && chown "$1:" "$0/." && chmod 755 "$0/." || exit
for place in "$0/cache" "$0/run"; do
    if test -L "$place" || test ! -d "$place"; then
        rm -f "$place" && mkdir "$place" || exit
    fi
    chown -h "$2:" "$place" && chmod 700 "$place" || exit
done
"""
"""A shell's program, for the mirror's directory, its owner and the user that nginx runs as."""
RELOAD_OR_START = """
pid=$(timeout 2 head -c 20 "$0/run/nginx.pid" 2>/dev/null)
test "$pid" && grep -qx nginx "/proc/$pid/comm" && kill -HUP "$pid" ||
    (cd / && "$@" </dev/null >/dev/null 2>&1)
"""
"""A shell's program, for the mirror's directory and nginx's command; nginx leaves by itself.

What nginx's user put in the place of a file may have no end.
"""
STOP = """
pid=$(timeout 2 head -c 20 "$0/run/nginx.pid" 2>/dev/null)
test "$pid" && grep -qx nginx "/proc/$pid/comm" || exit 0
kill "$pid"
for second in 1 2 3 4 5 6 7 8 9 10; do
    test -d "/proc/$pid" || exit 0
    sleep 1
done
echo "nginx does not end: process $pid" >&2
exit 1
"""
"""A shell's program, for the mirror's directory."""
REMOVE = """
for name in cache run nginx.conf ca.pem; do rm -rf -- "$0/$name" || exit; done
rmdir -- "$0" 2>/dev/null || test ! -e "$0" || echo "$0 stays: it holds something else" >&2
"""
"""A shell's program, for the mirror's directory."""
REMOVE_USER = 'userdel "$0" 2>/dev/null || deluser "$0"'


@operation()
def caching_proxy(settings: Settings) -> Generator[PyinfraCommand]:
    """
    Make the host a caching mirror of the wheel sources, if it is the one that the inventory names.

    + settings: what the inventory says about the host

    nginx has to be installed; its own service is neither used nor changed.

    **Example:**

    .. code:: python

        mirror.caching_proxy(
            name="Serve wheels from the sources, each fetched once",
            settings=settings(),
        )
    """
    yield from alone(_caching_proxy(settings))


def _caching_proxy(settings: Settings) -> Generator[PyinfraCommand]:
    if not _is_mirror(settings):
        host.noop(f"{settings.mirror} is the mirror")
        return
    directory, ground = _directory(settings)
    upstreams = _upstreams(settings)
    texts = _texts(settings, directory, ground, upstreams)
    address = mirror_address(settings)
    served = tuple(upstream.url for upstream in upstreams)
    why = f"{address} serves wheels from {', '.join(served)}"
    as_it_should_be = all(
        ground.files.get(name) == _sha256(text) for name, text in texts.items()
    ) and all(ground.places.get(name) == place for name, place in _places(ground, texts).items())
    if as_it_should_be and _answer(address) == served:
        _report.record(HostReport(name=host.name, status="unchanged", why=why))
        host.noop(why)
        return
    about = HostReport(name=host.name, status="would change", why=why)
    _report.record(about)
    yield from _own(directory, ground)
    for name, text in texts.items():
        yield from _push.put_text(text, _path(directory, name), "644")
    yield from _start(directory, ground)
    yield step(about, _await, address, served, why)


def mirror_removal(settings: Settings, directory: str, there: Traces) -> Removal | None:
    """
    Return what takes the mirror off the host; None where there is none.

    + directory: the mirror's
    + there: which of ``directory`` and ``UNIT`` there are, and whether there is ``USER``

    Raises FleetwheelError for one that the inventory still names.
    """
    service = there.root and UNIT in there.paths
    if not (directory in there.paths or service or (there.root and there.user)):
        return None
    if settings.mirror and _means_host(settings.mirror):
        raise RefusedError(
            f"the inventory names this host as the mirror: {settings.mirror}",
            hint="take `mirror` out of it, or name another one, then run again",
        )
    return Removal("the mirror", list(_taken_away(directory, there)), there.paths.get(directory, 0))


def _taken_away(directory: str, there: Traces) -> Iterator[StringCommand]:
    if there.root and UNIT in there.paths:
        if there.systemd:
            yield StringCommand("systemctl", "disable", "--now", SERVICE)
        yield StringCommand("rm", "-f", UNIT)
        if there.systemd:
            yield StringCommand("systemctl", "daemon-reload")
    if directory in there.paths:
        as_daemon = ("runuser", "-u", USER, "--") if there.root and there.user else ()
        yield StringCommand(*as_daemon, "sh", "-c", QuoteString(STOP), QuoteString(directory))
        yield StringCommand("sh", "-c", QuoteString(REMOVE), QuoteString(directory))
    if there.root and there.user:
        yield StringCommand("sh", "-c", QuoteString(REMOVE_USER), USER)


def _means_host(named: str) -> bool:
    """Whether the host of the moment is meant by a mirror of the inventory."""
    return mirror.mirror_host(named) in (host.name, host.data.get("ssh_hostname"))


def _is_mirror(settings: Settings) -> bool:
    """Whether the host of the moment is the one that the inventory names."""
    if settings.mirror is None:
        raise FleetwheelError("no mirror is named", hint="write mirror: HOST under defaults")
    wanted = mirror.mirror_host(settings.mirror)
    names = {other.name: (other.name, other.data.get("ssh_hostname")) for other in inventory}
    if not any(wanted in name for name in names.values()):
        raise FleetwheelError(
            f"mirror: {settings.mirror} is no host of the inventory",
            hint="name one of its hosts, or set that mirror up by hand",
        )
    return wanted in names[host.name]


def _directory(settings: Settings) -> tuple[str, Ground]:
    """Return the mirror's directory and what the host has for it."""
    facts = answered(settings)
    directory = f"{facts.installation.root}/mirror"
    if facts.profile.os != "linux" or not re.fullmatch(r"[\w./+-]+", directory):
        raise FleetwheelError(
            f"{directory} cannot be the directory of a mirror",
            hint="take a Linux host, and a root directory of plain letters",
        )
    ground = fact(MirrorGround, directory=directory, unit=UNIT, _timeout=settings.fact_timeout)
    if ground is None or not (ground.nginx and ground.nameservers):
        lacks = "a name server in /etc/resolv.conf" if ground and ground.nginx else "nginx"
        raise FleetwheelError(
            f"{host.name} lacks {lacks}, which the mirror needs",
            hint="install nginx or nginx-light; its own service may stay off",
        )
    return directory, ground


def _upstreams(settings: Settings) -> tuple[mirror.Upstream, ...]:
    """Return where wheels come from: the sources, what they list, and the locks there are.

    What a source that is silent today has listed before is still served.
    """
    sources = [*configured_sources(settings.own_sources), official_source(CPU)]
    projects = ["torch", *map(project_of, settings.packages)]
    surveyed = survey(sources, projects)
    for warning in surveyed.warnings:
        logger.warning(warning)
    made = [locks.load_lock(LOCKS, path.name) for path in sorted(LOCKS.glob("pylock.*.toml"))]
    locked = [url for lock in made if lock for url in lock.urls.values()]
    before = _answer(mirror_address(settings)) if surveyed.silent else ()
    listed = [wheel.url for wheel in surveyed.wheels]
    return mirror.upstreams(sources, [*listed, *locked, *before])


def _texts(
    settings: Settings, directory: str, ground: Ground, upstreams: tuple[mirror.Upstream, ...]
) -> dict[str, str]:
    """Return the files of the mirror: name in its directory, or path, to text."""
    bundle = Path(certificate() or DEFAULT_CA_BUNDLE_PATH)
    configuration = render(
        "mirror.nginx.conf.j2",
        directory=directory,
        nameservers=[f"[{name}]" if ":" in name else name for name in ground.nameservers],
        cache_gb=settings.mirror_gb,
        port=mirror.port_of(str(settings.mirror)),
        status_path=mirror.PATH,
        wheel=mirror.WHEEL,
        upstreams=upstreams,
    )
    texts = {"nginx.conf": configuration, "ca.pem": bundle.read_text(encoding="utf-8")}
    if ground.systemd and ground.root:
        command = " ".join(_nginx(directory, ground))
        texts[UNIT] = render("mirror.service.j2", user=USER, directory=directory, command=command)
    return texts


def _nginx(directory: str, ground: Ground) -> list[str]:
    return [str(ground.nginx), "-e", f"{directory}/run/error.log", "-c", f"{directory}/nginx.conf"]


def _places(ground: Ground, names: Iterable[str]) -> dict[str, str]:
    """Return the owner, mode and kind that each place of the mirror must have."""
    daemon = f"{_daemon(ground)} 700 directory"
    texts = dict.fromkeys(names, f"{ground.user} 644 regular file")
    return {".": f"{ground.user} 755 directory", "cache": daemon, "run": daemon, **texts}


def _daemon(ground: Ground) -> str:
    """Return the user that nginx runs as: never root."""
    return USER if ground.root else ground.user


def _path(directory: str, name: str) -> str:
    return name if name.startswith("/") else f"{directory}/{name}"


def _own(directory: str, ground: Ground) -> Iterator[PyinfraCommand]:
    """Yield what makes the directories, and takes back what the mirror's user must not change."""
    if ground.root:
        try:
            yield from server.user._inner(  # noqa: S604 (the shell is that of a user)
                USER, system=True, shell="/usr/sbin/nologin", home="/", ensure_home=False
            )
        except OperationError as error:  # it cannot have one
            raise FleetwheelError(str(error)) from error
    values = (DIRECTORIES, directory, ground.user, _daemon(ground))
    yield StringCommand("sh", "-c", *map(QuoteString, values))


def _start(directory: str, ground: Ground) -> Iterator[PyinfraCommand]:
    """Yield what has nginx run with its configuration, never as root."""
    nginx = [QuoteString(word) for word in _nginx(directory, ground)]
    as_daemon = ["timeout", "60"]
    if ground.root:
        as_daemon += ["runuser", "-u", USER, "--"]
    yield StringCommand(*as_daemon, *nginx, "-t", "-q")
    if ground.systemd and ground.root:
        yield StringCommand("systemctl", "enable", SERVICE)
        yield from systemd.service._inner(SERVICE, reloaded=True, daemon_reload=True)
        return
    logger.warning(f"{host.print_prefix}no service: after a reboot, run deploys/mirror.py again")
    script = map(QuoteString, (RELOAD_OR_START, directory))
    yield StringCommand(*as_daemon, "sh", "-c", *script, *nginx)


def _answer(address: str) -> tuple[str, ...]:
    try:
        return mirror.served_sources(address)
    except FleetwheelError:
        return ()


def _await(host: Host, address: str, served: tuple[str, ...], why: str) -> None:
    """Wait until the mirror answers with what it is to serve."""
    deadline = time.monotonic() + START_S
    while _answer(address) != served:
        if time.monotonic() > deadline:
            raise FleetwheelError(
                f"{address} does not answer", hint="see run/error.log there, and its firewall"
            )
        time.sleep(0.2)
    _report.record(HostReport(name=host.name, status="changed", why=why))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
