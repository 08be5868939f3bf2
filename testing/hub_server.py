"""A Hub on 127.0.0.1 with the routes for fetching a snapshot, and a log of requested files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from testing.local_server import Quiet, serving

Files = Mapping[str, bytes]


class Hub:
    """Repositories by id, each a list of commits, the last one is `main`; `gated` ids refuse every request."""

    def __init__(self, repositories: Mapping[str, list[Files]], gated: frozenset[str] = frozenset()) -> None:
        self.commits = {
            repository: {commit_hash(repository, number): files for number, files in enumerate(history)}
            for repository, history in repositories.items()
        }
        self.gated = gated
        self.fetched: list[str] = []
        self.endpoint = ""


def commit_hash(repository: str, number: int) -> str:
    """The hash of a repository's commit, counted from 0."""
    return hashlib.sha1(f"{repository}@{number}".encode()).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` until the block ends; its `endpoint` is what HF_ENDPOINT should say."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with serving(Handler) as hub.endpoint:
        yield hub


class _Handler(Quiet, BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            self._describe(found[1], found[2] or "revision", found[3] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._give(found[1], found[2], found[3])
        else:
            self._send(404, b"")

    def _describe(self, repository: str, what: str, revision: str) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        files = self.hub.commits[repository][commit]
        if what == "tree":
            listing = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files.items()
            ]
            self._send(200, json.dumps(listing).encode())
        else:
            siblings = [{"rfilename": path} for path in files]
            self._send(200, json.dumps({"id": repository, "sha": commit, "siblings": siblings}).encode())

    def _give(self, repository: str, revision: str, path: str) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        content = self.hub.commits[repository][commit][path]
        self.hub.fetched.append(path)
        self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit})

    def _commit(self, repository: str, revision: str) -> str | None:
        commits = self.hub.commits.get(repository)
        if repository in self.hub.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        elif commits is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision == "main":
            return list(commits)[-1]
        elif revision not in commits:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            return revision
        return None

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
