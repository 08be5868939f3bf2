"""A stored chat template, read as text -> the named prompt that it writes. No Jinja is ever run.

The text that a template prints is put together in the order of the file: plain text and quoted strings as they are,
everything else as one mark. Whitespace is handled as transformers sets Jinja up (trim_blocks, lstrip_blocks, no newline
at the end of a file): https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control. That text is compared
with the prompts of `prompt.TEMPLATES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from qwen3_reranker.prompt import DEFAULT_INSTRUCTION, INSTRUCTION, TEMPLATES, Template

# Stands for everything that is known only when the template is run.
_FIELD = "\0"
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING = re.compile("|".join(map(re.escape, _CLOSING)))
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SET = re.compile(r"set\s+([\w.]+)\s*=\s*(.*)", re.DOTALL)
_NAME = re.compile(r"[\w.]+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_ROLES = frozenset(("query", "document"))
# Of templates that take messages by their place, and of forms of the card's prompt that are not known.
_MARKS_OF_PAIRS = ("messages[1]", "Judge whether the Document meets the requirements")
# Those of conversations with tools take 20,000. What is longer is not read, so that a hostile one takes no time.
_MOST_CHARACTERS = 100_000
_MOST_IN_A_TAG = 5_000


@dataclass(frozen=True, slots=True)
class ReadTemplate:
    """What a chat template says as text.

    text: what it prints, `\\0` for what it is given. prompt: the name of the prompt that it writes; None for any other.
    instruction: what it writes where it is given none. exact: False where only blank space differs from that prompt.
    reads_pairs: whether it reads a query and a document; a template for conversations does not.
    """

    text: str
    prompt: str | None
    instruction: str | None
    exact: bool
    reads_pairs: bool


def read_chat_template(source: str) -> ReadTemplate:
    """What the Jinja source of a chat template says."""
    if len(source) > _MOST_CHARACTERS:
        return ReadTemplate("", None, None, False, True)
    text, strings = _printed(source)
    name, instruction, exact = _matched(text)
    if name is not None and TEMPLATES[name].default_instruction is None and not strings >= _ROLES:
        # Turns of a system and a user are those of any conversation.
        name = None
    if name is not None and not instruction:
        # The one sentence in the tags that is not part of what is printed stands in for an instruction not given.
        sentences = [each for each in strings if " " in each.strip() and each not in text]
        instruction = sentences[0] if len(sentences) == 1 else ""
    reads_pairs = name is not None or bool(_ROLES & strings) or any(mark in source for mark in _MARKS_OF_PAIRS)
    return ReadTemplate(text, name, _own(instruction), exact, reads_pairs)


def read_placeholders(source: str) -> ReadTemplate:
    """What a template of llama.cpp says: text that holds {query} and {document}."""
    text = source.replace("{query}", _FIELD).replace("{document}", _FIELD)
    name, instruction, exact = _matched(text)
    return ReadTemplate(text, name, _own(instruction), exact, True)


def _own(instruction: str) -> str | None:
    return None if instruction in ("", DEFAULT_INSTRUCTION) else instruction


def _printed(source: str) -> tuple[str, frozenset[str]]:
    """The text that a template prints, in order, and every string in its tags."""
    constants: dict[str, str] = {}
    strings: set[str] = set()
    printed: list[str] = []
    parts = _parts(source.removesuffix("\n"))
    for place, part in enumerate(parts):
        if place % 2 == 0:
            before = parts[place - 1] if place else ""
            after = parts[place + 1] if place + 1 < len(parts) else ""
            printed.append(_plain(part, before, after, first=place == 0))
            continue
        inner = part[2:-2].strip("-+").strip()
        if part.startswith("{#"):
            continue
        if len(inner) > _MOST_IN_A_TAG:
            printed.append(_FIELD)
            continue
        strings.update(map(_unquoted, _STRING.findall(inner)))
        if part.startswith("{{"):
            printed.append(_value(inner, constants))
        elif assigned := _SET.fullmatch(inner):
            value = _value(assigned[2], constants)
            if _FIELD not in value:
                constants.setdefault(assigned[1], value)
    return re.sub(f"{_FIELD}+", _FIELD, "".join(printed)), frozenset(strings)


def _parts(source: str) -> list[str]:
    """Plain text, tag, plain text, ..., plain text."""
    parts, start = [], 0
    while opening := _OPENING.search(source, start):
        end = source.find(_CLOSING[opening[0]], opening.end())
        if end < 0:
            break
        parts += [source[start : opening.start()], source[opening.start() : end + 2]]
        start = end + 2
    return [*parts, source[start:]]


def _plain(text: str, before: str, after: str, *, first: bool) -> str:
    """Plain text between two tags, less the whitespace that these take away."""
    if before.endswith(("-}}", "-%}", "-#}")):
        text = text.lstrip()
    elif before.startswith(("{%", "{#")) and not before.endswith("+%}"):
        text = text.removeprefix("\n")
    if after.startswith(("{{-", "{%-", "{#-")):
        return text.rstrip()
    if after.startswith(("{%", "{#")) and not after.startswith(("{%+", "{#+")):
        line, _, indent = text.rpartition("\n") if "\n" in text else ("", "", text)
        starts_line = "\n" in text or first or before.startswith(("{%", "{#"))
        if starts_line and not indent.strip(" \t"):
            return f"{line}\n" if "\n" in text else ""
    return text


def _value(expression: str, constants: Mapping[str, str]) -> str:
    """An expression's value: strings joined by + or ~, one mark for every other operand."""
    values = []
    for operand in _operands(expression):
        if _STRING.fullmatch(operand):
            values.append(_unquoted(operand))
        else:
            values.append(constants.get(operand, _FIELD) if _NAME.fullmatch(operand) else _FIELD)
    return "".join(values)


def _operands(expression: str) -> list[str]:
    """The operands of the outermost + and ~."""
    operands, depth, start, place = [], 0, 0, 0
    while place < len(expression):
        string = _STRING.match(expression, place)
        if string:
            place = string.end()
            continue
        mark = expression[place]
        depth += (mark in "([{") - (mark in ")]}")
        if depth == 0 and mark in "+~":
            operands.append(expression[start:place].strip())
            start = place + 1
        place += 1
    return [*operands, expression[start:].strip()]


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL)


def _pattern(template: Template, blank: str | None = None) -> re.Pattern[str]:
    """What a template of this prompt prints. blank: what stands for every stretch of blank space."""
    marked = template.written(INSTRUCTION, _FIELD, _FIELD)
    if blank is not None:
        marked = re.sub(r"\s+", blank, marked)
    before, given, after = marked.partition(INSTRUCTION)
    instruction = r"(?P<instruction>[^\n]*?)" if given else ""
    return re.compile(re.escape(before) + instruction + re.escape(after))


# A prompt without control tokens is no template's: any text of two fields would be it.
_PATTERNS = {name: _pattern(template) for name, template in TEMPLATES.items() if template.prefix}
_LOOSE_PATTERN = _pattern(TEMPLATES["card"], " ")


def _matched(text: str) -> tuple[str | None, str, bool]:
    """The prompt, the text's instruction, and whether blank space is the prompt's too."""
    for name, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            return name, _instruction(found), True
    if found := _LOOSE_PATTERN.fullmatch(re.sub(r"\s+", " ", text).rstrip() + " "):
        return "card", _instruction(found), False
    return None, "", False


def _instruction(found: re.Match[str]) -> str:
    return (found.groupdict().get("instruction") or "").replace(_FIELD, "").strip()
