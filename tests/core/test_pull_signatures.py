"""What a pull with ``verify: true`` makes of signatures that were good once: real gpg and ssh."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_pull import GOOD, Lab

REFUSED = "has no signature that this host accepts"
WHO = "Lab <lab@example.org>"


class Signed(Lab):
    """A host and a repository whose commits are signed."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.environment = {**os.environ, "HOME": str(base), "GNUPGHOME": str(base / ".gnupg")}
        (base / ".gnupg").mkdir(mode=0o700)
        for name, value in (("name", "T"), ("email", "t@example.org")):
            self.configure(f"user.{name}", value)
        self.configure("commit.gpgsign", "true")

    def command(self, *words: str | Path) -> str:
        done = subprocess.run(
            words, env=self.environment, cwd=self.base, check=True, capture_output=True, text=True
        )
        return done.stdout

    def gpg(self, *words: str) -> str:
        return self.command("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", *words)

    def gpg_key(self, expires: str) -> str:
        """Make a key for this host and this repository; return its fingerprint."""
        self.gpg("--passphrase", "", "--quick-gen-key", WHO, "ed25519", "sign", expires)
        listed = self.gpg("--list-secret-keys", "--with-colons")
        return next(line for line in listed.splitlines() if line.startswith("fpr:")).split(":")[9]

    def ssh_key(self, name: str) -> Path:
        key = self.base / name
        self.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        return key

    def signed(self, text: str, key: str | Path, kind: str) -> None:
        """Publish a commit with this content, signed by this key."""
        (self.source / "inventory.py").write_text(text)
        self.configure("gpg.format", kind)
        self.configure("user.signingkey", key)
        if not self.repository.exists():
            self.command("git", "init", "-q", "--bare", "-b", "main", self.repository)
            self.command("git", "-C", self.source, "init", "-q", "-b", "main")
        self.command("git", "-C", self.source, "add", "--all")
        self.command("git", "-C", self.source, "commit", "-q", "-m", "change")
        self.command("git", "-C", self.source, "push", "-q", self.repository, "HEAD:main")

    def configure(self, name: str, value: str | Path) -> None:
        self.command("git", "config", "--global", name, str(value))

    def outcome(self) -> tuple[int, str]:
        return self.pull(source=f"file://{self.repository}", verify=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Signed]:
    tools = ("git", "rsync", "flock", "gpg", "ssh-keygen")
    if lacks := [tool for tool in tools if not shutil.which(tool)]:
        pytest.skip(f"no {' and no '.join(lacks)}: scripts/install-test-tools.sh")
    lab = Signed(tmp_path)
    yield lab
    lab.command("gpgconf", "--kill", "all")


def refuses(lab: Signed) -> None:
    code, said = lab.outcome()
    assert code != 0, said
    assert REFUSED in said
    assert lab.has("inventory.py") == "good"


def test_a_gpg_key_that_was_revoked(lab: Signed) -> None:
    key = lab.gpg_key("never")
    lab.signed("good", key, "openpgp")
    assert lab.outcome()[0] == 0
    lab.signed("later", key, "openpgp")
    revocation = lab.base / ".gnupg/openpgp-revocs.d" / f"{key}.rev"
    revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
    lab.gpg("--import", str(revocation))
    refuses(lab)


def test_a_gpg_key_that_has_expired(lab: Signed) -> None:
    key = lab.gpg_key("seconds=5")
    lab.signed("good", key, "openpgp")
    assert lab.outcome()[0] == 0
    assert lab.stages() == GOOD
    time.sleep(6)
    refuses(lab)


def test_an_ssh_key_that_was_revoked(lab: Signed) -> None:
    key = lab.ssh_key("one")
    public = key.with_suffix(".pub").read_text()
    signers, revoked = lab.base / "signers", lab.base / "revoked"
    signers.write_text(f"* {public}")
    lab.configure("gpg.ssh.allowedSignersFile", signers)
    lab.signed("good", key, "ssh")
    assert lab.outcome()[0] == 0
    lab.signed("later", key, "ssh")
    revoked.write_text(public)
    lab.configure("gpg.ssh.revocationFile", revoked)
    refuses(lab)


def test_an_ssh_key_whose_time_was_over_when_it_signed(lab: Signed) -> None:
    key = lab.ssh_key("one")
    public = key.with_suffix(".pub").read_text()
    (lab.base / "signers").write_text(f"* {public}")
    lab.configure("gpg.ssh.allowedSignersFile", lab.base / "signers")
    lab.signed("good", key, "ssh")
    assert lab.outcome()[0] == 0
    (lab.base / "signers").write_text(f'* valid-before="20200101" {public}')
    lab.signed("later", key, "ssh")
    refuses(lab)
