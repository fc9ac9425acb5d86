"""Wheels rebuilt from what is installed, and an index of them in the layout of the official one."""

import base64
import csv
import hashlib
import io
import json
import subprocess
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.parser import HeaderParser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
"""Files of .dist-info that the installer wrote; it writes them again."""
NOTHING: Mapping[str, bytes] = {}


def installed(python: Path) -> dict[str, Distribution]:
    """Return every distribution that an interpreter can import, by normalised name."""
    ask = "import json, sys; print(json.dumps([path for path in sys.path if path]))"
    path = json.loads(subprocess.check_output([python, "-c", ask]))
    found: dict[str, Distribution] = {}
    for distribution in distributions(path=path):
        found.setdefault(canonicalize_name(distribution.name), distribution)
    return found


def closure(found: Mapping[str, Distribution], names: Iterable[str]) -> list[Distribution]:
    """Return the distributions of these names and all that they need here, extras included."""
    waiting = [(name, "") for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in found[name].requires or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": extra}):
                wanted = canonicalize_name(requirement.name)
                waiting += [(wanted, more) for more in ("", *requirement.extras)]
    return [found[name] for name in sorted({name for name, _ in seen})]


def rebuild(
    distribution: Distribution, directory: Path, changes: Mapping[str, bytes] = NOTHING
) -> Path:
    """Write the wheel that a distribution came from, as far as RECORD tells, without compression.

    ``changes`` has the new contents of files, by their path in the wheel.
    """
    files = {str(file): Path(str(file.locate())) for file in distribution.files or ()}
    kept = {name: path for name, path in files.items() if _belongs(name)}
    info = next(name.split("/")[0] for name in kept if name.endswith(".dist-info/METADATA"))
    tags = HeaderParser().parsestr(distribution.read_text("WHEEL") or "").get_all("Tag", [])
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    label = "-".join(".".join(dict.fromkeys(part)) for part in parts)
    wheel = directory / f"{info.removesuffix('.dist-info')}-{label}.whl"
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, path in kept.items():
            if name in changes:
                archive.writestr(name, changes[name])
                digest, size = hashlib.sha256(changes[name]).digest(), len(changes[name])
            else:
                archive.write(path, name)
                digest, size = _sha256(path), path.stat().st_size
            encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            rows.writerow([name, f"sha256={encoded}", size])
        rows.writerow([f"{info}/RECORD", "", ""])
        archive.writestr(f"{info}/RECORD", record.getvalue())
    return wheel


def _belongs(name: str) -> bool:
    """Whether a path of RECORD was in the wheel: not a script, bytecode or the installer's."""
    path = Path(name)
    if ".." in path.parts or path.is_absolute() or path.suffix == ".pyc":
        return False
    return not (path.name in LEFT_OUT and path.parent.suffix == ".dist-info")


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_index(root: Path, variant: str, wheels: Sequence[Path]) -> None:
    """Lay wheels out for a file server: all under ``whl/<variant>``, as on the official index.

    Those without a label in their version, as on PyPI, are under ``simple`` too. Each has its
    metadata beside it (PEP 658).
    """
    for wheel in wheels:
        project, version, *_ = parse_wheel_filename(wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            metadata = archive.read(name)
        (wheel.parent / f"{wheel.name}.metadata").write_bytes(metadata)
        described = f"sha256={hashlib.sha256(metadata).hexdigest()}"
        address = f"/{wheel.parent.relative_to(root)}/{quote(wheel.name)}"
        link = (
            f'<a href="{address}#sha256={_sha256(wheel).hex()}"'
            f' data-dist-info-metadata="{described}" data-core-metadata="{described}">'
            f"{wheel.name}</a><br/>\n"
        )
        for place in (f"whl/{variant}", *(() if version.local else ("simple",))):
            page = root / place / project / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(f"<!DOCTYPE html>\n<html><body>\n{link}</body></html>\n")


class _Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a directory on loopback; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
