"""Locks: one wheel set by hash for every host with the same target (PEP 751)."""

import hashlib
import json
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
import uv
from packaging.pylock import Pylock, PylockValidationError
from packaging.version import Version

from fleetwheel import files
from fleetwheel.choice import Choice
from fleetwheel.errors import FleetwheelError
from fleetwheel.profile import Profile, Python, Value
from fleetwheel.request import Request
from fleetwheel.templates import render
from fleetwheel.wheel import Source
from fleetwheel.wheels.sources import certificate

V = TypeVar("V", bound=Value)

RELOCK = "run with --data relock=true"

UV_GLIBC = (17, 28, *range(31, 41))
"""Minor versions of glibc 2.x that ``uv --python-platform x86_64-manylinux_2_N`` knows."""


class Target(Value):
    """All that a lock depends on; hosts with equal targets share one lock."""

    request: Request
    os: str
    arch: str
    glibc: str | None = None
    pythons: tuple[str, ...] = ()
    driver: str | None = None
    gpus: tuple[str, ...] = ()
    """Compute capability of each GPU, or its name where that is unknown."""

    @property
    def name(self) -> str:
        """File name of the lock, which PEP 751 wants without another dot."""
        accelerator = "-".join(f"sm{gpu}".replace(".", "") for gpu in dict.fromkeys(self.gpus))
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
        safe = "".join(c if c.isalnum() or c == "-" else "-" for c in accelerator) or "cpu"
        return f"pylock.{self.os}-{self.arch}-{safe}-{digest}.toml"


def target_of(profile: Profile, request: Request) -> Target:
    """Reduce a profile to what its wheels depend on."""
    return Target(
        request=request,
        os=profile.os,
        arch=profile.arch,
        glibc=profile.glibc,
        pythons=tuple(sorted({python.minor for python in profile.pythons})),
        driver=profile.driver.version,
        gpus=tuple(sorted(gpu.compute_capability or gpu.name for gpu in profile.gpus)),
    )


class Lock(Value):
    """One lock: its file name and its whole text."""

    name: str
    text: str
    from_host: bool = False
    """A copy that a host sent back: good for that host, never for locks/ and other hosts."""

    @cached_property
    def document(self) -> Pylock:
        """The lock as PEP 751 has it; FleetwheelError when it is not one."""
        try:
            document = Pylock.from_dict(tomllib.loads(self.text))
        except (ValueError, RecursionError, PylockValidationError) as error:
            raise FleetwheelError(
                f"locks/{self.name} cannot be read: {error}", hint=RELOCK
            ) from error
        for package in document.packages:
            for wheel in package.wheels or ():
                if not re.fullmatch("[0-9a-f]{64}", wheel.hashes.get("sha256", "")):
                    words = f"locks/{self.name}: a wheel of {package.name} has no sha256"
                    raise FleetwheelError(words, hint=RELOCK)
        return document

    @cached_property
    def choice(self) -> Choice:
        """The choice that the lock was made from."""
        return self._own("choice", Choice)

    @cached_property
    def target(self) -> Target:
        """The target that the lock was made for."""
        return self._own("target", Target)

    def _own(self, key: str, kind: type[V]) -> V:
        """Return an entry of the ``[tool.fleetwheel]`` table."""
        try:
            return kind.model_validate((self.document.tool or {})["fleetwheel"][key])
        except (KeyError, TypeError, ValueError) as error:
            raise FleetwheelError(
                f"locks/{self.name} does not say which {key} it was made for",
                hint=RELOCK,
            ) from error

    @cached_property
    def packages(self) -> dict[str, str]:
        """Normalised name to full version of everything that is installed."""
        return {package.name: str(package.version) for package in self.document.packages}

    @cached_property
    def urls(self) -> dict[str, str]:
        """Normalised name to the address of the wheel."""
        return {
            package.name: wheel.url or ""
            for package in self.document.packages
            for wheel in (package.wheels or ())[:1]
        }

    @property
    def sha256(self) -> str:
        """Hash of the text, as the copy on a host has it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def generation(self, python: Python) -> str:
        """Name of the generation that this lock makes with an interpreter, without build number."""
        wheels = sorted(
            (package.name, str(package.version), sorted(wheel.hashes["sha256"] for wheel in wheels))
            for package in self.document.packages
            for wheels in [package.wheels or ()]
        )
        digest = hashlib.sha256(json.dumps([wheels, python.path]).encode()).hexdigest()[:12]
        return f"{self.choice.packages['torch']}-{python.tag}-{digest}"


def from_copy(text: str) -> Lock:
    """Return the lock of a copy that a host keeps, under the name that its target gives it."""
    unnamed = Lock(name="the host's copy", text=text)
    return Lock(name=unnamed.target.name, text=text, from_host=True)


def load(directory: Path, name: str) -> Lock | None:
    """Return the lock that a team has committed or an earlier run has made, if there is one."""
    path = directory / name
    try:
        return Lock(name=name, text=path.read_text(encoding="utf-8")) if path.exists() else None
    except UnicodeDecodeError as error:
        raise FleetwheelError(f"locks/{name} cannot be read: it is no text", hint=RELOCK) from error


def save(directory: Path, lock: Lock) -> None:
    """Write a lock in one step, so that an interrupted run leaves the old one."""
    files.replace(directory / lock.name, lock.text)


def require_target(lock: Lock, target: Target) -> None:
    """Refuse a lock that bears the name of another target, as after a wrong copy or merge."""
    if lock.target != target:
        raise FleetwheelError(f"locks/{lock.name} was made for another target", hint=RELOCK)
    _require_family(lock, lock.choice)


def resolve(choice: Choice, target: Target, sources: Sequence[Source], timeout: int = 600) -> Lock:
    """Lock a choice with uv: hashes for everything, wheels only, the torch family from one source.

    ``sources`` are the ordinary ones that answer, in their order; without any, everything comes
    from the source of the torch family. ``timeout`` is in seconds.
    Raises FleetwheelError with uv's own words when there is no solution.
    """
    with tempfile.TemporaryDirectory(prefix="fleetwheel-lock-") as directory:
        work = Path(directory)
        _write_input(work, choice, sources)
        output = work / "pylock.toml"
        command = [uv.find_uv_bin(), "pip", "compile", str(work / "pyproject.toml")]
        command += ["--config-file", str(work / "uv.toml"), "--format", "pylock.toml"]
        command += ["--output-file", str(output), "--no-header", "--quiet", "--color", "never"]
        command += ["--generate-hashes", "--only-binary", ":all:", "--no-python-downloads"]
        command += ["--python-version", _language(choice.python), "--python-platform"]
        _run([*command, uv_platform(target)], work, timeout)
        text = output.read_text(encoding="utf-8")
    lock = Lock(name=target.name, text=text + _tool_table(choice, target))
    _require_family(lock, choice)
    return lock


def _write_input(work: Path, choice: Choice, sources: Sequence[Source]) -> None:
    pins = [f"{name}=={version}" for name, version in choice.packages.items()]
    project = render(
        "lock-input.toml.j2",
        python=_language(choice.python),
        requirements=[*pins, *choice.requirements],
        family=list(choice.packages),
        family_source=choice.source,
    )
    (work / "pyproject.toml").write_text(project, encoding="utf-8")
    ordinary = render("lock-sources.toml.j2", sources=sources or [choice.source])
    (work / "uv.toml").write_text(ordinary, encoding="utf-8")


def _language(python: Python) -> str:
    return python.minor.rstrip("t")


def uv_platform(target: Target) -> str:
    """Return uv's name for a platform: the newest glibc it knows that the host has."""
    if target.os == "windows":
        return f"{target.arch}-pc-windows-msvc"
    minor = Version(target.glibc or "2.17").minor
    return f"{target.arch}-manylinux_2_{max(n for n in UV_GLIBC if n <= max(minor, 17))}"


