"""``fleetwheel choose``: what it prints, what its JSON holds, and how it exits."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetwheel.cli import commands
from fleetwheel.sources.survey import Survey
from fleetwheel.sources.wheel import Source, Wheel


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["choose", "--offline", *arguments], catch_exceptions=False)


def document(*arguments: str) -> Any:
    return json.loads(run("--json", *arguments).stdout)


def test_a_choice_for_a_person() -> None:
    result = run("--driver", "580.95.05", "--gpu", "GTX 1080 Ti", "--packages", "torchvision")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "torch 2.14.1+cu126, torchvision 0.29.1+cu126"
    assert "rejected:" in lines
    assert "  2.15.0+cu132 has no code for Pascal (6.1)" in lines
    assert len(lines) < 12


def test_a_choice_for_a_machine() -> None:
    found = document("--driver", "550.54.15", "--gpu", "8.0", "--python", "3.12", "--glibc", "2.35")
    assert set(found) == {"torch", "variant", "packages", "index", "reasons", "rejected"}
    assert (found["torch"], found["variant"]) == ("2.14.1", "cu126")
    assert found["packages"] == {"torch": "2.14.1+cu126"}
    assert found["index"].startswith("https://download.pytorch.org/whl/cu126")
    assert len(found["reasons"]) == 3
    assert set(found["rejected"][0]) == {"torch", "variant", "reason"}


def test_a_refusal() -> None:
    result = run("--driver", "580.95.05", "--gpu", "GTX 1080", "--gpu", "RTX 5090")
    assert result.exit_code == 3
    assert "leaving Blackwell (12.0) out unlocks 2.14.1+cu126" in result.stdout
    found = document("--driver", "580.95.05", "--gpu", "GTX 1080", "--gpu", "RTX 5090")
    assert set(found) == {"refused", "reasons", "unlocks"}
    assert found["refused"] is True


@pytest.mark.parametrize(
    "gpus",
    [
        ["--gpu", "GTX 1080", "--gpu", "RTX 5090"],
        ["--gpu", "GTX 1080", "RTX 5090"],
        ["--gpu", "GTX 1080,RTX 5090"],
        ["--gpu=GTX 1080", "RTX 5090"],
        ["--gpu", "6.1", "12.0"],
    ],
)
def test_several_gpus(gpus: list[str]) -> None:
    assert run("--driver", "580.95.05", *gpus, "--python", "3.12").exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "2.15.0+cpu"),
        (["--driver", "580.95.05"], "2.15.0+cpu"),
        (["--os", "windows", "--driver", "566.36", "--gpu", "RTX 4090"], "2.14.1+cu126"),
        (["--os", "windows", "--driver", "32.0.15.6094", "--gpu", "RTX 4090"], "2.14.1+cu126"),
        (["--wsl", "--driver", "32.0.15.9186", "--gpu", "RTX 4090"], "2.15.0+cu132"),
        (["--driver", "580.95.05", "--gpu", "1080ti"], "2.14.1+cu126"),
        (["--driver", "580.95.05", "--gpu", "GRID T4-4C"], "2.15.0+cu132"),
        (["--wsl", "--driver", "527.41", "--gpu", "RTX 4090"], "2.7.1+cu118"),
        (["--arch", "aarch64", "--driver", "580", "--gpu", "GB10"], "2.15.0+cu132"),
        (["--driver", "580.95.05", "--gpu", "NVIDIA GeForce RTX 4090 Laptop GPU"], "2.15.0+cu132"),
        (["--driver", "580.95.05", "--gpu", "9.0", "--torch", ">=2.10,<2.13"], "2.12.1+cu130"),
        (["--driver", "580.95.05", "--gpu", "9.0", "--accelerator", "cpu"], "2.15.0+cpu"),
        (["--glibc", "2.17"], "2.6.0+cpu"),
        (["--python", "3.9", "3.8.10"], "2.8.0+cpu"),
        (["--packages", "torchaudio", "numpy>=1,<3"], "2.11.0+cpu"),
        (["--packages", "torchvision,torchaudio"], "2.11.0+cpu"),
    ],
)
def test_options(arguments: list[str], expected: str) -> None:
    found = document(*arguments)
    assert f"{found['torch']}+{found['variant']}" == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpu", "RTX 4090"], "--gpu needs --driver"),
        (["--driver", "580", "--gpu", "RTX 4091"], "did you mean RTX 4090"),
        (["--driver", "580", "--gpu", "fridge"], "A compute capability such as 8.9 works"),
        (["--driver", "580", "--gpu", "GTX", "1080"], '--gpu "GTX 1080"\n'),
        (["--driver", "580", "--gpu", "GTX", "1080", "Ti", "L4"], '--gpu "GTX 1080 Ti"\n'),
        (["--driver", "580", "--gpu", "L4", "rtx", "5090"], '--gpu "rtx 5090"\n'),
        (["--driver", "580", "--gpu", "RTX", "5090", "RTX", "4090"], '--gpu "RTX 5090"\n'),
        (["--driver", "580", "--gpu", "RTX", "PRO", "6000"], '--gpu "RTX PRO 6000"\n'),
        (["--driver", "580", "--gpu", "RTX", "6000", "Ada"], '--gpu "RTX 6000 Ada"\n'),
        (["--driver", "580", "--gpu", "Tesla", "T4"], '--gpu "Tesla T4"\n'),
        (["--driver", "580", "--gpu", "A100", "80GB"], '--gpu "A100 80GB"\n'),
        (["--driver", "580", "--gpu", "NVIDIA", "RTX", "A6000"], '--gpu "NVIDIA RTX A6000"\n'),
        (["--driver", "580", "--gpu", "fridge", "T4"], "the compute capability of 'fridge'"),
        (["--driver", "580", "--gpu", "T4", "fridge"], "the compute capability of 'fridge'"),
        (["--driver", "580", "--gpu", "GT 711"], "did you mean GT 710"),
        (["--driver", "580", "--gpu", "RTX 6000"], "compute capability 7.5, 8.9, 12.0"),
        (["--driver", "580", "--gpu", "RTX 6000"], "did you mean RTX 6000 Ada or Quadro RTX 6000"),
        (["--driver", "580", "--gpu", "RX 7900 XTX"], "AMD: this is for NVIDIA GPUs only"),
        (["--driver", "580", "--gpu", "RX", "7900", "XTX"], "AMD: this is for NVIDIA GPUs only"),
        (["--driver", "580", "--gpu", "Arc A770"], "Intel: this is for NVIDIA GPUs only"),
        (["--driver", "32.0.15.6094", "--gpu", "RTX 4090"], "--driver 560.94, or add --os windows"),
        (["--driver", "latest", "--gpu", "RTX 4090"], "--driver: 'latest' is no version"),
        (["--glibc", "new"], "--glibc: 'new' is no version"),
        (["--python", "three"], "--python: 'three' is no Python version"),
        (["--torch", "2.x"], "torch: '2.x' is no version"),
        (["--accelerator", "gpu"], "accelerator: 'gpu' is none of"),
        (["--packages", "numpy=2"], "is no requirement"),
        (["--packages", "torch==2.13.0"], "pins torch"),
        (["--os", "plan9"], "plan9"),
        (["--bogus"], "--bogus"),
        (["stray"], "stray"),
    ],
)
def test_bad_usage_exits_with_1_and_a_sentence(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_the_whole_table() -> None:
    result = run("--driver", "580.95.05", "--gpu", "GTX 1080", "--explain")
    assert result.exit_code == 0
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert ["2.0.0", "cu117", "has no wheel for Python 3.12"] in [
        [*map(str.strip, r)] for r in rows
    ]
    explained = document("--driver", "580.95.05", "--gpu", "GTX 1080", "--explain")["explained"]
    assert {"torch": "2.15.0", "variant": "cu132", "reason": "has no code for Pascal (6.1)"} in (
        explained
    )


def test_what_the_sources_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def survey(sources: list[Source], projects: tuple[str, ...]) -> Survey:
        asked.extend(source.name for source in sources)
        own = Source(name="mirror", url="https://user:secret@example.org/simple")
        filename = "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl"
        wheel = Wheel(filename=filename, url=f"{own.url}/{filename}", source=own)
        return Survey(wheels=(wheel,), warnings=("https://dead.example.org does not answer",))

    monkeypatch.setattr("fleetwheel.lock.supply.configured_sources", lambda extra: ())
    monkeypatch.setattr("fleetwheel.lock.supply.survey", survey)
    result = CliRunner().invoke(commands, ["choose", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["packages"] == {"torch": "2.13.0+cpu"}
    assert found["index"] == "https://example.org/simple"
    assert "secret" not in result.output
    assert "warning: https://dead.example.org does not answer" in result.stderr
    assert set(asked) == {"official cpu"}
