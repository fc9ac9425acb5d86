"""What uv on a host says of a wheel that does not come, and the hint that fits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from fleetwheel.node.uv import explained
from tests.serve_index import Reply, serve_index

ASKED = ("pip", "install")


def hint(url: str, place: Path) -> str:
    """Return the hint for what the real uv says of a wheel at this address."""
    words = [uv.find_uv_bin(), *ASKED, "--no-config", "--target", place, "--python", sys.executable]
    environment = {**os.environ, "UV_HTTP_RETRIES": "0"}
    done = subprocess.run(
        [*words, f"acme @ {url}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return explained(ASKED, done.stderr).hint


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "user name and password"),
        (403, "this host or login"),
        (404, "relock=true"),
        (410, "relock=true"),
        (429, "too many requests"),
        (500, "the source has a fault"),
        (503, "the source has a fault"),
    ],
)
def test_the_status_code_decides(status: int, words: str, tmp_path: Path) -> None:
    with serve_index({}) as index:
        index.replies["/acme-1.0-py3-none-any.whl"] = Reply(status)
        url = index.url.removesuffix("/whl")
        assert words in hint(f"{url}/acme-1.0-py3-none-any.whl", tmp_path)


def test_a_source_that_is_not_reached_is_another_matter(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/404 Not Found/acme-1.0-py3-none-any.whl"
    assert "check its network or proxy" in hint(url.replace(" ", "%20"), tmp_path)
