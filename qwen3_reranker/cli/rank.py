"""`rank`: a query and documents -> the documents by how strongly the model says that they answer it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.documents import Reading, read_documents
from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.cli.text_files import STDIN, read_text
from qwen3_reranker.config import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import is_blank

if TYPE_CHECKING:
    from qwen3_reranker.records import Receipt

FORMATS = ("table", "json", "jsonl", "tsv")

Format = Annotated[str | None, flags.format_flag(FORMATS, "jsonl", "the ranking")]


def rank(
    arguments: flags.Arguments = None,
    *,
    top_k: flags.TopK = None,
    instruction: flags.Instruction = None,
    query_file: flags.QueryFile = None,
    input_format: flags.InputFormat = "auto",
    field: flags.Field = "text",
    id_field: flags.IdField = None,
    glob: flags.Glob = None,
    chunk: flags.Chunk = False,
    chunk_words: flags.ChunkWords = None,
    form: Format = None,
    explain_plan: flags.ExplainPlan = False,
    model: flags.Model = "nano",
    revision: flags.Revision = None,
    prompt: flags.Prompt = flags.ENGINE.prompt,
    max_length: flags.MaxLength = flags.ENGINE.max_length,
    truncate_queries: flags.TruncateQueries = flags.ENGINE.truncate_queries,
    special_tokens: flags.SpecialTokens = flags.ENGINE.special_tokens,
    max_batch_tokens: flags.MaxBatchTokens = flags.ENGINE.max_batch_tokens,
    num_threads: flags.NumThreads = flags.ENGINE.num_threads,
    backend: flags.Backend = flags.ENGINE.backend,
    device: flags.Device = flags.ENGINE.device,
    precision: flags.Precision = flags.ENGINE.precision,
    kernels: flags.Kernels = flags.ENGINE.kernels,
    no_disk_cache: flags.NoDiskCache = not flags.ENGINE.disk_cache,
) -> None:
    """Rank documents by how strongly the model says that they answer a query.

    DOCUMENTS are files, folders and - for standard input, as many as you like:

      notes.txt       one document a line
      notes.md        one document; so is other markup, and source code
      notes.jsonl     one record a line, a JSON object; "text" is its text
      notes.json      an array of records, or of texts
      notes.csv       one record a row below the header (or .tsv)
      notes/          files below it: these as above, any other as one document
      -               standard input, one document a line

    What a record holds besides its text comes back with it in JSON, and its id in every format.

    Examples:
      qwen3-reranker rank "take back my last commit" notes/ --glob '*.md'
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --field body -k 5
      qwen3-reranker rank "who may sign a contract" handbook.md --chunk
      git log --format=%s | qwen3-reranker rank "fixes a crash" - --format tsv
    """
    flags.at_least_one("--top-k", top_k)
    if explain_plan and form is not None:
        raise InputError(f"--explain-plan prints an outline and ranks nothing, so --format {form} has no meaning")
    form = flags.chosen_format(form, FORMATS, "jsonl")
    reading = Reading(
        input_format=flags.one_of("--input-format", input_format, flags.INPUT_FORMATS),
        field=field,
        id_field=id_field,
        glob=glob,
        chunk_words=flags.at_least_one("--chunk-words", chunk_words) or (flags.CHUNK_WORDS if chunk else None),
    )
    options: dict[str, Any] = {
        "prompt": prompt,
        "max_length": max_length,
        "truncate_queries": truncate_queries,
        "special_tokens": special_tokens,
        "max_batch_tokens": max_batch_tokens,
        "num_threads": num_threads,
        "backend": backend,
        "device": device,
        "precision": precision,
        "kernels": kernels,
        "disk_cache": not no_disk_cache,
    }
    # A bad option is told before documents are read, which may take long.
    EngineOptions(**options)
    query, places = _query_and_places(arguments or [], query_file)
    from qwen3_reranker.cli.progress import ProgressBar

    # Where documents are typed, nothing else may be on the screen.
    typed = STDIN in places and on_terminal(sys.stdin)
    with nullcontext() if typed else ProgressBar("reading documents"):
        documents = read_documents(places, reading)
    if not documents:
        found = "what was named holds no text" if glob is None else f"no text in what was named matches {glob!r}"
        note(f"no documents to rank: {found}; the ranking is empty")
    texts = [document.text for document in documents]

    # Imported when everything that can be wrong without a model is right, and never for --help.
    from qwen3_reranker import plan
    from qwen3_reranker.cli.formats import Report, write
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.weights import resolve

    # A download shows a bar of its own.
    resolve(model, revision)
    with (
        ProgressBar("opening the model") as bar,
        Reranker(model, revision=revision, plan_only=explain_plan, **options) as reranker,
    ):
        limit, positions = reranker.tokens.max_length, reranker.config.max_position_embeddings
        bar.stage("planning" if explain_plan else "ranking", _size(texts))
        if explain_plan:
            rows = reranker.rows([query] * len(texts), texts, instruction)
            outline = str(plan.build(rows, reranker.options.min_shared_tokens))
        else:
            asked = flags.TABLE_ROWS if top_k is None and form == "table" else top_k
            start = time.perf_counter()
            ranking = reranker.rank(query, texts, asked, instruction, on_progress=bar)
            seconds = time.perf_counter() - start
    if explain_plan:
        print(outline)
        cuts = [row.receipt for row in rows]
        _tell_of_documents(sum(each.truncated for each in cuts), len(cuts), limit, positions, reading)
        _tell_of_query(cuts[:1], limit)
        return

    if instruction is None:
        instruction = reranker.default_instruction
    report = Report(query, instruction, model, documents, ranking, limit, seconds)
    if form == "table":
        from qwen3_reranker.cli.table import write_table

        write_table(report, sys.stdout)
    else:
        write(report, form, sys.stdout)
    _tell_of_documents(ranking.usage.truncated_documents, len(documents), limit, positions, reading)
    _tell_of_query([hit.receipt for hit in ranking[:1]], limit)


def _size(texts: Sequence[str]) -> str:
    characters = sum(map(len, texts))
    written = f"{characters / 1e6:,.1f} million" if characters >= 1e6 else f"{characters:,}"
    return f"{len(texts):,} documents of {written} characters"


def _tell_of_documents(cut: int, count: int, limit: int, positions: int, reading: Reading) -> None:
    """Note how many documents were cut, and what ranks the rest of them too."""
    if cut:
        remedies = [f"--max-length allows up to {positions:,}"] if limit < positions else []
        words = reading.chunk_words
        remedies.append("--chunk ranks all of it in passages" if words is None else "--chunk-words makes them shorter")
        note(f"{cut:,} of {count:,} documents cut to fit {limit:,} tokens; {' or '.join(remedies)}")


def _tell_of_query(receipts: Sequence[Receipt], limit: int) -> None:
    """Note that the query was cut; receipts: that of one of its documents, or none."""
    for receipt in receipts:
        if receipt.query_truncated:
            kept, whole = receipt.kept_query_tokens, receipt.query_tokens
            note(f"the query was cut to the first {kept:,} of its {whole:,} tokens, to fit {limit:,} with a document")


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
