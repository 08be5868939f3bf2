"""The address of a rerank server -> its host, and the routes that may answer there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from qwen3_reranker.endpoints.wire_formats import ATTEMPTS, WIRE_FORMATS, WireFormat
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.json_object import shown

#: The environment variable that holds the key where none is given.
KEY_VARIABLE = "QWEN3_RERANKER_API_KEY"
_ENDINGS = ("rerank", "reranks", "reranking", "score", "predict")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is. host: with its port, without credentials. path: what the caller gave, without a last slash."""

    scheme: str
    hostname: str
    port: int | None
    host: str
    path: str

    @classmethod
    def of(cls, url: str) -> ServerAddress:
        """The parts of a URL. Raises InputError for one that is no address of a server."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not url.isascii() or any(letter <= " " for letter in url):
            raise InputError(f"expected the address of a server such as http://localhost:8000, got {shown(url)}")
        if parts.username or parts.password:
            raise InputError("an address with a password would show up in reports; use --api-key")
        if parts.query or parts.fragment:
            raise InputError(f"the address must end with a path, without ? and #, got {shown(url)}")
        assert parts.hostname is not None
        host = parts.netloc.rpartition("@")[2]
        return cls(parts.scheme, parts.hostname, parts.port, host, parts.path.rstrip("/"))

    @property
    def origin(self) -> str:
        """The URL without a path."""
        return f"{self.scheme}://{self.host}"

    def attempts(self, dialect: str) -> list[tuple[WireFormat, str]]:
        """The wire formats and paths to try, in this order. dialect: the name of one, or "auto".

        Raises InputError for an unknown name.
        """
        if dialect != "auto" and dialect not in WIRE_FORMATS:
            raise unknown("dialect", dialect, ("auto", *WIRE_FORMATS))
        if self.path.rsplit("/", 1)[-1] in _ENDINGS:
            known = [WIRE_FORMATS[name] for name in _GENERAL] if dialect == "auto" else [WIRE_FORMATS[dialect]]
            return [(each, self.path) for each in known]
        if dialect == "auto":
            return [(WIRE_FORMATS[name], self._joined(path)) for name, path in ATTEMPTS]
        return [(WIRE_FORMATS[dialect], self._joined(path)) for path in WIRE_FORMATS[dialect].paths]

    def info_paths(self) -> list[str]:
        """Where servers say what they run: TEI and ours at /info, others in their list of models."""
        given = self.path
        if given.rsplit("/", 1)[-1] in _ENDINGS:
            given = given.rpartition("/")[0]
        base = given.removesuffix("/v1").removesuffix("/v2")
        return [f"{base}/info", f"{base}/v1/models"]

    def _joined(self, path: str) -> str:
        given = self.path
        # "http://host/v1" is what OpenAI-style clients are configured with.
        for version in ("/v1", "/v2"):
            if given.endswith(version):
                given, path = given.removesuffix(version), version + "/" + path.rsplit("/", 1)[-1]
        return given + path


# One format of each kind of body.
_GENERAL = tuple(dict.fromkeys(name for name, _ in ATTEMPTS))


def request_headers(api_key: str | None) -> dict[str, str]:
    """The headers of a request. Raises InputError for a key that no header can carry."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "qwen3-reranker"}
    if api_key:
        if not api_key.isascii() or not api_key.isprintable():
            raise InputError("the API key holds characters that no HTTP header can carry")
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def nothing_answers(address: ServerAddress, failures: dict[str, list[str]]) -> str:
    """That no route answers as a rerank server does. failures: the routes by the reason of each."""
    return (
        f"{address.origin}{address.path}: nothing here answers as a rerank server does; tried "
        + "; ".join(f"{', '.join(routes)}: {reason}" for reason, routes in failures.items())
        + ". Give the full address of its route, --dialect, or --model if it wants one"
    )
