"""Settings from a pyinfra host's data, which --data on the command line has the last word in."""

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.request import Request
from fleetwheel.settings import Settings


def test_an_empty_inventory_works() -> None:
    assert Settings.from_data({}).request == Request()


def test_keys_of_pyinfra_are_left_alone() -> None:
    data = {"ssh_user": "ops", "_sudo": True, "generation": "x", "keep": 5}
    assert Settings.from_data(data).keep == 5


def test_lists_come_with_commas_from_the_command_line() -> None:
    settings = Settings.from_data({"packages": "numpy, torchvision", "sources": "/wheels"})
    assert settings.packages == ("numpy", "torchvision")
    assert settings.sources == ("/wheels",)


@pytest.mark.parametrize("key", ["torch", "python"])
@pytest.mark.parametrize("value", [2.1, 3])
def test_a_number_is_refused_with_the_way_to_quote_it(key: str, value: float) -> None:
    with pytest.raises(FleetwheelError, match=r"""quote it.* --data 'torch="2.10"'"""):
        Settings.from_data({key: value})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"torch": "newest"}, "no version"),
        ({"torch": ">=2.x"}, "no version"),
        ({"accelerator": "rocm"}, "none of auto, cpu, cuda"),
        ({"packages": "a b"}, "no requirement"),
        ({"python": "python3"}, "no Python version"),
        ({"root": "rel/ative"}, "no absolute path"),
        ({"keep": 0}, "greater than or equal to 1"),
        ({"smoke": "never"}, "'auto' or 'always'"),
        ({"acelerator": "cpu"}, 'did you mean "accelerator"'),
        ({"install_timeout": 0}, "greater than or equal to 1"),
    ],
)
def test_a_bad_value_gets_a_sentence(data: dict[str, object], words: str) -> None:
    with pytest.raises(FleetwheelError, match=words) as caught:
        Settings.from_data(data)
    assert next(iter(data)) in str(caught.value)


@pytest.mark.parametrize("torch", ["2.14.1", "2.14", ">=2.10,<2.13", "~=2.14", "2.13.0+cpu"])
def test_versions_and_specifiers(torch: str) -> None:
    assert Settings.from_data({"torch": torch}).request.torch == torch
