"""Logs: one line a request, as text or JSON, that never holds a text, a key or a header of the caller's."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

REQUESTS = logging.getLogger("qwen3_reranker.serve.requests")
_FACTS = "facts"


def log_request(facts: dict[str, Any]) -> None:
    """One request has been answered; `facts` are numbers and names of ours."""
    REQUESTS.info("request", extra={_FACTS: facts})


def set_up_logs(form: str) -> None:
    """Send the package's logs, and the HTTP library's warnings, to stderr as "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    logger = logging.getLogger("qwen3_reranker")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # What it says of requests could repeat them; what it says of itself is ours to say.
    library = logging.getLogger("uvicorn")
    library.handlers = [handler]
    library.setLevel(logging.WARNING)
    library.propagate = False


class _Lines(logging.Formatter):
    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a line says, in its order; of an error the kind and the places in our code, not its message."""
        facts: dict[str, Any] = {"level": record.levelname.lower(), "message": record.getMessage()}
        facts.update(getattr(record, _FACTS, {}))
        if record.exc_info and record.exc_info[1] is not None:
            facts["error"] = type(record.exc_info[1]).__name__
            facts["at"] = self._places(record.exc_info[1])
        return facts

    def _places(self, error: BaseException) -> list[str]:
        places = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_qualname}:{trace.tb_lineno}")
            trace = trace.tb_next
        return places[-8:]


class _JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return json.dumps({"time": f"{moment}.{int(record.msecs):03d}Z", **self.facts(record)})


class _TextLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        level, message = facts.pop("level"), facts.pop("message")
        rest = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        return " ".join(filter(None, [time.strftime("%H:%M:%S", time.localtime(record.created)), level, message, rest]))
