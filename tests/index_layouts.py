"""Indexes as the usual products lay them out, on loopback: links, answers and redirects.

None of the products was run. What is known of them, read on 2026-11-30:

- Nexus: ``../../packages/NAME/VERSION/FILE#md5=`` in sonatype/nexus-public, PyPiHostedFacet.java;
  a whole page of a newer one, with sha256, in github.com/pyodide/micropip/pull/174
- Artifactory: address and login in jfrog/jfrog-cli-artifactory, commands/setup/setup_test.go;
  hashes in github.com/jazzband/pip-tools/issues/1135. Its links: not verified
- devpi: page and form in devpi/devpi, server/devpi_server/views.py (``_simple_list_project``),
  ``+f/HASH/HASH/FILE`` in main.py, redirects with ``mirror_use_external_urls``
- GitLab: page and absolute links in gitlabhq/gitlabhq, app/presenters/packages/pypi; forwarding in
  docs.gitlab.com/user/packages/pypi_repository; redirects of files to signed addresses in
  gitlab.com/gitlab-org/gitlab-qa/-/merge_requests/1135
- CodeArtifact: address and login in docs.aws.amazon.com/codeartifact/latest/ug/python-configure-pip
  and links in github.com/astral-sh/uv/issues/1388
- ProGet: address and login in docs.inedo.com/docs/proget-feeds-pypi. Links and hash: not verified
- S3: + for a space, and 403 for what is not there, in yetanothermichael.com/coding/2022/10/11
"""

import base64
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

LOGIN = "lab:s3cret"


class Layout(NamedTuple):
    """How one product arranges an index."""

    root: str
    """Path of the index."""
    link: str
    """Address of a file on the page of its project."""
    hash: str = "sha256"
    missing: int = 404
    login: bool = False
    """Whether pages and files are behind a user name and password."""
    redirects: bool = False
    """Whether the files are redirected to a store, which wants no password."""
    forwards: bool = False
    """Whether names that it lacks are redirected to another index."""
    head: str = "<title>Links for {project}</title>"
    """What a page begins with."""


LAYOUTS = {
    "Nexus": Layout(
        "/repository/pypi/simple",
        "../../packages/{project}/{version}/{file}",
        "md5",
        head='<title>Links for {project}</title><meta name="api-version" value="2"/>',
    ),
    "Nexus of today": Layout(
        "/repository/pypi/simple",
        "../../packages/{project}/{version}/{file}",
        head='<title>Links for {project}</title><meta name="api-version" value="2"/>',
    ),
    "Artifactory": Layout(
        "/artifactory/api/pypi/lab/simple", "../../{project}/{version}/{file}", login=True
    ),
    "devpi": Layout(
        "/root/lab/+simple",
        "../../+f/{digest:.3}/{rest:.13}/{file}",
        redirects=True,
        head='<title>root/lab: links for {project}</title><form method="post"><input></form>',
    ),
    "GitLab": Layout(
        "/api/v4/projects/7/packages/pypi/simple",
        "{server}/api/v4/projects/7/packages/pypi/files/{digest}/{file}",
        login=True,
        redirects=True,
        forwards=True,
    ),
    "CodeArtifact": Layout("/pypi/lab/simple", "{version}/{file}", login=True),
    "ProGet": Layout(
        "/pypi/lab/simple", "/pypi/lab/download/{project}/{version}/{file}", "sha1", login=True
    ),
    "S3": Layout("/lab/simple", "/lab/packages/{file}", missing=403),
    "behind a login": Layout("/simple", "../../files/{file}", "sha512", login=True),
}


class Served(NamedTuple):
    """A running index."""

    url: str
    """Its address, with user name and password where it needs them."""
    asked: list[tuple[str, str]]
    """Method and path of every request."""


@contextmanager
def serve_layout(
    layout: Layout, own: Sequence[Path], forwarded: Sequence[Path]
) -> Iterator[Served]:
    """Serve ``own`` wheels; those of ``forwarded`` too, from another index where it forwards."""
    asked: list[tuple[str, str]] = []
    plain = Layout("/simple", "../../files/{file}", missing=404)
    store = plain._replace(root="/none")
    everything = [*own, *forwarded]
    with _server(plain, forwarded, asked) as public, _server(store, everything, asked) as bucket:
        elsewhere = public if layout.forwards else None
        files = bucket if layout.redirects else None
        listed = own if layout.forwards else everything
        with _server(layout, listed, asked, files=files, elsewhere=elsewhere) as url:
            login = url.replace("://", f"://{LOGIN}@") if layout.login else url
            yield Served(f"{login}{layout.root}/", asked)


@contextmanager
def _server(
    layout: Layout,
    wheels: Sequence[Path],
    asked: list[tuple[str, str]],
    files: str | None = None,
    elsewhere: str | None = None,
) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append((self.command, self.path))
            authorized = self.headers.get("Authorization")
            if layout.login and authorized != _basic(LOGIN):
                return self.answer(401)
            if layout.root == "/none" and authorized:
                return self.answer(400)
            path = unquote(urlsplit(self.path).path)
            if page := re.fullmatch(rf"{re.escape(layout.root)}/([^/]+)/?", path):
                return self.page(page[1])
            return self.file(path.rpartition("/")[2])

        def do_HEAD(self) -> None:
            self.do_GET()

        def page(self, project: str) -> None:
            if not self.path.endswith("/"):
                return self.answer(302, headers={"Location": f"{self.path}/"})
            server = f"http://{self.headers['Host']}"
            links = [_link(layout, w, server) for w in wheels if _project(w) == project]
            if links:
                text = layout.head.format(project=project) + "".join(links)
                return self.answer(200, text.encode(), {"Content-Type": "text/html"})
            if elsewhere:
                return self.answer(302, headers={"Location": f"{elsewhere}/simple/{project}/"})
            return self.answer(layout.missing)

        def file(self, name: str) -> None:
            wheel = next((wheel for wheel in wheels if wheel.name == name), None)
            if wheel is None or (layout.missing == 403 and "+" in self.path):
                return self.answer(layout.missing)
            if files:
                return self.answer(302, headers={"Location": f"{files}/{quote(name)}?signature=1"})
            return self.answer(200, wheel.read_bytes())

        def answer(
            self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
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
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _link(layout: Layout, wheel: Path, server: str) -> str:
    digest = hashlib.new(layout.hash, wheel.read_bytes()).hexdigest()
    place = layout.link.format(
        project=_project(wheel),
        version=quote(wheel.name.split("-")[1]),
        file=quote(wheel.name),
        digest=digest,
        rest=digest[3:],
        server=server,
    )
    return f'<a href="{place}#{layout.hash}={digest}" rel="internal">{wheel.name}</a><br/>\n'


def _project(wheel: Path) -> str:
    return wheel.name.split("-")[0].replace("_", "-")


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"
