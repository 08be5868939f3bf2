"""A Hub on 127.0.0.1 with the routes for fetching a snapshot and for sending one, and a log of requested files.

Sending is the protocol of huggingface_hub without hf_xet (HF_HUB_DISABLE_XET=1): who the token is, create, validate the
card, preupload, large files by their sha256, and a commit as JSON lines. What a request promises is checked. The tokens
are "write", "read", and such as "write, but not preupload", for which requests with that in their path are refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import yaml

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
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.posted: list[str] = []

    def environment(self, home: Path, **settings: str) -> dict[str, str]:
        """Variables of a process that asks this Hub, and keeps models in `home`; `settings` are further ones.

        huggingface_hub reads its own when it is imported, so they are for a process of its own.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return {**inherited, "HF_HOME": str(home), "HF_ENDPOINT": self.endpoint, **settings}


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


USER, TEAM = "alice", "team"
_LARGE = (".safetensors", ".gguf")
_REPOSITORY_ID = re.compile(r"[\w.-]+/[\w.-]+")


class _Handler(Quiet, BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        path, body = self.path.partition("?")[0], self._body()
        self.hub.posted.append(path)
        _, but, refused = self._token().partition(", but not ")
        if but and refused in path:
            self._refuse(403, "you shall not pass")
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif self._role() != "write":
            self._refuse(403 if self._role() else 401, "this token may not write")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            self._preupload(found[1], json.loads(body))
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif path == "/verify":
            self._verify(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._add_commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._send(404, b"")

    def do_PUT(self) -> None:
        oid, content = self.path.removeprefix("/large/"), self._body()
        if hashlib.sha256(content).hexdigest() != oid:
            return self._refuse(400, "not the promised content")
        self.hub.large[oid] = content
        return self._send(200, b"")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _role(self) -> str | None:
        role = self._token().partition(",")[0]
        return role if role in ("write", "read") else None

    def _reply(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Message": message})

    def _validate(self, card: str) -> None:
        """The rules of the real Hub's that a card of ours could break."""
        front = yaml.safe_load(card.split("---\n")[1])
        errors = [
            f'"{key}" with value "{front[key]}" is not valid'
            for key, rule in {"base_model": _REPOSITORY_ID, "license": re.compile(r"[a-z0-9.-]+")}.items()
            if key in front and (not isinstance(front[key], str) or not rule.fullmatch(front[key]))
        ]
        results = [result for model in front.get("model-index", []) for result in model["results"]]
        if not all(each["task"]["type"] and each["dataset"]["name"] and each["dataset"]["type"] for each in results):
            errors.append('"model-index" is not valid')
        answer = {"errors": [{"message": each} for each in errors], "warnings": []}
        self._send(400 if errors else 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _create(self, wanted: dict[str, Any]) -> None:
        owner = wanted.get("organization") or USER
        repository = f"{owner}/{wanted['name']}"
        if owner not in (USER, TEAM):
            self._refuse(403, f"you may not create in {owner}")
        elif repository in self.hub.commits:
            self._send(409, json.dumps({"url": f"{self.hub.endpoint}/{repository}"}).encode())
        else:
            private = wanted.get("visibility") == "private" or wanted.get("private") is True
            self.hub.private[repository] = private
            self.hub.commits[repository] = {commit_hash(repository, 0): {".gitattributes": b""}}
            self._reply({"url": f"{self.hub.endpoint}/{repository}"})

    def _preupload(self, repository: str, wanted: dict[str, Any]) -> None:
        if self._commit(repository, "main") is None:
            return
        for file in wanted["files"]:
            assert len(base64.b64decode(file["sample"])) == min(512, file["size"])
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in wanted["files"]
        ]
        self._reply({"files": modes})

    def _batch(self, wanted: dict[str, Any]) -> None:
        assert (wanted["operation"], wanted["hash_algo"]) == ("upload", "sha256")
        objects = []
        for each in wanted["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.endpoint}/large/{each['oid']}", "header": {}},
                "verify": {"href": f"{self.hub.endpoint}/verify"},
            }
            objects.append({**each, **({} if each["oid"] in self.hub.large else {"actions": actions})})
        self._reply({"transfer": "basic", "objects": objects})

    def _verify(self, promised: dict[str, Any]) -> None:
        if len(self.hub.large.get(promised["oid"], b"")) == promised["size"]:
            self._reply({})
        else:
            self._refuse(404, "no such object")

    def _add_commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        before = self._commit(repository, "main")
        if before is None:
            return
        files = dict(self.hub.commits[repository][before])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
                assert len(files[value["path"]]) == value["size"]
        commit = commit_hash(repository, len(self.hub.commits[repository]))
        self.hub.commits[repository][commit] = files
        self._reply({"commitUrl": f"{self.hub.endpoint}/{repository}/commit/{commit}", "commitOid": commit})

    def _who(self) -> None:
        role = self._role()
        if role is None:
            self._refuse(401, "unknown token")
        else:
            auth = {"accessToken": {"displayName": "a token", "role": role}}
            self._reply({"type": "user", "name": USER, "orgs": [{"name": TEAM, "type": "org"}], "auth": auth})

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/whoami-v2":
            self._who()
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
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
            facts = {"id": repository, "sha": commit, "siblings": siblings}
            facts["private"] = self.hub.private.get(repository, False)
            if "README.md" in files and files["README.md"].startswith(b"---\n"):
                facts["cardData"] = yaml.safe_load(files["README.md"].split(b"---\n")[1])
            self._send(200, json.dumps(facts).encode())

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
