"""Logs: one line per request, without the client's texts, keys and headers."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qwen3_reranker.errors import InputError, RerankerError

REQUESTS = logging.getLogger("qwen3_reranker.serve.requests")
KEY_CHANGES = logging.getLogger("qwen3_reranker.serve.key_changes")
# Who changed which key is told at every level of the log.
KEY_CHANGES.setLevel(logging.INFO)
_PACKAGE = "qwen3_reranker"
_FACTS = "facts"


def log_request(facts: dict[str, Any], level: int = logging.INFO) -> None:
    """Log an answered request; `facts` are numbers and names of the server."""
    REQUESTS.log(level, "request", extra={_FACTS: facts})


def set_log_level(level: str) -> None:
    """Log what the package says at this level and above: "debug", "info", "warning" or "error"."""
    logging.getLogger(_PACKAGE).setLevel(level.upper())


def log_key_change(facts: dict[str, Any]) -> None:
    """Log what an administrator did to a key: ids, limits and the key's name, and never its text."""
    KEY_CHANGES.info("key changed", extra={_FACTS: facts})


@contextmanager
def logging_to_stderr(form: str, level: str = "info") -> Iterator[None]:
    """Send the logs of package and HTTP library to stderr, as "text" or "json"."""
    handler = _ToStderr()
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    # The library's messages about requests could repeat them; its warnings are about itself.
    levels = {_PACKAGE: logging.getLevelNamesMapping()[level.upper()], "uvicorn": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, least in levels.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(least)
    try:
        yield
    finally:
        for name, least in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(least)


class _ToStderr(logging.Handler):
    """Writes to the current sys.stderr. A full disk or a closed terminal loses lines, and no request."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            sys.stderr.write(self.format(record) + "\n")


class _Lines(logging.Formatter):
    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of a line in order. Of an error its type and stack, and its message if no client wrote in it."""
        facts: dict[str, Any] = {"level": record.levelname.lower(), "message": record.getMessage()}
        facts.update(getattr(record, _FACTS, {}))
        if record.exc_info and (error := record.exc_info[1]) is not None:
            facts["error"] = type(error).__name__
            # An InputError may repeat the text of a request; the others speak of files, memory and devices.
            if isinstance(error, OSError) or (isinstance(error, RerankerError) and not isinstance(error, InputError)):
                facts["reason"] = str(error)
            facts["at"] = self._stack(error)
        return facts

    def _stack(self, error: BaseException) -> list[str]:
        frames = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_qualname}:{trace.tb_lineno}")
            trace = trace.tb_next
        return frames[-8:]


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
