"""What people find an environment by, outside of the root: a kernelspec and a module file.

A controller says what they hold. Whose they are stands in them (``mark_of``): what somebody else
has put in such a place is neither replaced nor removed, and none is used that others can change.
Where that stands in the place of a file of ours, drift goes on naming it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from urllib.parse import quote

from fleetwheel.node.kept import reader_differences
from fleetwheel.node.moving import move
from fleetwheel.node.readers import give, is_open_to_all, number_of, readers
from fleetwheel.node.root import prepare
from fleetwheel.node.state import believed, records
from fleetwheel.node.trust import why_distrusted

NOTHING: Mapping[str, Any] = {"wanted": {}, "group": None, "users": (), "groups": ()}
"""An environment that nobody is told of, and that all may read."""
KINDS = {"jupyter": "kernelspec", "modules": "module file"}
KERNELS, OWN_KERNELS = "/usr/local/share/jupyter/kernels", "~/.local/share/jupyter/kernels"
"""Where every Jupyter of a machine looks, and where one of this user does: jupyter_core's paths."""
MODULES = ("/etc/modulefiles", "/etc/lmod/modules", "/etc/environment-modules/modules")
"""Where module commands look, if they are there: those of Red Hat's and of Debian's packages."""
LONGEST = 1 << 16
"""Bytes of what is read of a file that may be anybody's."""


class Signpost(NamedTuple):
    """A file that people are to find."""

    kind: str
    path: Path
    text: str

    @property
    def name(self) -> str:
        return f"{KINDS[self.kind]} {self.path}"


class Found(NamedTuple):
    """A difference in what people find an environment by."""

    what: str
    expected: str
    found: str


class Publication(NamedTuple):
    """What has to happen so that people find an environment."""

    write: tuple[Signpost, ...]
    remove: tuple[Path, ...]
    published: dict[str, str]
    """Path to SHA-256 of what stands there afterwards: for the record."""
    obstacles: tuple[str, ...]
    """What is not done and why, one sentence each."""
    differences: tuple[Found, ...]
    replaced: tuple[Found, ...]
    """What a deploy leaves as it is, where a file of ours once stood."""


def publication(
    generation: Path, environment: str, recorded: Mapping[str, str], publish: Mapping[str, Any]
) -> Publication:
    """Compare what stands in the places of an environment with what should; change nothing.

    ``recorded`` is what stood there after the last deploy. ``publish`` has what is ``wanted``, the
    ``group`` of readers, and ``users`` and ``groups`` that are trusted besides.
    """
    mark, group = mark_of(generation.parents[1], environment), number_of(publish["group"])
    write, published, obstacles, replaced = [], {}, [], []
    for post in signposts(generation, publish["wanted"]):
        path = str(post.path)
        if why := why_left(post.path, mark, publish):
            obstacles.append(f"no {KINDS[post.kind]}: {why}")
            if path in recorded:
                published[path] = recorded[path]
                replaced.append(Found(post.name, "as deployed", why))
            continue
        published[path] = hashlib.sha256(post.text.encode()).hexdigest()
        if not stands(post, group):
            write.append(post)
    unwanted = [Path(path) for path in recorded if path not in published]
    remove = [path for path in unwanted if not why_left(path, mark, publish) and path.exists()]
    differences = [Found(post.name, "as deployed", seen(post.path)) for post in write]
    differences += [Found(str(path), "not there", still(path)) for path in unwanted]
    known = {*recorded, *(str(post.path) for post in write)}
    unknown = [path for path in published if path not in known]
    differences += [Found(path, "in the record", "not there") for path in unknown]
    return Publication(
        tuple(write),
        tuple(remove),
        published,
        tuple(obstacles),
        tuple(differences),
        tuple(replaced),
    )


def looked(root: str, id: str, environment: str, publish: Mapping[str, Any]) -> dict[str, Any]:
    """Say how the readers of an environment and what it is found by differ; change nothing."""
    generation = Path(root) / "envs" / id
    record = records(Path(root)).get(environment, {})
    made = publication(generation, environment, published_in(record), publish)
    others = reader_differences(Path(root), environment, id, publish["group"])
    differences = [each._asdict() for each in [*map(Found._make, others), *made.differences]]
    replaced = [each._asdict() for each in made.replaced]
    return {"differences": differences, "replaced": replaced, "obstacles": [*made.obstacles]}


