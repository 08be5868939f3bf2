"""Chat templates as other programs store them, in the ways in which people write Jinja."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from testing.model_card import INSTRUCTION, PREFIX, SUFFIX

ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"


def selected(role: str) -> str:
    """The content of the message of a role."""
    return f"messages | selectattr('role', 'eq', '{role}') | map(attribute='content') | first"


def plain(*, suffix: str = SUFFIX, separator: str = "\n", instruction: str = INSTRUCTION, prefix: str = PREFIX) -> str:
    """A template of plain text with three fields; Jinja drops its last newline."""
    given = f"{{{{ {selected('system')} | default({json.dumps(instruction)}, true) }}}}"
    query, document = (f"{{{{ {selected(role)} }}}}" for role in ("query", "document"))
    body = f"<Instruct>: {given}{separator}<Query>: {query}{separator}<Document>: {document}"
    return f"{prefix}{body}{suffix}\n"


def looped(suffix: str = SUFFIX) -> str:
    """The same, gathered in a loop and printed from quoted strings."""
    return (
        f"{{%- set parts = namespace(system={json.dumps(INSTRUCTION)}, query='', document='') -%}}\n"
        "{%- for message in messages -%}\n"
        "    {%- if message.role == 'system' -%}{%- set parts.system = message.content -%}\n"
        "    {%- elif message.role == 'query' -%}{%- set parts.query = message.content -%}\n"
        "    {%- else -%}{#- the document -#}{%- set parts.document = message.content -%}{%- endif -%}\n"
        "{%- endfor -%}\n"
        f"{{%- set prefix = {json.dumps(PREFIX)} -%}}\n"
        "{{- prefix + '<Instruct>: ' + parts.system ~ '\\n<Query>: ' + parts.query -}}\n"
        f"{{{{- '\\n<Document>: ' ~ parts.document + {json.dumps(suffix)} -}}}}\n"
    )


def blocks() -> str:
    """The same with blocks on separate lines, which Jinja removes, and the instruction in a branch."""
    return (
        "{# the judge #}\n"
        f"{PREFIX}<Instruct>: {{% if messages[0].role == 'system' %}}{{{{ messages[0].content }}}}"
        f"{{% else %}}{INSTRUCTION}{{% endif %}}\n\n"
        "  {% for message in messages %}\n"
        "{% if message.role == 'query' %}\n"
        "<Query>: {{ message.content }}\n"
        "{% elif message.role == 'document' %}\n"
        "<Document>: {{ message.content }}{% endif %}\n"
        "{% endfor %}\n"
        f"{SUFFIX}\n"
    )


def roles(query: str, document: str) -> str:
    """What a query's and a document's message become, in a loop over both."""
    return (
        "{%- for m in messages -%}{%- if m['role'] == 'query' -%}{{- " + query + " -}}"
        "{%- elif m['role'] == 'document' -%}{{- " + document + " -}}{%- endif -%}{%- endfor -%}"
    )


ZERANK = roles(
    r"'<|im_start|>system\n' + m['content'] + '<|im_end|>\n'",
    r"'<|im_start|>user\n' + m['content'] + '<|im_end|>\n<|im_start|>assistant\n'",
)
OWN = roles(r"'Question: ' + m['content'] + '\n'", r"'Passage: ' + m['content'] + '\nRelevant:'")
CONVERSATION = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
TURNS = (
    "{% for m in messages %}{% if m.role == 'system' %}<|im_start|>system\n{{ m.content }}<|im_end|>\n"
    "{% else %}<|im_start|>user\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}<|im_start|>assistant\n\n"
)


def rendered(source: str, messages: Sequence[Mapping[str, Any]], **variables: str) -> str:
    """What Jinja prints, set up as transformers sets it up."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(messages=messages, add_generation_prompt=False, **variables)


def rendered_by_sglang(source: str, query: str, document: str, **variables: str) -> str:
    """What Jinja prints, set up as SGLang sets it up: both texts come from a user, and an instruction is `instruct`."""
    from jinja2 import Environment

    messages = [{"role": "user", "content": query}, {"role": "user", "content": document}]
    return Environment().from_string(source).render(messages=messages, **variables)
