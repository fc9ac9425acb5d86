"""Names of GPUs: as drivers report them, and as people type them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwheel.gpu_names import capability, nearest


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
        # names that stand for several chips, or for none
        ("NVIDIA TITAN X", None),
        ("RTX 6000", None),
        ("NVIDIA GeForce GTX 860M", None),
        ("RTX 9999", None),
        ("Radeon RX 7900 XTX", None),
        ("", None),
    ],
)
def test_capability(name: str, expected: str | None) -> None:
    assert capability(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RTX 4091", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("1080", "GTX 1080"),
        ("TITAN X", "GTX TITAN X"),
        ("RTX 6000", "Quadro RTX 6000"),
        ("GTX 1088", "GTX 1080"),
    ],
)
def test_the_nearest_names_are_suggested(name: str, expected: str) -> None:
    assert expected in nearest(name)


def test_nothing_is_like_nonsense() -> None:
    assert nearest("") == []
    assert nearest("fridge") == []


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_text_is_taken(name: str) -> None:
    found = capability(name)
    assert found is None or float(found) >= 3.0
    assert len(nearest(name)) <= 3
