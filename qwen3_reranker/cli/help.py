"""Help pages in plain text, as rich's are slow: examples, then groups of options."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from typer.core import TyperCommand, TyperGroup

from qwen3_reranker.cli.option_words import speak_of_flags
from qwen3_reranker.cli.terminal import coloured
from qwen3_reranker.cli.usage import meant
from qwen3_reranker.errors import RerankerError

_WIDEST = 100
_NAMES = 26
# The order of these groups, after those of the verb itself.
_LAST = ("Output", "Model", "Engine", "General")

# typer's context and parameter classes moved between its releases, so they are Any here.


class Verb(TyperCommand):
    """A verb with a help page of ours, and with errors that name its flags."""

    def get_help(self, ctx: Any) -> str:
        """The page."""
        arguments = [str(param.metavar) for param in self.params if param.param_type_name == "argument"]
        usage = " ".join(["[OPTIONS]", *arguments])
        return _page(ctx, usage, self.help or "", _option_groups(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the arguments. A flag with a value in brackets may stand without it, which gives an empty text."""
        bare = {name for param in self.params if str(param.metavar).startswith("[") for name in param.opts}
        end = args.index("--") if "--" in args else len(args)
        for place, name in enumerate(args[:end]):
            follower = args[place + 1] if place + 1 < len(args) else "--"
            if name in bare and follower.startswith("-") and follower != "-":
                args[place] = f"{name}="
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. An error of the library then names flags instead of the library's options."""
        try:
            return super().invoke(ctx)
        except RerankerError as error:
            speak_of_flags(error, self.params)
            raise


class VerbGroup(TyperGroup):
    """A program of several verbs, which its help lists."""

    def get_help(self, ctx: Any) -> str:
        """The page."""
        verbs = [(f"  {name}", _first_line(verb.help or "")) for name, verb in self.commands.items()]
        return _page(ctx, "VERB ...", self.help or "", [("Verbs", verbs), *_option_groups(ctx)])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that comes next; a misspelling is named."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"No such verb: {args[0]}.{meant(args[0], list(self.commands))}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Verbs in the order they were added."""
        return list(self.commands)


def _page(ctx: Any, usage: str, text: str, groups: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    parts = [f"{_bold('Usage:')} {ctx.command_path} {usage}", "\n".join(_body(text, width))]
    for title, records in groups:
        lines = [line for names, meaning in records for line in _record(names, meaning, width)]
        parts.append("\n".join([_bold(f"{title}:"), *lines]))
    return "\n\n".join(parts)


def _body(text: str, width: int) -> Iterator[str]:
    for plain, lines in groupby(text.splitlines(), _is_prose):
        if plain:
            yield from textwrap.wrap(" ".join(lines), width)
        else:
            yield from (_bold(line) if line.endswith(":") else line for line in lines)


def _is_prose(line: str) -> bool:
    """Whether a line is part of a paragraph: neither blank nor an example nor their title."""
    return bool(line) and not line.startswith(" ") and not (line.endswith(":") and " " not in line)


def _record(names: str, meaning: str, width: int) -> Iterator[str]:
    indent = " " * _NAMES
    lines = textwrap.wrap(meaning, max(24, width - _NAMES), break_on_hyphens=False) or [""]
    if len(names) > _NAMES - 2:
        yield names
    else:
        yield f"{names:<{_NAMES}}{lines.pop(0)}".rstrip()
    yield from (indent + line for line in lines)


def _option_groups(ctx: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in ctx.command.get_params(ctx):
        if param.param_type_name == "option":
            title = getattr(param, "rich_help_panel", None) or "General"
            groups.setdefault(title, []).append((_names(param), param.help or ""))
    return sorted(groups.items(), key=lambda group: _LAST.index(group[0]) if group[0] in _LAST else -1)


def _names(param: Any) -> str:
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join(short + long)
    lead = "  " if short else "      "
    return lead + names + (f" {param.metavar}" if param.metavar else "")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if coloured(sys.stdout) else text
