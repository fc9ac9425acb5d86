"""Which wheels go which way, what a host then installs from, and what the mirror serves."""

import socket
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.delivery import mirror
from fleetwheel.delivery.distribution import (
    Delivery,
    Parcel,
    Way,
    deliver,
    mirrored,
    parcels,
    unserved,
)
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.render import render
from fleetwheel.sources.wheel import Source
from tests.hostile_server import serving

SHA = "a" * 64
ROOT = "/opt/fleetwheel"
TORCH = "https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl"
NUMPY = "https://index.example/files/numpy-2.4.0-py3-none-any.whl"
OWN = "file:///srv/wheels/ours-1.0-py3-none-any.whl"
SERVED = ("https://download.pytorch.org",)


def lock(*urls: str) -> Lock:
    text = 'lock-version = "1.0"\ncreated-by = "tests"\n'
    for url in urls:
        name, version = unquote(url).rpartition("/")[2].split("-")[:2]
        text += (
            f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
            f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{SHA}" }} }}]\n'
        )
    return Lock(name="pylock.x.toml", text=text)


def wheels(delivery: Delivery) -> list[dict[str, object]]:
    document = tomllib.loads(str(delivery.lock))
    return [wheel for package in document["packages"] for wheel in package["wheels"]]


@pytest.mark.parametrize(
    ("way", "here", "pushed"),
    [
        ("direct", False, [OWN]),
        ("direct", True, []),
        ("mirror", False, [OWN]),
        ("mirror", True, []),
        ("push", False, [TORCH, OWN]),
        ("push", True, [TORCH, OWN]),
    ],
)
def test_what_only_the_controller_can_read_is_pushed(
    way: Way, here: bool, pushed: list[str]
) -> None:
    found = parcels(lock(TORCH, OWN), way, here=here)
    assert [parcel.url for parcel in found] == pushed
    assert {parcel.sha256 for parcel in found} <= {SHA}


def test_a_parcel_keeps_its_file_name() -> None:
    parcel = Parcel(url=TORCH, sha256=SHA)
    assert parcel.place(ROOT) == (
        f"{ROOT}/cache/wheels/{SHA}/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    )


def test_without_mirror_and_parcels_the_lock_stays_as_it_is() -> None:
    assert deliver(lock(TORCH, NUMPY), ROOT) == Delivery()


def test_pushed_wheels_are_installed_from_disk_without_network() -> None:
    both = lock(TORCH, OWN)
    delivery = deliver(both, ROOT, parcels(both, "push", here=False))
    assert delivery.offline
    assert [wheel["path"] for wheel in wheels(delivery)] == [
        parcel.place(ROOT) for parcel in delivery.parcels
    ]
    assert all("url" not in wheel for wheel in wheels(delivery))


def test_a_wheel_of_the_controllers_own_goes_beside_those_from_the_mirror() -> None:
    mixed = lock(TORCH, NUMPY, OWN)
    pushed = parcels(mixed, "mirror", here=False)
    delivery = deliver(mixed, ROOT, pushed, "http://m1:8870", SERVED)
    assert not delivery.offline
    torch, numpy, own = wheels(delivery)
    assert torch["url"] == "http://m1:8870/https/" + TORCH.removeprefix("https://")
    assert numpy["url"] == NUMPY
    assert own["path"] == pushed[0].place(ROOT)
    assert unserved(mixed, SERVED) == ["https://index.example"]


@given(
    st.lists(st.sampled_from([TORCH, NUMPY, OWN]), min_size=1, unique=True),
    st.sampled_from(["direct", "mirror", "push"]),
)
def test_names_versions_and_hashes_are_the_locks(urls: list[str], way: Way) -> None:
    original = lock(*urls)
    pushed = parcels(original, way, here=False)
    delivery = deliver(original, ROOT, pushed, "http://m1:8870", SERVED)
    moved = Lock(name="x", text=delivery.lock or original.text)
    assert moved.packages == original.packages
    for new, old in zip(moved.document.packages, original.document.packages, strict=True):
        assert [w.hashes for w in new.wheels or ()] == [w.hashes for w in old.wheels or ()]
    assert delivery.offline is (len(pushed) == len(original.packages))


@pytest.mark.parametrize(
    ("named", "address", "host", "port"),
    [
        ("ws-01", "http://192.0.2.11:8870", "ws-01", 8870),
        ("ws-01:9000", "http://192.0.2.11:9000", "ws-01", 9000),
        ("cache.example", "http://cache.example:8870", "cache.example", 8870),
        ("http://cache.example:80/", "http://cache.example:80", "cache.example", 80),
        ("@local", "http://this.example:8870", "@local", 8870),
    ],
)
def test_how_the_inventory_names_a_mirror(named: str, address: str, host: str, port: int) -> None:
    hosts = {"ws-01": "192.0.2.11", "@local": "this.example"}
    assert mirror.address(named, hosts) == address
    assert (mirror.mirror_host(named), mirror.port_of(named)) == (host, port)


def test_what_a_mirror_serves() -> None:
    sources = [
        Source(name="open", url="https://index.example:8443/simple/"),
        Source(name="private", url="https://me:secret@private.example/simple/"),
        Source(name="disk", url="/srv/wheels", layout="flat"),
    ]
    urls = [TORCH, "https://private.example/files/x.whl", OWN, "https://bad;host/x.whl"]
    found = mirror.upstreams(sources, urls)
    assert [upstream.url for upstream in found] == [
        "https://download.pytorch.org",
        "https://index.example:8443",
    ]
    assert mirrored(TORCH, "http://m1").startswith("http://m1" + found[0].prefix + "/whl/")
    assert found[0].pattern == r"/https/download\.pytorch\.org"


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl", True),
        ("/a~b/@team/x-1!2.0+local-py3-none-any.whl", True),
        ("/x.whl", True),
        ("/private/secret.txt#.whl", False),
        ("/private/secret.txt;.whl", False),
        ("/private/secret.txt%3f.whl", False),
        ("/private/secret.txt%3F.whl", False),
        ("/private/secret.txt%23.whl", False),
        ("/private/secret.txt?.whl", False),
        ("/private/secret.txt%00.whl", False),
        ("/files/../private/x.whl", False),
        ("/files%2f..%2fprivate/x.whl", False),
        ("/files/%2e%2e/private/x.whl", False),
        ("/files\\..\\private\\x.whl", False),
        ("/x.whl.metadata", False),
        ("/x.whl\n", False),
        ("x.whl", False),
        ("", False),
    ],
)
def test_what_a_mirror_passes_on(path: str, passed: bool) -> None:
    assert mirror.passes(f"https://download.pytorch.org{path}") is passed


