"""What the inventory, or ``--data`` on the command line, can say about one host."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from fleetwheel.choice.request import (
    Request,
    accelerator_of,
    python_of,
    requirement_of,
    torch_pin,
)
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.environment import DEFAULT, EnvironmentName
from fleetwheel.host.trust import Trust
from fleetwheel.inventory.schedule import Schedule
from fleetwheel.lock.own_wheel import with_own_wheel
from fleetwheel.reporting.report import Kept
from fleetwheel.sources.configured import OwnSource, OwnSources, name_pattern
from fleetwheel.team.apart import load_team
from fleetwheel.team.pins import TeamFile
from fleetwheel.value import Value

NUMPY = ("numpy",)
SmokeMode = Literal["auto", "always", "full", "none"]

EXAMPLES = {"torch": "2.10", "python": "3.10", "driver": "580.10"}
"""Versions that a number cannot hold."""


def _quoted(value: object, info: ValidationInfo) -> object:
    """Refuse a number: YAML and ``--data`` turn 2.10 into 2.1 before anyone sees it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        name = str(info.field_name)
        example = EXAMPLES[name]
        raise ValueError(
            f"{value} is a number, and {example} as a number is {float(example)}: quote it,"
            f""" {name}: "{example}" in YAML, --data '{name}="{example}"' on the command line"""
        )
    return value


def _listed(value: object) -> Any:
    """Accept ``a,b`` from the command line for a list, also ``a>=1,<2,b[c,d]`` for two."""
    if isinstance(value, str):
        items = re.split(r",(?!\s*[<>=!~])(?![^\[]*\])", value)
        return [item.strip() for item in items if item.strip()]
    return value


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


def _own_source(value: object) -> object:
    """Accept an address alone for a source that serves every name."""
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, Mapping) and isinstance(value.get("packages"), list):
        for pattern in value["packages"]:
            name_pattern(str(pattern))
    return value


def _listed_gpus(value: object) -> object:
    """Accept ``0`` and ``0,1`` from the command line for a list."""
    if isinstance(value, str):
        return [int(item) if item.isdecimal() else item for item in _listed(value)]
    return [value] if isinstance(value, int) else value


def _gpu(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no index, UUID or name of a GPU")
    return value


def _listed_sizes(value: object) -> object:
    """Accept ``1,10%`` from the command line for a list, and one size for a list of one."""
    if isinstance(value, str):
        return [int(item) if item.isdecimal() else item for item in _listed(value)]
    return value if isinstance(value, list | tuple) else [value]


def _size(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not number and not re.fullmatch(r"(100|[1-9][0-9]?)%", str(value)):
        raise ValueError(f"{value!r} is no number of hosts, nor a percentage of them")
    return value


def _torch(value: str) -> str:
    torch_pin(value)
    return value


def _specifiers(value: str) -> str:
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        raise ValueError(f'{value!r} is no range of versions: write ">=580"') from None
    return value


def _requirement(value: str) -> str:
    requirement_of(value)
    return value


def _name(value: str) -> str:
    if not re.fullmatch("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise ValueError(f"{value!r} is no name: letters, digits, and . _ - within")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} is no path")
    return value


def _driver(value: object) -> object:
    """Accept 580 and "580": the number of a branch, which loses nothing as a number."""
    value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(value, str) or not re.fullmatch("keep|install|[1-9][0-9]{2}", value):
        raise ValueError(f'{value!r} is none of keep, install, or a branch such as "580"')
    return value


def _uniform(value: object) -> object:
    if not isinstance(value, bool | str) or value == "":
        raise ValueError("must be true, false, or the name of a group")
    return value


def _absolute(value: str) -> str:
    if not re.match(r"(/|~/|[A-Za-z]:[\\/])[^/\\]", value) or not value.isprintable():
        raise ValueError(f"{value!r} is no absolute path")
    return value


def _proxy(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:\d{1,5})?/?", value):
        shown = "an address with credentials" if "@" in value else repr(value)
        raise ValueError(f"{shown} is no proxy: write http://HOST:PORT, and no password")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:\d{1,5})?(/[\w.~%+/-]*)?", value, re.ASCII):
        shown = "an address with credentials" if "@" in value else repr(value)
        raise ValueError(f"{shown} is no address: write http://HOST/PATH, and no password")
    return value


def _package(value: str) -> str:
    return value if re.fullmatch(r"/[^\0\n]+", value) else _address(value)


def _mirror(value: str) -> str:
    if not re.fullmatch(r"(@local|(https?://)?[A-Za-z0-9._-]+)(:\d{1,5})?/?", value):
        shown = "an address with credentials" if "@" in value[1:] else repr(value)
        raise ValueError(f"{shown} is neither a host of the inventory nor http://HOST:PORT")
    return value


def _at(key: str, text: str) -> ValidationError:
    """Return the error of one key, found while several are looked at."""
    error = PydanticCustomError("value_error", "{text}", {"text": text})
    return ValidationError.from_exception_data(key, [{"type": error, "loc": (key,), "input": None}])


Text = Annotated[str, BeforeValidator(_quoted)]
Limit = Annotated[int, Field(ge=0, strict=True)]
Group = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]{0,62}$")]
Seconds = Annotated[int, Field(ge=1, le=86400, strict=True)]