def carry_out(made: Publication, group: int | None) -> None:
    """Write and remove what a publication says."""
    for post in made.write:
        put_up(post, group)
    for path in made.remove:
        take_away(path)


def found_by(root: Path, environment: str) -> tuple[list[Path], list[Path]]:
    """Return the files that an environment is found by: those that go with it, and what stays."""
    record = records(root).get(environment, {})
    mark, trust = mark_of(root, environment), believed(record)
    there = [path for path in map(Path, published_in(record)) if os.path.lexists(str(path))]
    going = [path for path in there if not why_left(path, mark, trust)]
    return going, [path for path in there if path not in going]


def published_in(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what a record says of where people find its environment."""
    found = record.get("published")
    return found if isinstance(found, dict) else {}


def mark_of(root: PurePath, environment: str) -> str:
    """Return what stands in a file that is fleetwheel's, for this environment of this root."""
    return f"Written by fleetwheel for {quote(f'{root.as_posix()}/environments/{environment}')}:"


def signposts(generation: Path, wanted: Mapping[str, Mapping[str, Any]]) -> list[Signpost]:
    """Return the files that people are to find on this host."""
    return [
        Signpost(kind, Path(directory) / each["name"], each["text"])
        for kind, each in wanted.items()
        for directory in directories(generation, kind, each["place"])
    ]


def directories(generation: Path, kind: str, place: str | None) -> list[str]:
    """Return where files of a kind belong: in the ``place`` that was named, or where they serve.

    What root deploys is for all, and so serves where all can get to it and to its interpreter.
    """
    if sys.platform == "win32":
        return []
    if place:
        return [os.path.expanduser(place)]  # noqa: PTH111 - a text comes and goes
    if os.geteuid() != 0:
        return [os.path.expanduser(OWN_KERNELS)] if kind == "jupyter" else []  # noqa: PTH111
    interpreter = Path(os.path.realpath(str(generation / "bin/python")))
    if not (is_open_to_all(generation.parents[1]) and is_open_to_all(interpreter.parent)):
        return []
    return [KERNELS] if kind == "jupyter" else [each for each in MODULES if Path(each).is_dir()]


def why_left(path: Path, mark: str, trust: Mapping[str, Any]) -> str:
    """Return why a file is neither written nor removed; empty where it can be."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(str(place)))
    if there == path and not is_marked(path, mark):
        return f"{path} is somebody else's, and stays"
    why = why_distrusted(there, "trusts", users=trust["users"], groups=trust["groups"])
    if why:
        return f"others can change {path}: {why}"
    if not os.access(str(path.parent if there == path else there), os.W_OK):
        return f"{path} cannot be written"
    return ""


def is_marked(path: Path, mark: str) -> bool:
    return path.is_file() and not path.is_symlink() and mark in text_of(path)


def text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def stands(post: Signpost, group: int | None) -> bool:
    """Whether a file is as it should be, and its readers are."""
    places = (post.path, post.path.parent) if post.kind == "jupyter" else (post.path,)
    return (
        post.path.is_file()
        and text_of(post.path) == post.text
        and all(readers(place) == group for place in places)
    )


def seen(path: Path) -> str:
    return "changed" if os.path.lexists(str(path)) else "not there"


def still(path: Path) -> str:
    return "still there" if os.path.lexists(str(path)) else "still in the record"


def put_up(post: Signpost, group: int | None) -> None:
    """Write a file in one step; the directory of a kernelspec is that of its environment alone."""
    directory = post.path.parent
    for missing in [each for each in (directory, *directory.parents) if not each.exists()][::-1]:
        missing.mkdir()
        give(missing, None)
    prepared = prepare(post.path, post.text)
    give(prepared, group)
    move(prepared, post.path)
    if post.kind == "jupyter":
        give(directory, group)


def take_away(path: Path) -> None:
    """Remove a file, and its directory where that held nothing else and bears our name."""
    path.unlink()
    if path.parent.name.startswith("fleetwheel"):
        with suppress(OSError):
            path.parent.rmdir()


def lost(record: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what is not as a deploy left it."""
    for path, sha256 in published_in(record).items():
        try:
            text = Path(path).read_bytes()
        except FileNotFoundError:
            yield Found(path, "as deployed", "not there")
        except OSError:  # who asks may be none of its readers
            continue
        else:
            if hashlib.sha256(text).hexdigest() != sha256:
                yield Found(path, "as deployed", "changed")
