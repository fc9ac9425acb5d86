"""How engines are told what a check of a host found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.node import check
from fleetwheel.node.checked import NPD_CODES, STATES, Checked, as_npd, as_slurm
from fleetwheel.node.compare import Difference

STRAY = Difference("package", "stray", "not there", "1.0", "run deploys/torch.py for this host")


@pytest.mark.parametrize(
    ("state", "reason"),
    [("ok", ""), ("warning", ""), ("critical", "fleetwheel: x"), ("unknown", "fleetwheel: x")],
)
def test_slurm_drains_for_a_difference_alone(state: str, reason: str) -> None:
    assert as_slurm(Checked(state, "x")) == reason


def test_a_problem_for_kubernetes_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """node-problem-detector reads 0 as healthy, 1 as a problem, all else as unknown."""
    assert NPD_CODES == {"ok": 0, "warning": 0, "critical": 1, "unknown": 2}
    assert {*NPD_CODES} == {*STATES}
    found = check.judged([STRAY], (), 0)
    monkeypatch.setattr(check, "check", lambda root, smoke: found)
    assert check.by_hand(["--root", "/x", "--format", "npd"]) == 1
    assert capsys.readouterr().out == "package: stray: expected not there, found 1.0\n"


@given(st.text())
def test_no_text_leaves_its_line(text: str) -> None:
    found = Checked("critical", text, (STRAY,))
    reason, message = as_slurm(found), as_npd(found)
    assert reason.startswith("fleetwheel: ")
    for said, most in ((reason, 200), (message, 80)):
        assert said.isascii()
        assert said.isprintable()
        assert len(said) <= most
        assert not {*"\"'`"} & {*said}
