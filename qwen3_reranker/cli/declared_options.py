"""Fields of dataclasses -> options of a verb -> instances of the dataclasses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer import Option

from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import OptionFacts

Keep = Callable[[str], bool]


def only(*names: str) -> Keep:
    """Of a dataclass, these fields; the others keep their defaults."""
    return names.__contains__


def without(*names: str) -> Keep:
    """Of a dataclass, all fields but these, which keep their defaults."""
    return lambda name: name not in names


@dataclass(frozen=True)
class Given:
    """`Annotated[dict[str, Any], Given(Kind)]`: of a dataclass, only the options that were given, unchecked."""

    kind: type


def declared(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer reads it, with an option for each field of a dataclass.

    A field becomes an option if it has a group, or its class the attribute `group`. `Annotated[Kind, only("a")]` and
    `without("a")` choose among the fields. The verb gets instances of the dataclasses, and of Given a dict. Raises
    InputError, before the verb begins, for a value that is no choice of its option or out of bounds; a dataclass with a
    __post_init__ checks its values itself.
    """
    kinds: dict[str, tuple[type, list[Field[Any]]]] = {}
    given_alone: dict[str, list[Field[Any]]] = {}
    parameters: dict[str, Parameter] = {}
    hints = get_type_hints(verb, include_extras=True)
    for name, parameter in signature(verb).parameters.items():
        kind, *keep = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        if keep and isinstance(keep[0], Given):
            given_alone[name] = kept = [each for each in fields(keep[0].kind) if _group(keep[0].kind, each)]
            types = get_type_hints(keep[0].kind)
            parameters |= {
                each.name: _without_default(each, types[each.name], _group(keep[0].kind, each)) for each in kept
            }
            continue
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters[name] = parameter.replace(annotation=hints[name])
            continue
        kept = [each for each in _in_order(kind) if _group(kind, each) and all(is_kept(each.name) for is_kept in keep)]
        kinds[name] = kind, kept
        types = get_type_hints(kind)
        parameters |= {each.name: _parameter(each, types[each.name], _group(kind, each)) for each in kept}

    def call(**given: Any) -> None:
        for name, kept in given_alone.items():
            values = {each.name: given.pop(each.name) for each in kept}
            given[name] = {name: value for name, value in values.items() if value is not None}
        for name, (kind, kept) in kinds.items():
            values = {each.name: given.pop(each.name) for each in kept}
            for each in kept:
                if each.default is True:
                    values[each.name] = not values[each.name]
                elif isinstance(values[each.name], list) and _is_mapping(get_type_hints(kind)[each.name]):
                    values[each.name] = _mapping(long_flag(each), values[each.name])
                elif not hasattr(kind, "__post_init__"):
                    _facts(each).check(long_flag(each), values[each.name])
            given[name] = kind(**values)
        verb(**given)

    call.__doc__, call.__name__, call.__module__ = verb.__doc__, verb.__name__, verb.__module__
    call.__signature__ = Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return call


def _facts(field: Field[Any]) -> OptionFacts:
    facts: OptionFacts = field.metadata.get("option", OptionFacts(""))
    return facts


def _group(kind: type, field: Field[Any]) -> str:
    return _facts(field).group or getattr(kind, "group", "")


def _in_order(kind: type) -> list[Field[Any]]:
    """The fields as the class itself writes them, those that it inherits last."""
    order = list(kind.__annotations__)
    return sorted(fields(kind), key=lambda each: order.index(each.name) if each.name in order else len(order))


def _written(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else f"{default}"


# More would not fit a line of 80 columns beside the flag: such choices are in the text.
_LONGEST_CHOICES = 70


def _parameter(field: Field[Any], kind: Any, group: str) -> Parameter:
    facts, default = _facts(field), field.default
    if _is_mapping(kind):
        kind = list[str] | None
    names = [name.strip() for name in facts.flag.split(",")] if facts.flag else [long_flag(field)]
    shown = facts.shown or ("" if default in (None, MISSING) or isinstance(default, bool) else _written(default))
    meaning = facts.help if default is not True else f"Do not {facts.help[0].lower()}{facts.help[1:]}"
    choices = "|".join(facts.choices)
    if len(choices) > _LONGEST_CHOICES:
        choices, meaning = "NAME", f"{meaning} NAME is one of {', '.join(facts.choices)}."
    declaration = Option(
        *names,
        metavar=None if isinstance(default, bool) else choices or facts.unit,
        help=meaning + (f" [{shown}]" if shown else ""),
        rich_help_panel=group,
        autocompletion=_completion(facts.choices) if facts.choices else None,
    )
    return Parameter(
        field.name,
        Parameter.KEYWORD_ONLY,
        default=False if default is True else Parameter.empty if default is MISSING else default,
        annotation=Annotated[kind, declaration],
    )


def _is_mapping(kind: Any) -> bool:
    """Whether a field holds a mapping, of which each flag gives an entry."""
    return any(get_origin(each) is Mapping for each in get_args(kind))


def _mapping(flag: str, entries: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE of each flag. A value that reads as JSON is that, and any other is text."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not (name and equals) or name in found:
            raise InputError(f"{flag} is NAME=VALUE, each name once, got {entry!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _without_default(field: Field[Any], kind: Any, group: str) -> Parameter:
    """The option of a field with None for "not given", as typer reads it: a text, unless it is a number or a flag."""
    typed = kind if kind in (bool, int, float) else str
    parameter = _parameter(field, typed | None, group)
    return parameter.replace(default=None)


def long_flag(field: Field[Any]) -> str:
    """--max-length of max_length; what is true by default gets the flag that makes it false."""
    name = field.name.replace("_", "-")
    return next(
        (each for each in _facts(field).flag.replace(" ", "").split(",") if each.startswith("--")),
        f"--no-{name}" if field.default is True else f"--{name}",
    )


def _completion(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def beginning(incomplete: str) -> list[str]:
        return [name for name in choices if name.startswith(incomplete)]

    return beginning