class Expect(Value):
    """What a host should be, whatever it was at its last deploy: the drift check compares."""

    gpus: Annotated[int, Field(ge=0, le=64, strict=True)] | None = None
    """Number of GPUs."""
    gpu: str | None = None
    """A part of the name that every GPU has, such as ``RTX 4090``."""
    driver: Annotated[Text, AfterValidator(_specifiers)] | None = None
    """Versions of the driver, such as ``>=580``."""
    max_temperature_c: Limit | None = None
    max_ecc_uncorrected: Limit | None = None
    """Errors in the whole life of a GPU."""
    max_remapped_rows: Limit | None = None


def _a_place(value: object) -> object:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError("must be true, false, or a directory")
    return _absolute(value)


Place = Annotated[bool | str, BeforeValidator(_a_place)]


class Publish(Value):
    """Where people find an environment, besides the root: true for where they look, or there."""

    jupyter: Place = True
    """Directory of kernelspecs; there is one where ipykernel is among the packages."""
    modules: Place = True
    """Directory of module files; by default those that module commands of packages have."""


class VisualCpp(Value):
    """The redistributable of Visual C++ that onboarding installs on Windows."""

    url: Annotated[str, AfterValidator(_package)]
    """Address, or path on this machine."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Common(Value):
    """What can be said of a host for "default", and of each environment for itself."""

    torch: Annotated[Text, AfterValidator(_torch)] | None = None
    """``"2.14.1"``, ``"2.14"`` or ``">=2.10,<2.13"``; the newest that runs by default."""
    accelerator: Annotated[str, AfterValidator(accelerator_of)] = "auto"
    """``auto``, ``cpu``, ``cuda``, or a variant such as ``cu126``."""
    packages: Annotated[
        tuple[Annotated[str, AfterValidator(_requirement)], ...], BeforeValidator(_listed)
    ] = NUMPY
    """Requirements to install beside torch."""
    python: Annotated[Text, AfterValidator(python_of)] | None = None
    """``"3.12"`` or ``"3.14t"``; the newest that has a wheel by default."""
    gpus: (
        Annotated[
            tuple[Annotated[int | str, BeforeValidator(_gpu)], ...], BeforeValidator(_listed_gpus)
        ]
        | None
    ) = None
    """Index, UUID or name of the GPUs that must be served; all by default."""
    uniform: Annotated[bool | str, BeforeValidator(_uniform)] = False
    """Whether all CUDA hosts of the group get the same release; those with one name are a group."""
    keep: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    """Generations of the environment that stay, the one in use included."""
    smoke: SmokeMode = "auto"
    """``always`` tests even where the last pass still holds, ``full`` does so for some minutes.

    ``none`` tests nothing: the host only holds the environment, as an image or a login node does.
    """
    smoke_min_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the speed that a GPU's clocks promise that the full level must reach."""
    publish: Publish = Publish()
    """Whether Jupyter and the module command of a Linux host know the environment."""
    group: Group | None = None
    """Group of the host whose members alone may read the environment; all users by default."""
    hold: Annotated[str, Field(min_length=1)] | None = None
    """Why nothing changes the environment; it is left as it is until this is taken out."""


ReadFrom = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_printable)]
Names = Annotated[
    tuple[Annotated[str, AfterValidator(_name)], ...],
    BeforeValidator(_listed),
]
FILES: tuple[Literal["project", "requirements", "lock"], ...] = ("project", "requirements", "lock")
OF_A_FILE = {*FILES, "extras", "groups", "install"}


