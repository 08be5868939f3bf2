"""The reference of the library as Markdown: what each public name is, from its signature and its docstring."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from inspect import Parameter, Signature
from types import FunctionType
from typing import Any

#: The modules whose `__all__` users import from, in the order of the page.
MODULES = ("qwen3_reranker", "qwen3_reranker.search")
_NAMES = r"[a-z_]\w*(?:, [a-z_]\w*)*: "


def library_reference() -> str:
    """A page with a section for each module, class and function."""
    parts = ["# Library reference", "Every public name, as its docstring describes it. It is made from the code."]
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        parts += [f"## {module_name}", *_paragraphs(module.__doc__)]
        described = {name: getattr(module, name) for name in module.__all__}
        for name in sorted(described, key=lambda name: (_is_error(described[name]), module.__all__.index(name))):
            if isinstance(described[name], type | FunctionType):
                parts += _section(name, described[name])
    return "\n\n".join(parts) + "\n"


def _section(name: str, described: type | FunctionType) -> Iterator[str]:
    yield f"### {name}"
    if not _is_error(described):
        yield _call(name, inspect.signature(described))
    yield from _paragraphs(described.__doc__)
    if isinstance(described, type) and not _is_error(described):
        options = described.__dict__["__init__"].__doc__ if "__init__" in described.__dict__ else None
        if options:
            yield _options(options)
        for member, value in _members(described):
            yield f"#### {name}.{member}"
            if isinstance(value, FunctionType):
                yield _call(member, inspect.signature(value))
            yield from _paragraphs(value.__doc__)


def _is_error(described: object) -> bool:
    return isinstance(described, type) and issubclass(described, BaseException)


def _members(described: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties with a docstring, those of our base classes too."""
    seen: set[str] = set()
    for owner in described.__mro__:
        if not owner.__module__.startswith("qwen3_reranker"):
            continue
        for name, stored in vars(owner).items():
            value = stored.__func__ if isinstance(stored, classmethod | staticmethod) else stored
            if name.startswith("_") or name in seen or not isinstance(value, property | FunctionType):
                continue
            seen.add(name)
            if value.__doc__:
                yield name, value


def _call(name: str, signature: Signature) -> str:
    """A signature as Python, with a parameter a line where one line is too long."""
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    shown = [_parameter(each) for each in parameters]
    first_named = next((at for at, each in enumerate(parameters) if each.kind is Parameter.KEYWORD_ONLY), None)
    if first_named is not None and not any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        shown.insert(first_named, "*")
    returned = "" if signature.return_annotation in (Signature.empty, None, "None") else signature.return_annotation
    ending = f") -> {_annotation(returned)}" if returned else ")"
    line = f"{name}({', '.join(shown)}{ending}"
    if len(line) > 100:
        line = "\n".join([f"{name}(", *(f"    {each}," for each in shown), ending])
    return f"```python\n{line}\n```"


def _parameter(parameter: Parameter) -> str:
    stars = "**" if parameter.kind is Parameter.VAR_KEYWORD else "*" * (parameter.kind is Parameter.VAR_POSITIONAL)
    text = stars + parameter.name
    if parameter.annotation is not Parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is not Parameter.empty:
        is_plain = isinstance(parameter.default, str | int | float | tuple | None)
        text += f" = {parameter.default!r}" if is_plain else " = ..."
    return text


def _annotation(annotation: Any) -> str:
    """A type as the source writes it, without the modules."""
    text: str = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text).replace("NoneType", "None")


def _options(text: str) -> str:
    """The lines of options as a list."""
    entries: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        if re.match(_NAMES, line):
            entries.append(line)
        else:
            entries[-1] += " " + line.strip()
    return "\n".join(f"- {_named(entry)}" for entry in entries)


def _paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a docstring. One that begins with `name: meaning` becomes a list of these."""
    return [
        _listed(" ".join(line.strip() for line in paragraph.splitlines()))
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
        if paragraph.strip()
    ]


def _listed(paragraph: str) -> str:
    if not re.match(_NAMES, paragraph):
        return paragraph
    meanings, *rest = re.split(r"(?<=\.) (?=Raises |Calls |Documents )", paragraph, maxsplit=1)
    entries = re.split(rf"(?<=[.;]) (?={_NAMES})", meanings)
    return "\n\n".join(["\n".join(f"- {_named(entry)}" for entry in entries), *rest])


def _named(entry: str) -> str:
    """The name before the colon as code."""
    return re.sub(rf"^({_NAMES[:-2]}): ", r"`\1`: ", entry.strip())
