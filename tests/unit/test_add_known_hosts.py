"""Host keys: whom to believe, by known_hosts and by fingerprints."""

import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from paramiko import ECDSAKey, HostKeys, PKey, RSAKey
from paramiko.hostkeys import HostKeyEntry

from fleetwheel.connection import host_keys, known_hosts
from fleetwheel.connection.known_hosts import (
    described_key,
    entry_name,
    fingerprint,
    lookup,
    sufficient,
)
from fleetwheel.errors import FleetwheelError


def ed25519() -> PKey:
    public = Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    entry = HostKeyEntry.from_line(f"x {line}")
    assert entry and entry.key
    return entry.key


A, B = ed25519(), ed25519()
EC, EC2 = ECDSAKey.generate(), ECDSAKey.generate()
RSA = RSAKey.generate(1024)


def file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def written(name: str, key: PKey) -> str:
    return known_hosts.line(name, key).rstrip()


@pytest.mark.parametrize("key", [A, EC, RSA], ids=["ED25519", "ECDSA", "RSA"])
def test_keys_are_described_as_ssh_keygen_does(key: PKey, tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text(f"{key.get_name()} {key.get_base64()} ws-01\n")
    told = subprocess.check_output(["ssh-keygen", "-lf", public], text=True).strip()
    assert described_key(key, "ws-01") == told


def test_fingerprints_are_those_of_ssh_keygen() -> None:
    assert fingerprint(A.fingerprint) == fingerprint(f"{A.fingerprint}=") == A.fingerprint
    for wrong in ("", "SHA256:", A.fingerprint[7:], "MD5:00:11:22", A.fingerprint + "AB"):
        with pytest.raises(ValueError, match="no fingerprint"):
            fingerprint(wrong)


@given(st.text())
def test_any_text_is_a_fingerprint_or_a_value_error(text: str) -> None:
    for told in (text, f"SHA256:{text}"):
        with suppress(ValueError):
            assert len(fingerprint(told)) == len("SHA256:") + 43


def test_a_host_is_found_by_its_name_and_port(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "# mine",
        "",
        written("ws-01,192.0.2.1", A),
        written("[ws-01]:2222", B),
        written(HostKeys.hash_host("ws-02"), EC),
        "ws-01 ssh-new AAAA",
        "@cert-authority ws-01 " + written("", B),
        "ws-01 too-few",
    )
    assert entry_name("ws-01", 22) == "ws-01"
    assert [(k.line, k.key) for k in lookup([path], "ws-01")] == [(3, A)]
    assert [(k.line, k.key) for k in lookup([path], "192.0.2.1")] == [(3, A)]
    assert [k.key for k in lookup([path], entry_name("ws-01", 2222))] == [B]
    assert [k.key for k in lookup([path], "ws-02")] == [EC]
    assert lookup([path, tmp_path / "missing"], "ws-03") == []


@pytest.mark.parametrize(
    "broken",
    ["ws-01 ssh-ed25519 A", "|1|AA=|AA= " + written("", A).strip()],
    ids=["no key", "no hash"],
)
def test_a_line_that_stops_pyinfra_is_named(broken: str, tmp_path: Path) -> None:
    path = file(tmp_path, written("ws-01", A), broken)
    with pytest.raises(FleetwheelError, match="known_hosts:2: is no host key"):
        lookup([path], "ws-01")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_bytes(b"\xff\xfe")
    with pytest.raises(FleetwheelError, match="known_hosts: cannot be read"):
        lookup([tmp_path / "known_hosts"], "ws-01")


@pytest.mark.parametrize(
    ("offered", "known", "changed"),
    [
        ([A], [], False),
        ([A], [A], False),
        ([A, RSA], [A], False),
        ([A], [A, RSA], False),
        ([B], [A], True),
        ([B, RSA], [A, RSA], True),
        ([A], [B, A], True),
        ([A], [RSA], True),
        ([EC2], [EC, A], True),
    ],
)
def test_a_changed_key_is_refused(
    offered: list[PKey], known: list[PKey], changed: bool, tmp_path: Path
) -> None:
    path = file(tmp_path, *(written("[ws-01]:2222", key) for key in known))
    there = lookup([path], "[ws-01]:2222")
    if not changed:
        return known_hosts.refuse_changed("[ws-01]:2222", offered, there)
    with pytest.raises(FleetwheelError, match="CHANGED") as error:
        known_hosts.refuse_changed("[ws-01]:2222", offered, there)
    assert all(key.fingerprint in str(error.value) for key in offered)
    assert f"ssh-keygen -R '[ws-01]:2222' -f {path}" in error.value.hint
    return None


def test_a_revoked_key_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path, "@revoked " + written("*", A))
    known_hosts.refuse_revoked([path], [B, RSA])
    with pytest.raises(FleetwheelError, match="known_hosts:1 marks as revoked"):
        known_hosts.refuse_revoked([path], [RSA, A])


def test_a_fingerprint_has_to_be_that_of_an_offered_key() -> None:
    known_hosts.refuse_unvouched("ws-01", [A, RSA], {RSA.fingerprint})
    known_hosts.refuse_unvouched("ws-01", [A], set())
    with pytest.raises(FleetwheelError, match=r"no host key with the fingerprint(?s:.)*ED25519"):
        known_hosts.refuse_unvouched("ws-01", [A], {B.fingerprint})


def test_rsa_alone_suffices_where_all_is_rsa() -> None:
    assert sufficient([RSA], [RSA])
    assert sufficient([A], [A, RSA])
    assert not sufficient([RSA], [A, RSA])
    assert not sufficient([], [A])


@pytest.mark.parametrize("before", [None, "", "other ssh-ed25519 AAAA", "# c\n"])
def test_keys_are_added_behind_what_is_there(before: str | None, tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
        path.chmod(0o644)
    known_hosts.add(path, "ws-01", [A, RSA])
    kept = [before.rstrip("\n")] if before else []
    assert path.read_text().splitlines() == [*kept, written("ws-01", A), written("ws-01", RSA)]
    assert path.stat().st_mode & 0o777 == 0o600
    if before is None:
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_a_jump_host_has_opened_is_used() -> None:
    here, there = socket.socketpair()
    way = host_keys.Way("nowhere.invalid", 22, (), here)
    with there, host_keys._transport(way) as transport:
        assert transport.sock.link is here
    assert here.fileno() == -1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "known_hosts")
    known_hosts.add(tmp_path / "link", "ws-01", [A])
    assert (tmp_path / "link").is_symlink()
    assert lookup([tmp_path / "known_hosts"], "ws-01")[0].key == A


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetwheelError, match="cannot be written"):
        known_hosts.add(tmp_path / "file" / "known_hosts", "ws-01", [A])
