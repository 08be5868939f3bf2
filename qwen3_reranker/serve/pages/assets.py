"""Styles, scripts and the icon, in memory, at an address that changes with their content."""

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
#: For every page and asset: nothing is loaded from other sites, and no inline code runs.
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

    Their address holds a digest of all of them, so browsers may cache them for ever, and a script finds the others in
    the same version.
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
        """The path of a file from the server's root; KeyError for an unknown name."""
        if name not in self._contents:
            raise KeyError(name)
        return f"/assets/{self.digest}/{name}"

    async def answer(self, request: Request) -> Response:
        """The requested file; 304 if the browser has it, 404 for other names and versions."""
        name = request.path_params["name"]
        content = self._contents.get(name)
        if content is None or request.path_params["digest"] != self.digest:
            return Response("Not found.\n", 404, SECURITY_HEADERS, "text/plain")
        tag = f'"{self.digest}"'
        headers = {**SECURITY_HEADERS, "etag": tag, "cache-control": "public, max-age=31536000, immutable"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, 200, headers, _TYPES[name.rpartition(".")[2]])
