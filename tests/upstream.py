"""A wheel source on loopback as a content network serves it: over TLS, in ranges, and counted."""

import hashlib
import re
import ssl
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Upstream:
    """A running source: where it is, and how many bytes of each wheel it has sent."""

    url: str = ""
    """``https://127.0.0.1:PORT``; its index is at ``/simple``."""
    sent: Counter[str] = field(default_factory=Counter)
    heard: set[str] = field(default_factory=set)
    """Names of the headers that came with requests for wheels, in lowercase letters."""
    delay: float = 0
    """Seconds before a wheel or a part of one is sent."""


@contextmanager
def upstream(wheels: Path, tls: Path) -> Iterator[Upstream]:
    """Serve a directory of wheels as an index. ``tls``: a key with its certificate."""
    source = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            # As servers do that decode before they look for parameters.
            parts = re.split("[#;?]", unquote(self.path))[0].strip("/").split("/")
            wheel = wheels / parts[-1]
            if parts[0] == "simple" and len(parts) == 2:
                self.answer(200, _page(wheels, parts[1]), {"Content-Type": "text/html"})
            elif parts[0] == "moved":
                self.answer(302, headers={"Location": f"{source.url}/files/{parts[-1]}"})
            elif parts[0] == "files" and "+" in self.path and wheel.exists():
                self.answer(403)  # as object stores do, to whom "+" is a space
            elif parts[0] == "files" and wheel.suffix == ".metadata":
                self.answer(200, _metadata(wheel.with_suffix("")))
            elif parts[0] == "files" and wheel.exists():
                self.send_wheel(wheel.name, wheel.read_bytes())
            else:
                self.answer(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def send_wheel(self, name: str, content: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            whole = len(content)
            headers = {"ETag": f'"{whole}"', "Accept-Ranges": "bytes"}
            if wanted:
                start, end = int(wanted[1]), min(int(wanted[2] or whole), whole - 1)
                headers["Content-Range"] = f"bytes {start}-{end}/{whole}"
                content = content[start : end + 1]
            source.heard.update(map(str.lower, self.headers))
            if self.command == "GET":
                source.sent[name] += len(content)
                time.sleep(source.delay)
            self.answer(206 if wanted else 200, content, headers)

        def answer(
            self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    source.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page(wheels: Path, project: str) -> bytes:
    """Return the index page of a project; addresses are as quoted as the official ones."""
    files = [wheel for wheel in wheels.glob("*.whl") if wheel.name.split("-")[0] == project]
    links = (
        f'<a href="/files/{quote(wheel.name)}#sha256='
        f'{hashlib.sha256(wheel.read_bytes()).hexdigest()}" data-core-metadata="true">'
        f"{wheel.name}</a>\n"
        for wheel in files
    )
    return f"<!DOCTYPE html>\n<html><body>{''.join(links)}</body></html>\n".encode()


def _metadata(wheel: Path) -> bytes:
    """Return the metadata that is served beside a wheel (PEP 658)."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("/METADATA")))


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a key with a certificate for 127.0.0.1, and the authority that vouches for it."""
    authority, own = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    # nginx compares the names of a certificate alone, others its addresses.
    names = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("127.0.0.1")]
    above = _certificate("tests' authority", authority, authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    below = _certificate("127.0.0.1", own, authority).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    server, trusted = directory / "server.pem", directory / "authority.pem"
    signed = below.sign(authority, hashes.SHA256()).public_bytes(pem)
    server.write_bytes(own.private_bytes(pem, *plain) + signed)
    trusted.write_bytes(above.sign(authority, hashes.SHA256()).public_bytes(pem))
    return server, trusted


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests' authority")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(above, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
    )
