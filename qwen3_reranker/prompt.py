"""What the models read: instruction, query and document -> text pieces, as constants of our own.

No chat template, Jinja or Python of a checkpoint is ever executed. The strings are those of the Qwen3-Reranker and
Qwen3-Embedding model cards and of the technical report (arXiv 2506.05176, page 3); the tests pin their token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwen3_reranker.errors import unknown
from qwen3_reranker.records import Head

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

_PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Template:
    """One way to write the judge prompt.

    `prefix` and `suffix` are the same for every row and may name control tokens; `separator` stands between the
    instruction, the query and the document. A body is `<Instruct>: i` + separator + `<Query>: q` + separator +
    `<Document>: d`.
    """

    name: str
    prefix: str
    separator: str
    suffix: str
    default_instruction: str = DEFAULT_INSTRUCTION

    def pieces(
        self, instruction: str | None, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[Head], list[str]]:
        """Pair i's head and tail, for every pair of a query and a document; a tail is one space and the document.

        The cut after `<Document>:` is exact: the pre-tokenizer never joins a colon and the space behind it, so a head
        and a tail that are encoded apart give the tokens of the whole (the tests repeat the proof). The same holds
        after `<Query>:`.
        """
        chosen = self.default_instruction if instruction is None else instruction
        opening, closing = f"<Instruct>: {chosen}{self.separator}<Query>:", f"{self.separator}<Document>:"
        heads = {query: Head(opening, f" {query}", closing) for query in queries}
        return [heads[query] for query in queries], [f" {document}" for document in documents]


TEMPLATES = {
    template.name: template
    for template in (
        Template("card", _PREFIX, "\n", _SUFFIX),
        # What the card's vLLM code and the official evaluation render: double newlines, and a second <|im_end|> because
        # their chat template already closes the user's turn. For reproduction only.
        Template("card-vllm", _PREFIX, "\n\n", "<|im_end|>\n" + _SUFFIX),
    )
}


def template(name: str, instruction: str | None = None) -> Template:
    """The template of that name; raises InputError for an unknown one.

    instruction: the default that a checkpoint stores; it takes the place of the card's. Variants that reproduce other
    code keep theirs.
    """
    if not isinstance(name, str) or name not in TEMPLATES:
        raise unknown("prompt", name, TEMPLATES)
    chosen = TEMPLATES[name]
    return chosen if instruction is None or name != "card" else replace(chosen, default_instruction=instruction)


#: What ends a text that is embedded; its state is the embedding.
EMBEDDING_SUFFIX = "<|endoftext|>"
_QUERY_LABEL = "\nQuery:"


def is_blank(query: str) -> bool:
    """Whether a query holds nothing to judge by; library, command line and server refuse it alike."""
    return not query.strip()


def query_prompt(instruction: str) -> str:
    """What Qwen3-Embedding reads before a query; no space stands behind it, and a document has nothing before it."""
    return f"Instruct: {instruction}{_QUERY_LABEL}"


def embedding_pieces(before: str, texts: Sequence[str]) -> tuple[list[Head], list[str]]:
    """Each text behind what stands before it, as a head and a tail.

    The pre-tokenizer joins a colon with the letters behind it, never with those in front of it. So the published prompt
    is cut before its last colon: what all queries share is then a head, which is encoded once and remembered between
    calls (the tests repeat the proof). Any other prompt is one piece with its text.
    """
    if before.endswith(_QUERY_LABEL):
        shared = Head(before[:-1], "", "")
        return [shared] * len(texts), [f":{text}" for text in texts]
    return [Head("", "", "")] * len(texts), [f"{before}{text}" for text in texts]
