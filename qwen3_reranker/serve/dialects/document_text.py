"""Documents in a body (text, message parts, records) -> texts to score, and echoes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qwen3_reranker.serve.problems import invalid

# A document with only these fields is for a multimodal model; in a record with other fields they are data.
_MEDIA = frozenset({"image", "image_url", "video", "video_url", "audio"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def text_of(document: object, rank_fields: Sequence[str] | None, path: str) -> str:
    """The text to score of a string or an object.

    Of an object it is its `text` or `content`, else its fields as lines. rank_fields: the fields to score, in that
    order, without absent ones; a single `text` or `content` is scored without its name. path: of the document in the
    body. Raises Problem if it is no text.
    """
    if isinstance(document, str):
        return document
    if not isinstance(document, Mapping):
        raise invalid("document_not_string", f"`{path}` must be a string or an object", path)
    if rank_fields:
        chosen = {name: document[name] for name in rank_fields if document.get(name) is not None}
        only = next(iter(chosen.values())) if len(chosen) == 1 and chosen.keys() <= {"text", "content"} else None
        return only if isinstance(only, str) else lines(chosen)
    if any(document.get(name) is not None for name in _MEDIA) and document.keys() <= _MEDIA | {"text", "type"}:
        raise invalid("unsupported_modality", f"`{path}` must be text: this model cannot see or hear", path)
    for name in ("text", "content"):
        if isinstance(document.get(name), str):
            return str(document[name])
    content = document.get("content")
    if isinstance(content, list) and content and all(isinstance(part, Mapping) and "type" in part for part in content):
        return text_of_parts(content, f"{path}.content")
    return lines(document)


def text_of_parts(parts: Sequence[Mapping[str, Any]], path: str) -> str:
    """The text of a message's parts, one a line. Raises Problem for images and for parts without text."""
    texts = []
    for number, part in enumerate(parts):
        if part.get("type") not in _TEXT_PARTS:
            field = f"{path}.{number}.type"
            raise invalid("unsupported_modality", f"`{field}` must be text: the model reads nothing else", field)
        if not isinstance(part.get("text"), str):
            field = f"{path}.{number}.text"
            raise invalid("document_not_string", f"`{field}` must be a string", field)
        texts.append(part["text"])
    return "\n".join(texts)


def lines(fields: Mapping[str, Any]) -> str:
    """A record as lines of "name: value", without nulls. Nested values are JSON on their line."""
    return "\n".join(f"{name}: {as_line(value)}" for name, value in fields.items() if value is not None)


def echo_of(document: object, text: str) -> dict[str, Any]:
    """The document in a reply: an object, with the scored text as `text` by default."""
    if not isinstance(document, Mapping):
        return {"text": text}
    own = document.get("text")
    return {**document, "text": own if isinstance(own, str) else text}


def as_line(value: object) -> str:
    """A value on one line: a string itself, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
