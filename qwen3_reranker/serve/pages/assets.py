"""Styles, scripts and the icon, held in memory under an address that changes with them."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
#: Sent with everything that the pages are made of: nothing comes from elsewhere, nothing inline runs.
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Assets:
    """All files of the folder `assets`, read once.

    Their address holds a digest of them all, so browsers may keep them for ever, and a script finds the others beside
    itself in the same version.
    """

    def __init__(self) -> None:
        folder = files("qwen3_reranker.serve.pages") / "assets"
        self._contents = {
            each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES
        }
        joined = hashlib.sha256()
        for name, content in sorted(self._contents.items()):
            joined.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        self.digest = joined.hexdigest()[:16]

    def path(self, name: str) -> str:
        """The path of a file by its name, from the server's root; KeyError for none of ours."""
        if name not in self._contents:
            raise KeyError(name)
        return f"/assets/{self.digest}/{name}"

    async def answer(self, request: Request) -> Response:
        """The file that a request names; 304 if the browser has it, 404 for other names and other versions."""
        name = request.path_params["name"]
        content = self._contents.get(name)
        if content is None or request.path_params["digest"] != self.digest:
            return Response("Not found.\n", 404, SECURITY_HEADERS, "text/plain")
        tag = f'"{self.digest}"'
        headers = {**SECURITY_HEADERS, "etag": tag, "cache-control": "public, max-age=31536000, immutable"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, 200, headers, _TYPES[name.rpartition(".")[2]])