def test_a_wheel_that_the_mirror_would_not_pass_on_is_fetched_from_its_source() -> None:
    odd = "https://download.pytorch.org/a;b/numpy-2.4.0-py3-none-any.whl"
    torch, numpy = wheels(deliver(lock(TORCH, odd), ROOT, (), "http://m1:8870", SERVED))
    assert str(torch["url"]).startswith("http://m1:8870/")
    assert numpy["url"] == odd


def test_the_mirror_names_its_sources_in_its_configuration_and_no_others() -> None:
    text = render(
        "mirror.nginx.conf.j2",
        directory="/opt/fleetwheel/mirror",
        nameservers=["192.0.2.53"],
        cache_gb=50,
        port=8870,
        status_path=mirror.PATH,
        wheel=mirror.WHEEL,
        upstreams=[mirror.Upstream(url="https://download.pytorch.org")],
    )
    assert text.count("proxy_pass ") == 1
    assert "proxy_pass https://download.pytorch.org$path_1;" in text
    assert "max_size=50g" in text
    assert """return 200 '{"upstreams": ["https://download.pytorch.org"]}';""" in text


def test_a_mirror_that_does_not_answer_is_a_failure_with_its_repair() -> None:
    with pytest.raises(FleetwheelError, match="does not answer") as failed:
        mirror.served_sources("http://127.0.0.1:9")
    assert "deploys/mirror.py" in failed.value.hint


def test_a_mirror_that_answers_without_end_is_none() -> None:
    """It took 4.8 GB of the controller's memory."""
    sent = 0

    def endless(link: socket.socket) -> None:
        nonlocal sent
        link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += link.send(b"x" * 65536)

    with serving(endless) as port, pytest.raises(FleetwheelError, match="does not answer, or is"):
        mirror.served_sources(f"http://127.0.0.1:{port}")
    assert sent < 16 * 2**20


def test_the_unit_runs_as_a_user_of_its_own() -> None:
    text = render(
        "mirror.service.j2", user="nobody", directory=str(Path("/srv/m")), command="/usr/sbin/nginx"
    )
    assert "User=nobody\n" in text
    assert 'ExecStart=/usr/sbin/nginx -g "daemon off;"\n' in text


@pytest.mark.parametrize(
    "data", [{"mirror": "two words"}, {"mirror": "http://user:pw@host"}, {"distribution": "pigeon"}]
)
def test_settings_that_name_no_way_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(FleetwheelError, match=next(iter(data))) as error:
        Settings.from_data(data)
    assert "pw" not in str(error.value)