class EnvironmentSettings(_Common):
    """What can be said of one environment of a host: the packages in YAML, or a team's file."""

    project: ReadFrom | None = None
    """Directory with a pyproject.toml, and its uv.lock; relative to the project directory."""
    requirements: ReadFrom | None = None
    """A requirements.txt."""
    lock: ReadFrom | None = None
    """A pylock.toml."""
    extras: Names = ()
    """Those of the project or lock that are to be installed."""
    groups: Names = ()
    """Dependency groups of the project or lock, ``dev`` only where it is named."""
    install: bool = False
    """Whether the project itself is installed: building its wheel runs its code on this machine."""

    @model_validator(mode="after")
    def _say_one_thing(self) -> Self:
        files = [key for key in FILES if getattr(self, key)]
        if len(files) > 1:
            raise _at(files[1], f"{files[0]} stands beside it: name one file")
        if self.lock and "packages" in self.model_fields_set:
            raise _at("packages", "a lock is whole: put them into it, or name its project instead")
        for key in ("extras", "groups"):
            if getattr(self, key) and not (self.project or self.lock):
                raise _at(key, "stands without the project or lock that it would be of")
        if self.install and not self.project:
            raise _at("install", "stands without the project that it would be of")
        return self

    @property
    def team_file(self) -> TeamFile | None:
        """The file of a team that says what to install."""
        for key in FILES:
            if path := getattr(self, key):
                return TeamFile(
                    key=key,
                    path=path,
                    extras=self.extras,
                    groups=self.groups,
                    given=self._given if key == "project" else (),
                    install=self.install,
                )
        return None

    @property
    def _given(self) -> tuple[str, ...]:
        """The projects whose wheels are given by address."""
        found = map(requirement_of, self.packages)
        return tuple(sorted({each.name for each in found if each.url}))

    def over(self, earlier: "EnvironmentSettings") -> "EnvironmentSettings":
        """Return what is said here over what was said before, key by key.

        What says by itself which packages there are takes the place of all that did before.
        """
        before = {key: getattr(earlier, key) for key in earlier.model_fields_set}
        stated = {key: getattr(self, key) for key in self.model_fields_set}
        if self.team_file or "packages" in stated:
            before = {k: v for k, v in before.items() if k not in {*OF_A_FILE, "packages"}}
        return EnvironmentSettings(**{**before, **stated})


class Settings(_Common):
    """Everything about a host but the way to it; the defaults are those of an empty inventory."""

    environments: Annotated[
        dict[EnvironmentName, EnvironmentSettings | None], BeforeValidator(_nothing_is_empty)
    ] = Field(default_factory=dict)
    """Further environments by name, which inherit what they do not say; null: not on this host."""
    environment: Annotated[tuple[EnvironmentName, ...], BeforeValidator(_listed)] = ()
    """The environments that a run is for; all of them by default."""
    serial: Annotated[
        tuple[Annotated[int | str, BeforeValidator(_size)], ...], BeforeValidator(_listed_sizes)
    ] = ()
    """Sizes of the waves of a roll-out, such as ``[1, "10%"]``; all at once by default."""
    root: Annotated[str, AfterValidator(_absolute)] | None = None
    """Where environments live; by user and system by default."""
    trust: Trust = Trust()
    """Whose files the host runs, besides those of root and of the user that acts there."""
    sources: Annotated[
        tuple[Annotated[OwnSource, BeforeValidator(_own_source)], ...], BeforeValidator(_listed)
    ] = ()
    """Indexes or directories of wheels to ask before those that pip is configured with.

    ``{url: ..., packages: [acme-*]}`` binds names: they come from there or not at all.
    """
    optional_sources: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Addresses of sources, pip's too, that a lock may do without when they give no answer."""
    distribution: Literal["direct", "mirror", "push"] = "direct"
    """Whether hosts fetch wheels, get them through ``mirror``, or are sent them over SSH."""
    mirror: Annotated[str, AfterValidator(_mirror)] | None = None
    """Host of the inventory that is the mirror, or its address ``http://HOST:PORT``."""
    mirror_gb: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 50
    """Disk space in GB that the cache of the mirror may take, on the host that is one."""
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    """What the host reaches wheel sources and package archives through, ``http://HOST:PORT``."""
    install_python: Literal["packages", "uv"] = "packages"
    """Whether onboarding gets a Python by the distribution's packages, or by uv into the root."""
    python_mirror: Annotated[str, AfterValidator(_address)] | None = None
    """Where uv gets a Python, if not where it always does: a mirror, or a list (``.json``)."""
    visual_cpp: VisualCpp | None = None
    """What onboarding installs on a Windows host whose runtime is missing or too old."""
    driver: Annotated[str, BeforeValidator(_driver)] = "keep"
    """``keep`` it, ``install`` one that works, or a branch such as ``"580"``; for onboarding."""
    driver_hold: bool = False
    """Whether updates leave a driver alone that onboarding installed."""
    reboot: bool = False
    """Whether onboarding may reboot the host after it installed a driver."""
    schedule: Schedule | None = None
    """A drift check at regular times, on the host that has the project directory."""
    reports: Kept = Kept()
    """How many reports of each kind the controller keeps; the most that any host says counts."""
    expect: Expect = Expect()
    """What the host should be, for the drift check."""
    rebuild: bool = False
    """Build the environment anew, though its packages are those of the lock."""
    relock: bool = False
    """Choose and lock anew, also where the lock still runs."""
    lift_hold: bool = False
    """End the hold that a rollback leaves on a host."""
    install_timeout: Seconds = 1800
    smoke_timeout: Seconds = 300
    fact_timeout: Seconds = 60
    _team_file: TeamFile | None = PrivateAttr(default=None)

    @property
    def own_sources(self) -> OwnSources:
        """What is said of sources."""
        return OwnSources(sources=self.sources, optional=self.optional_sources)

    @property
    def own_request(self) -> Request:
        """What the inventory itself asks for, whether or not a team's file can be read."""
        own = {name: getattr(self, name) for name in Request.model_fields if name != "team"}
        return Request(**own)

    @property
    def request(self) -> Request:
        """The part that the choice depends on.

        Raises FleetwheelError where a team's file is named that cannot be used.
        """
        team = load_team(self._team_file) if self._team_file else None
        team = with_own_wheel(team) if team and team.install else team
        return self.own_request.model_copy(update={"team": team})

    def by_environment(self) -> dict[str, "Settings"]:
        """Return the settings of each environment that the host is to have, by its name."""
        said = {DEFAULT: EnvironmentSettings(), **self.environments}
        return {name: self._of(own) for name, own in said.items() if own is not None}

    def _of(self, own: EnvironmentSettings) -> "Settings":
        stated = {k: getattr(own, k) for k in own.model_fields_set if k not in OF_A_FILE}
        file = own.team_file
        alone = {"torch": None, "packages": ()} if file else {}
        settings = self.model_copy(update={**alone, **stated, "environments": {}})
        settings._team_file = file
        return settings

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Settings":
        """Pick the settings out of a pyinfra host's data.

        Other keys belong to pyinfra and its connectors (``_timeout``, ``ssh_port``), but one that
        is nearly ours is a slip of the pen. Raises FleetwheelError with a line for each problem.
        """
        others = (key for key in data if not key.startswith("_") and key not in OF_A_FILE)
        slips = [
            f"{key}: {guess}" for key in others if (guess := suggestion(key, cls.model_fields))
        ]
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        try:
            settings = cls.model_validate(own)
        except ValidationError as error:
            slips += [_problem(details) for details in error.errors()]
        if slips:
            raise FleetwheelError(
                "\n".join(slips), hint="docs/inventory.example.yaml has every key"
            )
        return settings


