"""Names of GPUs: as drivers report them, and as people type them."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.matrix.gpu_names import (
    PATH,
    capabilities,
    capability_of,
    name_words,
    nearest,
    other_vendor,
)

ROWS = [
    (name, found)
    for part in yaml.safe_load(PATH.read_text(encoding="utf-8")).values()
    for found, names in part.items()
    for name in names
]
MEANINGS = {name: {found for other, found in ROWS if other == name} for name, _ in ROWS}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "8.9"),
        ("NVIDIA GeForce RTX 4090 D", "8.9"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "8.9"),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "7.5"),
        ("NVIDIA GeForce RTX 5090", "12.0"),
        ("GTX 1080 Ti", "6.1"),
        ("gtx1080ti", "6.1"),
        ("rtx-4090", "8.9"),
        ("NVIDIA A100-SXM4-40GB", "8.0"),
        ("NVIDIA A100 80GB PCIe", "8.0"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA A10", "8.6"),
        ("NVIDIA A2", "8.6"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA L4", "8.9"),
        ("NVIDIA L40S", "8.9"),
        ("Tesla T4", "7.5"),
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("Tesla P100-PCIE-16GB", "6.0"),
        ("Tesla P40", "6.1"),
        ("Tesla M40 24GB", "5.2"),
        ("Tesla K80", "3.7"),
        ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("Quadro RTX 6000", "7.5"),
        ("Quadro P2000", "6.1"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "12.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA B300 SXM6 AC", "10.3"),
        ("NVIDIA GB10", "12.1"),
        ("NVIDIA Thor", "11.0"),
        ("Orin (nvgpu)", "8.7"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "8.7"),
        ("NVIDIA GeForce GTX TITAN X", "5.2"),
        ("NVIDIA TITAN X (Pascal)", "6.1"),
        ("NVIDIA TITAN Xp", "6.1"),
        ("NVIDIA TITAN RTX", "7.5"),
        ("NVIDIA TITAN V", "7.0"),
        ("GeForce GTX TITAN Black", "3.5"),
        ("NVIDIA GeForce GTX 960M", "5.0"),
        ("NVIDIA GeForce GTX 960", "5.2"),
        ("CMP 170HX", "8.0"),
        ("NVIDIA RTX A1000 Laptop GPU", "8.6"),
        ("NVIDIA RTX A4500", "8.6"),
        ("NVIDIA RTX A5500", "8.6"),
        ("NVIDIA GeForce RTX 2050", "8.6"),
        ("NVIDIA GeForce MX450", "7.5"),
        ("NVIDIA GeForce MX550", "7.5"),
        ("NVIDIA GeForce MX570 A", "8.6"),
        ("NVIDIA L20", "8.9"),
        ("Quadro T2000 with Max-Q Design", "7.5"),
        ("NVIDIA RTX PRO 1000 Blackwell Generation Laptop GPU", "12.0"),
        ("NVIDIA RTX PRO 3000 Blackwell Generation Laptop GPU", "12.0"),
        ("NVIDIA RTX 3500 Ada Generation Laptop GPU", "8.9"),
        ("GeForce GT 710", "3.5"),
        ("GeForce GTX 580", "2.0"),
        # mobile chips that are older than the desktop GPU of that number, or newer
        ("Quadro M2000M", "5.0"),
        ("Quadro M5000M", "5.2"),
        ("GeForce GTX 780M", "3.0"),
        ("GeForce GTX 980M", "5.2"),
        ("NVIDIA GeForce RTX 3050 A Laptop GPU", "8.9"),
        ("NVIDIA GeForce RTX 3050 Laptop GPU", "8.6"),
        # profiles of GRID and vGPU: the number of a profile is no name
        ("GRID T4-4C", "7.5"),
        ("GRID K120Q", "3.0"),
        ("GRID M60-8Q", "5.2"),
        ("GRID P40-24Q", "6.1"),
        ("GRID V100D-8Q", "7.0"),
        ("GRID RTX6000-4Q", "7.5"),
        ("GRID RTX6000P-4Q", "7.5"),
        ("GRID RTX8000P-6Q", "7.5"),
        ("NVIDIA A100-40C", "8.0"),
        ("GRID A100D-4-40C", "8.0"),
        ("NVIDIA A10M-10Q", "8.6"),
        ("NVIDIA RTXA6000-48Q", "8.6"),
        ("NVIDIA RTX6000-Ada-24Q", "8.9"),
        ("NVIDIA L40S-4Q", "8.9"),
        ("NVIDIA H100L-4-47C", "9.0"),
        ("NVIDIA GH200L-4-48C", "9.0"),
        ("NVIDIA RTX Pro 6000 Blackwell DC-4-96Q", "12.0"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "8.0"),
        # what people type
        ("1080ti", "6.1"),
        ("4090", "8.9"),
        ("RTXA6000", "8.6"),
        ("RTX 6000 Pro", "12.0"),
        ("QuadroP2000", "6.1"),
        # names of other vendors that hold a name of NVIDIA's
        ("AMD FirePro M6000", None),
        ("Intel Arc Pro A40", None),
        ("Radeon RX 6600M", None),
        # names that stand for several chips, or for none
        ("GeForce GT 730", None),
        ("GeForce GTX 560 Ti", None),
        ("RTX 5000", None),
        ("NVIDIA RTX 4000", None),
        ("NVIDIA TITAN X", None),
        ("RTX 6000", None),
        ("NVIDIA GeForce GTX 860M", None),
        ("RTX 9999", None),
        ("Radeon RX 7900 XTX", None),
        ("", None),
    ],
)
def test_capability(name: str, expected: str | None) -> None:
    assert capability_of(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RTX 4091", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("1080", "GTX 1080"),
        ("TITAN X", "GTX TITAN X"),
        ("RTX 6000", "Quadro RTX 6000"),
        ("GTX 1088", "GTX 1080"),
        ("710", "GT 710"),
    ],
)
def test_the_nearest_names_are_suggested(name: str, expected: str) -> None:
    assert expected in nearest(name)


def test_nothing_is_like_nonsense() -> None:
    assert nearest("") == []
    assert nearest("fridge") == []


def test_no_other_number_is_suggested_for_a_name_of_several_chips() -> None:
    assert nearest("GT 730") == []


@pytest.mark.parametrize(("name", "found"), ROWS)
def test_every_known_name_tells_its_own_capabilities(name: str, found: str) -> None:
    assert set(capabilities(name)) == MEANINGS[name]
    assert capability_of(name) == (found if len(MEANINGS[name]) == 1 else None)


ALIKE = ["NVIDIA {}", "NVIDIA GeForce {}", "Tesla {}", "{} Laptop GPU", "{} with Max-Q Design"]
ALIKE += ["{} 8GB", "{}-16Q", "{}-4-40C", "{}-SXM4-80GB"]


@given(st.sampled_from(sorted(MEANINGS)), st.sampled_from(ALIKE), st.data())
def test_a_name_reads_alike_however_it_is_written(
    name: str, form: str, data: st.DataObject
) -> None:
    glued = re.sub(r"(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])", "", name)
    spelling = data.draw(st.sampled_from([name, glued, name.lower(), name.replace(" ", "-")]))
    assert set(capabilities(form.format(spelling))) == MEANINGS[name]


NUMBERED = {name: word for name in MEANINGS for word in name_words(name) if word.isdigit()}


@given(st.sampled_from(sorted(NUMBERED)), st.sampled_from(["RTY {}", "GeForze {} Ti", "X{}"]))
def test_suggestions_share_the_number_and_tell_a_capability(name: str, form: str) -> None:
    suggested = nearest(form.format(NUMBERED[name]))
    telling = [
        other for other in MEANINGS if NUMBERED[name] in name_words(other) and capability_of(other)
    ]
    assert set(suggested) <= set(telling)
    assert bool(suggested) == bool(telling)


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("RX 7900 XTX", "AMD"),
        ("rx7900xtx", "AMD"),
        ("AMD Radeon Pro W7900", "AMD"),
        ("AMD Instinct MI300X", "AMD"),
        ("MI250", "AMD"),
        ("Intel(R) UHD Graphics 770", "Intel"),
        ("Arc A770", "Intel"),
        ("Intel(R) Iris(R) Xe Graphics", "Intel"),
        ("NVIDIA A100 in an AMD host", None),
        ("fridge", None),
    ],
)
def test_other_vendors(name: str, vendor: str | None) -> None:
    assert other_vendor(name) == vendor


@given(st.text(max_size=60))
def test_any_text_is_taken(name: str) -> None:
    found = capability_of(name)
    assert found is None or float(found) >= 2.0
    assert len(nearest(name)) <= 3
