"""`rank`: a query and documents -> the documents, best answer first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.documents import DocumentOptions, read_documents
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions, format_option
from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.cli.text_files import STDIN, read_text
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.prompt import is_blank

if TYPE_CHECKING:
    from qwen3_reranker.records import Receipt

TABLE_ROWS = 10


@dataclass(frozen=True, kw_only=True)
class RankingOptions:
    """What to rank by, and how much of the ranking to show."""

    group: ClassVar[str] = "Ranking"
    top_k: int | None = option(
        None, "Show the N best.", unit="N", flag="--top-k, -k", shown=f"{TABLE_ROWS} in a table, otherwise all", least=1
    )
    instruction: str | None = option(
        None,
        "Say what makes a document relevant, best in English.",
        unit="TEXT",
        shown="that it answers a web search query",
    )
    query_file: str | None = option(None, "Read the query from FILE; all arguments are documents.", unit="FILE")


@dataclass(frozen=True, kw_only=True)
class RankingOutput(PrintOptions):
    """How to print the ranking, or the plan in its place."""

    otherwise: ClassVar[str] = "jsonl"
    form: str | None = format_option(("table", "json", "jsonl", "tsv"), "jsonl")
    explain_plan: bool = option(
        False,
        "Print the tree of the beginnings that texts share, and how much computing that saves; rank nothing.",
        group="Output",
    )


@declared
def rank(
    arguments: Annotated[list[str] | None, Argument(metavar="QUERY DOCUMENTS...")] = None,
    *,
    ranking: RankingOptions,
    documents: DocumentOptions,
    output: RankingOutput,
    model: ModelOptions,
    engine: EngineOptions,
) -> None:
    """Rank documents by how strongly the model says that they answer a query.

    DOCUMENTS are files, folders and - for standard input, as many as you like:

      notes.txt       one document a line
      notes.md        one document; so is other markup, and source code
      notes.jsonl     one record a line, a JSON object; "text" is its text
      notes.json      an array of records, or of texts
      notes.csv       one record a row below the header (or .tsv)
      notes.pdf       one document, a page or less with --chunk (or .docx, .pptx, .xlsx ...)
      notes/          files below it: these as above, any other as one document
      -               standard input, one document a line

    JSON output repeats the whole record; every format has its id.

    Examples:
      qwen3-reranker rank "take back my last commit" notes/ --glob '*.md'
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --field body -k 5
      qwen3-reranker rank "who may sign a contract" handbook.md --chunk
      git log --format=%s | qwen3-reranker rank "fixes a crash" - --format tsv
    """
    if output.explain_plan and output.form is not None:
        raise InputError(
            f"--explain-plan prints an outline and ranks nothing, so --format {output.form} has no meaning"
        )
    query, places = _query_and_places(arguments or [], ranking.query_file)
    from qwen3_reranker.cli.progress import ProgressBar

    # Where documents are typed, nothing else may be on the screen.
    typed = STDIN in places and on_terminal(sys.stdin)
    with nullcontext() if typed else ProgressBar("reading documents"):
        found = read_documents(places, documents)
    if not found:
        glob = documents.glob
        reason = "what was named holds no text" if glob is None else f"no text in what was named matches {glob!r}"
        note(f"no documents to rank: {reason}; the ranking is empty")
    texts = [document.text for document in found]

    # Imported when everything that can be wrong without a model is right, and never for --help.
    from qwen3_reranker import plan
    from qwen3_reranker.cli.ranking_output import RankingReport, write_ranking
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.weights import resolve

    # A download shows a bar of its own.
    resolve(model.model, model.revision)
    with (
        ProgressBar("opening the model") as bar,
        Reranker(model.model, revision=model.revision, plan_only=output.explain_plan, **asdict(engine)) as reranker,
    ):
        limit, positions = reranker.tokens.max_length, reranker.config.max_position_embeddings
        bar.stage("planning" if output.explain_plan else "ranking", _size(texts))
        if output.explain_plan:
            rows = reranker.rows([query] * len(texts), texts, ranking.instruction)
            outline = str(plan.build(rows, reranker.options.min_shared_tokens))
        else:
            top_k = TABLE_ROWS if ranking.top_k is None and output.chosen == "table" else ranking.top_k
            start = time.perf_counter()
            hits = reranker.rank(query, texts, top_k, ranking.instruction, on_progress=bar)
            seconds = time.perf_counter() - start
    if output.explain_plan:
        print(outline)
        cuts = [row.receipt for row in rows]
        _note_cut_documents(sum(each.truncated for each in cuts), len(cuts), limit, positions, documents)
        _note_cut_query(cuts[:1], limit)
        return

    instruction = reranker.default_instruction if ranking.instruction is None else ranking.instruction
    write_ranking(
        RankingReport(query, instruction, model.model, found, hits, limit, seconds), output.chosen, sys.stdout
    )
    _note_cut_documents(hits.usage.truncated_documents, len(found), limit, positions, documents)
    _note_cut_query([hit.receipt for hit in hits[:1]], limit)


def _size(texts: Sequence[str]) -> str:
    characters = sum(map(len, texts))
    written = f"{characters / 1e6:,.1f} million" if characters >= 1e6 else f"{characters:,}"
    return f"{len(texts):,} documents of {written} characters"


def _note_cut_documents(cut: int, count: int, limit: int, positions: int, options: DocumentOptions) -> None:
    """Note how many documents were cut, and what ranks the rest of them too."""
    if cut:
        remedies = [f"--max-length allows up to {positions:,}"] if limit < positions else []
        words = options.passage_words
        remedies.append("--chunk ranks all of it in passages" if words is None else "--chunk-words makes them shorter")
        note(f"{cut:,} of {count:,} documents cut to fit {limit:,} tokens; {' or '.join(remedies)}")


def _note_cut_query(receipts: Sequence[Receipt], limit: int) -> None:
    """Note that the query was cut; receipts: that of one of its documents, or none."""
    for receipt in receipts:
        if receipt.query_truncated:
            kept, whole = receipt.kept_query_tokens, f"{'at least ' * receipt.is_lower_bound}{receipt.query_tokens:,}"
            note(f"the query was cut to the first {kept:,} of its {whole} tokens, to fit {limit:,} with a document")


def _query_and_places(arguments: Sequence[str], query_file: str | None) -> tuple[str, Sequence[str]]:
    if query_file is not None:
        if query_file == STDIN and STDIN in arguments:
            raise InputError("standard input (-) can be read only once, as the query or as documents")
        if arguments and arguments[0] != STDIN and not os.path.exists(arguments[0]):
            raise InputError(
                f"{arguments[0]}: no such file or folder; the query comes from --query-file, so all arguments are "
                "documents"
            )
        query, places = read_text(query_file).strip(), arguments
    elif arguments:
        query, places = arguments[0], arguments[1:]
    else:
        raise InputError("expected a query and documents, got neither: qwen3-reranker rank QUERY DOCUMENTS...")
    if is_blank(query):
        raise InputError(f"{'' if query_file is None else f'{query_file}: '}the query must not be blank")
    if not places:
        raise InputError("no documents named: give files, folders, or - for standard input after the query")
    return query, places