def misplaced(root: str | None, *, windows: bool) -> str | None:
    """Return what is wrong with a root: a path of the other system, or none of Windows."""
    if root is None:
        return None
    if root.startswith(("/", "~")) != windows:
        return _no_windows_path(root) if windows else None
    there, example = ("Windows", r"C:\fleetwheel") if windows else ("Linux", "/opt/fleetwheel")
    return f"{root} is no absolute path on {there}, where it is such as {example}"


def _no_windows_path(root: str) -> str | None:
    """Return what Windows or cmd would read otherwise in a root; None where nothing is."""
    parts = re.split(r"[\\/]+", root[2:].strip("\\/"))
    if found := next((sign for sign in '"<>|?*:%^!' if sign in root[2:]), None):
        return f"{root} cannot have a {found} on Windows"
    for part in parts:
        if part.endswith((".", " ")):
            return f"{root}: Windows drops a dot or blank at the end of {part!r}"
        if RESERVED.fullmatch(part):
            return f"{root}: {part} is the name of a device on Windows"
    return None


RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""Source: "Naming Files, Paths, and Namespaces" of Microsoft's documentation."""


def suggestion(key: str, known: Iterable[str]) -> str | None:
    """Return what an unknown key was probably meant to be."""
    known = list(known)
    meant = did_you_mean(key, known)
    return f"unknown key{meant}" if meant and key not in known else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question, in parentheses behind a blank; empty where no name is similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _problem(error: ErrorDetails) -> str:
    place = tuple(map(str, error["loc"]))
    unknown = error["type"] == "extra_forbidden" and place[0] == "environments"
    text = unknown_in_environment(place[-1]) if unknown else error_text(error)
    return f"{'.'.join(place)}: {text}"


MAPPING = "must be a mapping, each key or name with a colon behind it"
PLAIN = {
    **dict.fromkeys(("dict_type", "model_type"), MAPPING),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "missing": "is missing",
}
"""Pydantic's errors for people who write YAML."""


def unknown_in_environment(key: str) -> str:
    """Return what to say of a key that an environment cannot have."""
    known = EnvironmentSettings.model_fields
    those = f"an environment takes {', '.join(known)}"
    if key in Settings.model_fields:
        return f"belongs to a host, not to an environment; {those}"
    return suggestion(key, known) or f"unknown key; {those}"


def error_text(error: ErrorDetails) -> str:
    """Return a pydantic error in the words of the field's own check."""
    if plain := PLAIN.get(error["type"]):
        return f"{plain}: write the reason" if error["loc"][-1:] == ("hold",) else plain
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
