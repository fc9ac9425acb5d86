"""What fleetwheel has put under its root directory on a host."""

import re
from collections import defaultdict

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fleetwheel.collectors._answer import Section, first, unfinished
from fleetwheel.host.environment import DEFAULT
from fleetwheel.host.profile import Generation, Installation

METADATA = re.compile(r"([^/]+)/lib/[^:]*/([^/:]+)\.dist-info/METADATA:(Name|Version): *(.*)")
CONFIG = re.compile(r"([^/]+)/pyvenv\.cfg:(\w+) *= *(.*)")
UV = re.compile(r"(?:uv-|uv )(?P<version>[0-9][0-9A-Za-z.]*)(?:-[0-9a-f]{16}| .*)?")
"""What ``bin/uv`` leads to, ``uv-0.13.9-1f2e3d4c5b6a7980``; on Windows what it says of itself."""
SHA256 = re.compile("[0-9a-f]{64}")
NODE = re.compile("node-([0-9a-f]{16})")
CURRENT = re.compile(r"envs/([^/.][^/]*)")
LINK = re.compile(rf"([a-z][a-z0-9_-]{{0,31}}) \.\./{CURRENT.pattern}")
"""What links lead to that fleetwheel makes (node/link.py); by others nothing is in use."""
LOCK = re.compile(r"([0-9a-f]{64}) [ *]([^/]+)/pylock\.toml")


def parse_environments(section: Section) -> Installation:
    """Read the answer of the section ``environments``; ValueError when it has not ended."""
    if unfinished(section):
        raise ValueError(f"looking into {first(section, 'root') or 'the root'} took too long")
    current = CURRENT.fullmatch(first(section, "current"))
    mount = [*first(section, "mount").split(" "), "", "", ""]
    uv = UV.fullmatch(first(section, "uv"))
    return Installation(
        root=first(section, "root").replace("\\", "/"),
        user=first(section, "user"),
        exists="exists" in section,
        writable="writable" in section,
        distrusted=first(section, "distrusted"),
        free_bytes=(
            _free_bytes(section["free"])
            if "free" in section
            else _windows_free(first(section, "dir"))
        ),
        file_system=mount[2],
        mount_options=tuple(mount[3].split(",")) if mount[3] else (),
        uv=uv["version"] if uv else None,
        current=current[1] if current else None,
        environments=_environments(section.get("environment", [])),
        default=_default(section.get("environment", [])),
        generations=_generations(section),
        wheels=tuple(filter(SHA256.fullmatch, section.get("wheel", []))),
        node=tuple(f[1] for f in map(NODE.fullmatch, section.get("node", [])) if f),
        record="\n".join(section.get("record", [])),
    )


def _environments(lines: list[str]) -> dict[str, str]:
    """Return the generation that each environment points at; ``current`` says that of default."""
    found = filter(None, map(LINK.fullmatch, lines))
    return {link[1]: link[2] for link in found if link[1] != DEFAULT}


def _default(lines: list[str]) -> str:
    return next((line.partition(" ")[2] for line in lines if line.startswith("default ")), "")


def _free_bytes(df: list[str]) -> int | None:
    """Return the free space that ``df -Pk`` names: size, used, free, percent, in KiB."""
    for line in df:
        fields = re.search(r" [0-9]+ +[0-9]+ +([0-9]{1,15}) +(?:[0-9]+%|-) ", line)
        if fields:
            return int(fields[1]) * 1024
    return None


def _windows_free(words: str) -> int | None:
    """Return the free space that the last line of ``dir /-c`` names, whatever its language."""
    numbers = [int(number) for number in re.findall("[0-9]{1,18}", words)]
    return max(numbers, default=None)


def _generations(section: Section) -> tuple[Generation, ...]:
    packages = _packages(section.get("package", []))
    configs: dict[str, dict[str, str]] = defaultdict(dict)
    for line in section.get("config", []):
        if config := CONFIG.fullmatch(line):
            configs[config[1]][config[2]] = config[3]
    locks = {lock[2]: lock[1] for line in section.get("lock", []) if (lock := LOCK.fullmatch(line))}
    runs = set(section.get("runs", []))
    return tuple(
        Generation(
            id=id,
            python=_interpreter(configs[id]) if id in runs else "",
            lock=locks.get(id, ""),
            packages=packages[id],
        )
        for id in sorted(section.get("generation", []))
    )


def _interpreter(config: dict[str, str]) -> str:
    """Return the interpreter that a pyvenv.cfg names, by uv's keys or the standard library's."""
    if re.match(r"[A-Za-z]:\\", config.get("home", "")):
        return config["home"].rstrip("\\") + r"\python.exe"
    version = config.get("version_info") or config.get("version", "")
    minor = ".".join(version.split(".")[:2])
    return f"{config['home']}/python{minor}" if config.get("home") else ""


def _packages(lines: list[str]) -> dict[str, dict[str, str]]:
    """Return the packages of each generation: normalised name to full version.

    A package that is there twice, as damage leaves it, gets both versions, which equal no lock.
    """
    metadata: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for line in lines:
        if found := METADATA.fullmatch(line):
            metadata[found[1], found[2]].setdefault(found[3], found[4])
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (generation, _), fields in metadata.items():
        name = canonicalize_name(fields.get("Name", ""))
        versions[generation][name].append(_normal(fields.get("Version", "")))
    packages: dict[str, dict[str, str]] = defaultdict(dict)
    for generation, installed in versions.items():
        packages[generation] = {name: ", ".join(found) for name, found in sorted(installed.items())}
    return packages


def _normal(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:
        return version
