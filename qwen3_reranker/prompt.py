"""What the models read: instruction, query and document -> text pieces.

No chat template, Jinja or Python of a checkpoint is ever executed. The strings are those of the Qwen3-Reranker and
Qwen3-Embedding model cards and of the technical report (arXiv 2506.05176, page 3); the tests pin their token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.records import QueryPrefix

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
#: The place of the instruction in the text before a query.
INSTRUCTION = "{instruction}"

_PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
_ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
_SUFFIX = _ASSISTANT + "<think>\n\n</think>\n\n"


class Constants(TypedDict):
    """The constant parts of rows: before a query prefix, after it, after a tail."""

    prefix: str
    middle: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Template:
    """One way to write the judge prompt. A row is prefix, opening, query, closing, middle, document, suffix.

    prefix, middle and suffix are the same for every row and may name control tokens. opening and closing are encoded
    together with the query; opening holds `INSTRUCTION` where the instruction goes. query_space and document_space
    stand before the query and before the document and are encoded with them. default_instruction: None for a prompt
    that reads no instruction. answers: the words whose logits judge, yes - no, or one word whose logit is the score.
    """

    name: str
    prefix: str = _PREFIX
    opening: str = f"<Instruct>: {INSTRUCTION}\n<Query>:"
    query_space: str = " "
    closing: str = "\n<Document>:"
    middle: str = ""
    document_space: str = " "
    suffix: str = _SUFFIX
    default_instruction: str | None = DEFAULT_INSTRUCTION
    answers: tuple[str, ...] = ("yes", "no")

    @property
    def constants(self) -> Constants:
        """What is the same in every row, under the names that `tokens.Tokens` takes."""
        return Constants(prefix=self.prefix, middle=self.middle, suffix=self.suffix)

    def pieces(
        self, instruction: str | None, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[QueryPrefix], list[str]]:
        """Query prefix and tail of each pair of a query and a document. A tail is a space and the document.

        The cut after `<Document>:` is exact: the pre-tokenizer never joins a colon and the space after it, so a prefix
        and a tail that are encoded apart give the tokens of the whole (the tests repeat the proof). The same holds
        after `<Query>:`, and between a letter and a newline. Raises InputError for an instruction that this prompt
        does not read.
        """
        chosen = self.default_instruction if instruction is None else instruction
        if chosen is None:
            opening = self.opening
        elif self.default_instruction is None:
            raise InputError(f"the prompt {self.name} reads no instruction; leave it out, or name another prompt")
        else:
            opening = self.opening.replace(INSTRUCTION, chosen)
        prefixes = {query: QueryPrefix(opening, f"{self.query_space}{query}", self.closing) for query in queries}
        return [prefixes[query] for query in queries], [f"{self.document_space}{document}" for document in documents]

    def written(self, instruction: str, query: str, document: str) -> str:
        """The whole prompt as text, e.g. with placeholders for a template that other programs fill."""
        opening = self.opening.replace(INSTRUCTION, instruction)
        return (
            f"{self.prefix}{opening}{self.query_space}{query}{self.closing}{self.middle}"
            f"{self.document_space}{document}{self.suffix}"
        )


# A classifier that sentence-transformers trained on pairs without a template: the tokens of both texts.
_PAIR = Template(
    "pair",
    prefix="",
    opening="",
    query_space="",
    closing="",
    document_space="",
    suffix="",
    default_instruction=None,
)
TEMPLATES = {
    template.name: template
    for template in (
        Template("card"),
        # What the card's vLLM code and the official evaluation render: double newlines, and a second <|im_end|> because
        # their chat template already closes the user's turn. For reproduction only.
        Template(
            "card-vllm",
            opening=f"<Instruct>: {INSTRUCTION}\n\n<Query>:",
            closing="\n\n<Document>:",
            suffix="<|im_end|>\n" + _SUFFIX,
        ),
        # What vLLM's qwen3_reranker.jinja renders: Jinja drops the last newline of a file.
        Template("card-lost-newline", suffix=_SUFFIX.removesuffix("\n")),
        # What SGLang's qwen3_reranker.jinja renders.
        Template("card-no-think-block", suffix=_ASSISTANT),
        _PAIR,
        # zeroentropy/zerank-1 and -2: the query is the system's turn, and the score is the logit of one word.
        replace(
            _PAIR,
            name="zerank",
            prefix="<|im_start|>system",
            query_space="\n",
            middle="<|im_end|>\n<|im_start|>user",
            document_space="\n",
            suffix=_ASSISTANT,
            answers=("Yes",),
        ),
    )
}


def template(name: str, instruction: str | None = None) -> Template:
    """The template of that name; raises InputError for an unknown one.

    instruction: the default that a checkpoint stores; it takes the place of the template's, where that reads one.
    """
    if not isinstance(name, str) or name not in TEMPLATES:
        raise unknown("prompt", name, TEMPLATES)
    chosen = TEMPLATES[name]
    if instruction is None or chosen.default_instruction is None:
        return chosen
    return replace(chosen, default_instruction=instruction)


#: What ends a text that is embedded; its state is the embedding.
EMBEDDING_SUFFIX = "<|endoftext|>"
_QUERY_LABEL = "\nQuery:"


def is_blank(query: str) -> bool:
    """Whether a query holds nothing to judge by. Library, command line and server refuse it alike."""
    return not query.strip()


def query_prompt(instruction: str) -> str:
    """What Qwen3-Embedding reads before a query. No space follows it, and a document has nothing before it."""
    return f"Instruct: {instruction}{_QUERY_LABEL}"


def embedding_pieces(before: str, texts: Sequence[str]) -> tuple[list[QueryPrefix], list[str]]:
    """Each text after its prompt, as a query prefix and a tail.

    The pre-tokenizer joins a colon with the letters after it, never with those before it. So the published prompt is
    cut before its last colon: all queries share that prefix, which is encoded once and cached between calls (the tests
    repeat the proof). Any other prompt is one piece with its text.
    """
    if before.endswith(_QUERY_LABEL):
        shared = QueryPrefix(before[:-1], "", "")
        return [shared] * len(texts), [f":{text}" for text in texts]
    return [QueryPrefix("", "", "")] * len(texts), [f"{before}{text}" for text in texts]
