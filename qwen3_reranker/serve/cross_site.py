"""CrossSiteCheck: which Host names are answered, and which web pages of other sites may call the server."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Scope

from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.settings import ServerSettings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = ("GET", "HEAD")
# What scripts of allowed sites may read of a reply, besides what every script may.
_EXPOSED = (
    "x-request-id, retry-after, retry-after-ms, x-should-retry, server-timing, openai-processing-ms, x-calibrated, "
    "x-cascade, x-screening, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
_PREFLIGHT_SECONDS = 600


class CrossSiteCheck:
    """Protects a server without keys from web pages of other sites, and lets in those of the setting `cors_origins`.

    A browser runs pages of any site beside this server. Without keys such a page could use it: by requests across sites
    (CSRF), or after its own name begins to resolve to this machine (DNS rebinding).
    """

    def __init__(self, settings: ServerSettings) -> None:
        names = {name.lower() for name in settings.allowed_hosts}
        is_open = settings.keys is not None or settings.is_public
        self._any_host = "*" in names or (is_open and not names)
        self._names = _LOOPBACK_NAMES | {settings.host.lower()} | names
        self._refuses_pages = settings.keys is None
        self._origins = frozenset(origin.lower() for origin in settings.cors_origins)

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise Problem 403 for a request under a foreign Host name, or from a page that may not send it."""
        if not self._answers(scope, headers.get("host", "")):
            raise _forbidden(
                "host_not_allowed",
                "this server does not answer under this Host name; the setting `allowed_hosts` adds names",
            )
        if self._refuses_pages and not self._allows_page(scope["method"], headers):
            raise _forbidden(
                "cross_site_request",
                "this server without keys takes no requests from pages of other sites; the setting `cors_origins` "
                "allows some",
            )

    def preflight(self, scope: Scope, headers: Headers) -> Response | None:
        """The reply to a browser that asks before a request across sites. None for every other request."""
        wanted = headers.get("access-control-request-method")
        if not self._origins or scope["method"] != "OPTIONS" or not wanted or "origin" not in headers:
            return None
        if not self._is_listed(headers["origin"]):
            raise _forbidden("cross_site_request", "the setting `cors_origins` of this server does not list this site")
        allowed = {
            "access-control-allow-methods": wanted,
            "access-control-allow-headers": headers.get("access-control-request-headers", "*"),
            "access-control-max-age": str(_PREFLIGHT_SECONDS),
        }
        return Response(status_code=204, headers=allowed)

    def add_headers(self, origin: str | None, reply: MutableHeaders) -> None:
        """Let scripts of a listed site read a reply. `origin`: of the request."""
        if not self._origins:
            return
        reply.add_vary_header("Origin")
        if origin is not None and self._is_listed(origin):
            reply["access-control-allow-origin"] = origin
            reply["access-control-expose-headers"] = _EXPOSED

    def _answers(self, scope: Scope, host: str) -> bool:
        """Whether the Host is one of ours, or an IP address, which no DNS answer can turn into another."""
        if self._any_host or not host or _is_unix_socket(scope):
            return True
        name = _hostname(host)
        return name in self._names or _is_address(name)

    def _allows_page(self, method: str, headers: Headers) -> bool:
        """Whether a request comes from no page, from one of ours or a listed one, or only opens an address."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and self._is_listed(origin):
            return True
        if site is not None:
            opens = method in _READING and headers.get("sec-fetch-mode") == "navigate"
            return site in ("same-origin", "none") or opens
        # Browsers leave Sec-Fetch-Site out on plain HTTP, except on the machine itself.
        return origin is None or _place(urlsplit(origin).netloc) == _place(headers.get("host", ""))

    def _is_listed(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower() in self._origins


def _forbidden(code: str, message: str) -> Problem:
    return Problem(403, "permission_error", code, message)


def _is_unix_socket(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and server[1] is None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(netloc: str) -> str:
    """Host and port, without the ports that browsers leave out."""
    return netloc.lower().removesuffix(":80").removesuffix(":443")


def _hostname(host: str) -> str:
    """localhost of LocalHost.:8000, and ::1 of [::1]:8000."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")
