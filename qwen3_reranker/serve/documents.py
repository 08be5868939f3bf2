"""Documents as clients write them (text, parts of a message, records with fields) -> texts to judge, and echoes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qwen3_reranker.serve.problems import invalid

# A document of these fields alone is meant for a model with eyes; in a record with other fields they are mere facts.
_MEDIA = frozenset({"image", "image_url", "video", "video_url", "audio"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def text_of(document: object, rank_fields: Sequence[str] | None, place: str) -> str:
    """The text to judge: a string as it is, the `text` or `content` of an object, else its fields as lines.

    rank_fields: the fields of an object to judge, in that order; those that it lacks are left out, and `text` alone is
    judged without its name. place: where the document stands in the body. Raises Problem for what is no text.
    """
    if isinstance(document, str):
        return document
    if not isinstance(document, Mapping):
        raise invalid("document_not_string", f"`{place}` must be a string or an object", place)
    if rank_fields:
        chosen = {name: document[name] for name in rank_fields if name in document}
        only_text = chosen.get("text") if len(chosen) == 1 else None
        return only_text if isinstance(only_text, str) else lines(chosen)
    if any(document.get(name) is not None for name in _MEDIA) and document.keys() <= _MEDIA | {"text", "type"}:
        raise invalid("unsupported_modality", f"`{place}` must be text: this model cannot see or hear", place)
    for name in ("text", "content"):
        if isinstance(document.get(name), str):
            return str(document[name])
    content = document.get("content")
    if isinstance(content, list) and content and all(isinstance(part, Mapping) and "type" in part for part in content):
        return text_of_parts(content, f"{place}.content")
    return lines(document)


def text_of_parts(parts: Sequence[Mapping[str, Any]], place: str) -> str:
    """The text of a message in parts, one below the other. Raises Problem for images and for parts without text."""
    texts = []
    for number, part in enumerate(parts):
        if part.get("type") not in _TEXT_PARTS:
            where = f"{place}.{number}.type"
            raise invalid("unsupported_modality", f"`{where}` must be text: the model reads nothing else", where)
        if not isinstance(part.get("text"), str):
            where = f"{place}.{number}.text"
            raise invalid("document_not_string", f"`{where}` must be a string", where)
        texts.append(part["text"])
    return "\n".join(texts)


def lines(fields: Mapping[str, Any]) -> str:
    """A record as lines of "name: value" in its order, what is null left out; nested values as JSON on their line."""
    return "\n".join(f"{name}: {as_line(value)}" for name, value in fields.items() if value is not None)


def echo_of(document: object, text: str) -> dict[str, Any]:
    """The document to give back: an object as it came, with the text that was judged where it has no `text`."""
    if not isinstance(document, Mapping):
        return {"text": text}
    own = document.get("text")
    return {**document, "text": own if isinstance(own, str) else text}


def as_line(value: object) -> str:
    """A value on one line: a string as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
