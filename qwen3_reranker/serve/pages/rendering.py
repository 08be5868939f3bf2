"""Renderer: a template and its values -> a page."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from qwen3_reranker.serve.pages.assets import SECURITY_HEADERS, Assets
from qwen3_reranker.serve.pages.site import Site

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/-]*)?")


class Renderer:
    """Fills the templates for one site."""

    def __init__(self, site: Site, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("qwen3_reranker.serve.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            count=_count, size=_size, parameters=_parameters, price=_price, difference=_difference, rate=_rate
        )
        self._environment.globals.update(site=site, asset=assets.path)

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page of a template. `root` and `origin` in it are the server's address."""
        root = request.scope.get("root_path", "").rstrip("/")
        text = self._environment.get_template(template).render({"root": root, "origin": self.origin(request), **values})
        return HTMLResponse(text, status, {**SECURITY_HEADERS, "cache-control": "no-cache"})

    @staticmethod
    def origin(request: Request) -> str:
        """The server's address, as clients of this visitor's reach it."""
        address = str(request.base_url).rstrip("/")
        # The Host header is the visitor's text, and appears in commands that people copy.
        return address if _ORIGIN.fullmatch(address) else "http://localhost:8000"


def _count(number: int) -> str:
    """1234 as 1,234."""
    return f"{number:,}"


def _size(num_bytes: int) -> str:
    """Bytes in decimal units: 1191553024 as 1.2 GB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.1f} {name}" if num_bytes < 10 * unit else f"{num_bytes / unit:,.0f} {name}"
    return f"{num_bytes} bytes"


def _parameters(number: int) -> str:
    """595776512 as 596 million."""
    return f"{number / 1e9:.1f} billion" if number >= 10**9 else f"{number / 1e6:.3g} million"


def _price(dollars: Decimal) -> str:
    """US dollars as they were set, without an exponent."""
    return f"${dollars:f}"


def _difference(value: Decimal) -> str:
    """A difference with its sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{abs(value)}"


def _rate(number: float) -> str:
    """Two digits of a speed, as no more of it can be repeated."""
    return f"{float(f'{number:.2g}'):,.10g}"
