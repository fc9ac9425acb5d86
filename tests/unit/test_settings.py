"""Settings from a pyinfra host's data, which --data on the command line has the last word in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api.arguments import all_argument_meta
from pyinfra.api.connectors import get_all_connectors

from fleetwheel.choice.request import Request
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings, misplaced


def refusal(data: dict[str, Any]) -> list[str]:
    with pytest.raises(FleetwheelError) as caught:
        Settings.from_data(data)
    return str(caught.value.args[0]).splitlines()


def test_an_empty_inventory_works() -> None:
    settings = Settings.from_data({})
    assert settings.request == Request()
    assert (settings.root, settings.keep, settings.smoke) == (None, 3, "auto")


def test_the_request_is_what_the_choice_depends_on() -> None:
    data = {"torch": "2.14", "accelerator": "cu126", "python": "3.12", "gpus": [0], "keep": 5}
    expected = Request(torch="2.14", accelerator="cu126", python="3.12", gpus=(0,))
    assert Settings.from_data(data).request == expected


def test_keys_of_pyinfra_and_its_connectors_are_left_alone() -> None:
    keys = set(all_argument_meta)
    for connector in get_all_connectors().values():
        keys |= set(connector.data_cls.__annotations__)
    assert {"_timeout", "ssh_user", "fake_delay"} <= keys
    assert Settings.from_data({**dict.fromkeys(keys, "x"), "generation": "x", "keep": 5}).keep == 5


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("packages", "numpy, torchvision", ("numpy", "torchvision")),
        ("packages", "numpy>=1, <3,scipy[a,b]==1.*,", ("numpy>=1, <3", "scipy[a,b]==1.*")),
        ("packages", "", ()),
        ("optional_sources", "/wheels,https://wheels.example/simple", None),
        ("gpus", 0, (0,)),
        ("gpus", "0,1", (0, 1)),
        ("gpus", "RTX 4090", ("RTX 4090",)),
        ("gpus", [0, "GPU-1"], (0, "GPU-1")),
    ],
)
def test_lists_come_with_commas_from_the_command_line(key: str, written: Any, meant: Any) -> None:
    value = getattr(Settings.from_data({key: written}), key)
    assert value == (meant if meant is not None else tuple(written.split(",")))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("torch", 2.1, "torch: 2.1 is a number, and 2.10 as a number is 2.1: quote it,"),
        ("torch", 3, "torch: 3 is a number, and 2.10 as a number is 2.1: quote it,"),
        ("python", 3.1, "python: 3.1 is a number, and 3.10 as a number is 3.1: quote it,"),
    ],
)
def test_a_number_is_refused_with_the_way_to_quote_it(key: str, value: float, words: str) -> None:
    example = "2.10" if key == "torch" else "3.10"
    way = f""" {key}: "{example}" in YAML, --data '{key}="{example}"' on the command line"""
    assert refusal({key: value}) == [words + way]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"torch": "newest"}, "no version"),
        ({"torch": ">=2.x"}, "no version"),
        ({"torch": ""}, "no version"),
        ({"torch": True}, "must be text"),
        ({"accelerator": "rocm"}, "none of auto, cpu, cuda"),
        ({"accelerator": "cu130; id"}, "none of auto, cpu, cuda"),
        ({"packages": "a b"}, "no requirement"),
        ({"packages": ["numpy", 1]}, "must be text"),
        ({"python": "python3"}, "no minor version"),
        ({"python": "3.12.4"}, "no minor version"),
        ({"gpus": [1.5]}, "gpus.0: 1.5 is no index, UUID or name of a GPU"),
        ({"gpus": True}, "gpus.0: True is no index"),
        ({"root": "rel/ative"}, "no absolute path"),
        ({"root": "/"}, "no absolute path"),
        ({"root": "/opt/a\nb"}, "no absolute path"),
        ({"keep": 0}, "greater than or equal to 1"),
        ({"keep": True}, "must be a whole number"),
        ({"smoke": "never"}, "'auto', 'always', 'full' or 'none'"),
        ({"acelerator": "cpu"}, 'unknown key (did you mean "accelerator"?)'),
        ({"install_timeout": 0}, "greater than or equal to 1"),
        ({"driver": "newest"}, "none of keep, install, or a branch"),
        ({"driver": "580.95"}, "none of keep, install, or a branch"),
        ({"driver": True}, "none of keep, install, or a branch"),
    ],
)
def test_a_bad_value_gets_one_sentence(data: dict[str, object], words: str) -> None:
    (line,) = refusal(data)
    assert line.startswith(next(iter(data)))
    assert words in line


def test_every_problem_gets_a_line() -> None:
    assert len(refusal({"torch": 2.1, "keep": 0, "pakages": "numpy"})) == 3


@pytest.mark.parametrize("torch", ["2.14.1", "2.14", ">=2.10,<2.13", "~=2.14", "2.13.0+cpu"])
def test_versions_and_specifiers(torch: str) -> None:
    assert Settings.from_data({"torch": torch}).request.torch == torch


@pytest.mark.parametrize(
    ("written", "meant"), [("keep", "keep"), ("install", "install"), ("580", "580"), (580, "580")]
)
def test_drivers(written: object, meant: str) -> None:
    assert Settings.from_data({"driver": written}).driver == meant


@pytest.mark.parametrize("root", ["/opt/fleetwheel", "~/wheels", "C:\\fleetwheel", "D:/wheels"])
def test_roots(root: str) -> None:
    assert Settings.from_data({"root": root}).root == root


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "torhc", ""]), values, max_size=4))
def test_any_data_gives_settings_or_a_sentence(data: dict[str, Any]) -> None:
    try:
        Settings.from_data(data)
    except FleetwheelError as error:
        assert str(error)


def test_a_source_is_an_address_or_one_with_the_names_that_are_bound_to_it() -> None:
    bound = {"url": "https://wheels.example/simple", "packages": ["acme-*"]}
    settings = Settings.from_data({"sources": ["/wheels", bound]})
    assert settings.own_sources.redacted == (
        "/wheels",
        "https://wheels.example/simple for acme-*",
    )
    assert Settings.from_data({"sources": "/wheels,/more"}).own_sources.redacted == (
        "/wheels",
        "/more",
    )


@pytest.mark.parametrize("pattern", ["", "acme utils", "-acme", "$(id)", "acme/*"])
def test_a_pattern_that_no_name_can_fit_is_refused(pattern: str) -> None:
    bound = {"url": "https://wheels.example/simple", "packages": [pattern]}
    with pytest.raises(FleetwheelError, match="is no name of a package"):
        Settings.from_data({"sources": [bound]})


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("/opt/x", "no absolute path on Windows"),
        ("C:\\con", "con is the name of a device"),
        ("C:\\x\\Com1.txt", "Com1.txt is the name of a device"),
        ("C:\\fw.", "drops a dot"),
        ("D:/a /b", "drops a dot or blank"),
        ('C:\\a"b', 'cannot have a "'),
        ("C:\\a<b", "cannot have a <"),
        ("C:\\100%", "cannot have a %"),
        ("C:\\a:b", "cannot have a :"),
        ("C:\\fleet wheel & co", None),
        ("D:/wheels/", None),
        ("C:\\console", None),
    ],
)
def test_a_root_that_windows_would_read_otherwise(root: str, words: str | None) -> None:
    said = misplaced(root, windows=True)
    assert (words in said) if words and said else said is words