def _reaches_uv(variable: str) -> bool:
    """A person's own settings for uv must not change what a lock holds."""
    return not variable.startswith("UV_") or variable == "UV_CACHE_DIR"


def _run(command: list[str], work: Path, timeout: int) -> None:
    environment = {key: value for key, value in os.environ.items() if _reaches_uv(key)}
    environment |= {"SSL_CERT_FILE": bundle} if (bundle := certificate()) else {}
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise FleetwheelError(
            f"locking took longer than {timeout} s", hint="a wheel source is slow: run again"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().replace(str(work), "")
        hint = "change the packages or the torch version that the inventory asks for"
        if "first index that contains" in said:
            hint += ", or put what is missing into the first source that holds the package"
        raise FleetwheelError("uv finds no wheel set: " + _without_options(said), hint=hint)


def _without_options(said: str) -> str:
    """Return uv's words without the hints that name its options: nobody can give them here."""
    paragraphs = re.split(r"\n\s*\n", said)
    kept = [text for text in paragraphs if not re.match(r"\s*hint:.*`--", text, re.DOTALL)]
    return "\n".join(kept)


def _tool_table(choice: Choice, target: Target) -> str:
    """Return the ``[tool.fleetwheel]`` table: the choice, without credentials, and its target."""
    source = choice.source and choice.source.model_copy(update={"url": choice.source.redacted})
    kept = choice.model_copy(update={"source": source})
    table: dict[str, Any] = {
        "choice": kept.model_dump(mode="json", exclude_none=True),
        "target": target.model_dump(mode="json", exclude_none=True),
    }
    return "\n" + tomli_w.dumps({"tool": {"fleetwheel": table}})


def _require_family(lock: Lock, choice: Choice) -> None:
    """Refuse a lock in which the torch family is not exactly what was chosen."""
    for name, version in choice.packages.items():
        if lock.packages.get(name) != version:
            raise FleetwheelError(
                f"{name} {version} was chosen, but uv locked {lock.packages.get(name)}",
                hint="name fewer wheel sources, or pin torch in the inventory",
            )
