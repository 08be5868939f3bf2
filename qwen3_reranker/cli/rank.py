"""`rank`: a query or many, and documents -> the documents, best answer first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.documents import DocumentOptions, read_documents
from qwen3_reranker.cli.dry_run import SAMPLED_ROWS, dry_run_option, estimate, write_estimate
from qwen3_reranker.cli.opened_reranker import (
    chosen_calibration,
    download,
    is_server,
    open_reranker,
    refuse_server_options,
    row_limit,
    warnings_noted,
)
from qwen3_reranker.cli.output_file import format_of, scratch_path, text_output
from qwen3_reranker.cli.queries import Query, queries_and_places
from qwen3_reranker.cli.rank_selection import RankSelectionOptions, selection_words
from qwen3_reranker.cli.ranking_output import RankingParquet, RankingReport, RankingWriter
from qwen3_reranker.cli.shared_options import CalibratedOptions, ModelOrServerOptions, output_option
from qwen3_reranker.cli.stages import StageOptions, engine_of, note_stages
from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.cli.text_files import STDIN
from qwen3_reranker.cli.why_options import WhyOptions
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.parquet import require_pyarrow

if TYPE_CHECKING:
    from qwen3_reranker.records import Cascade, Ranking, Receipt, Row, Screening
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.selection import Selection
    from qwen3_reranker.text_reranker import TextReranker

TABLE_ROWS = 10
# The format of a file by its ending.
_ENDINGS = {
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "tsv": "tsv",
    "trec": "trec",
    "run": "trec",
    "parquet": "parquet",
}


@dataclass(frozen=True, kw_only=True)
class RankingOptions(StageOptions, RankSelectionOptions):
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
    queries: str | None = option(
        None,
        "Rank for each query of FILE: one a line, or records (.jsonl, .json, .csv, .tsv, .parquet) with query or text, "
        "and id; all arguments are documents.",
        unit="FILE",
    )
    min_probability: float | None = option(
        None,
        "Leave out documents with a smaller probability, so that none may be left; with --calibrated one that holds.",
        unit="P",
        least=0,
        most=1,
    )


@dataclass(frozen=True, kw_only=True)
class RankingOutput(WhyOptions):
    """Where and how to print the ranking, or the plan in its place."""

    form: str | None = option(
        None,
        "How to print the rankings. trec: lines of a run. parquet: a row for each hit.",
        choices=("table", "json", "jsonl", "tsv", "trec", "parquet"),
        flag="--format",
        shown="table on a terminal, that of the ending of -o FILE, otherwise jsonl",
        group="Output",
    )
    output: str | None = output_option("The rankings go to FILE, which is there whole or not at all.")
    dry_run: bool = dry_run_option()
    explain_plan: bool = option(
        False,
        "Print the tree of the beginnings that texts share, and how much computing that saves; rank nothing.",
        group="Output",
    )

    @property
    def chosen(self) -> str:
        """The format that was named, that of the file's ending, or what suits where the output goes."""
        usual = "table" if self.output is None and on_terminal(sys.stdout) else "jsonl"
        return format_of(self.form, self.output, _ENDINGS, usual)


@declared
def rank(
    arguments: Annotated[list[str] | None, Argument(metavar="QUERY DOCUMENTS...")] = None,
    *,
    ranking: RankingOptions,
    documents: DocumentOptions,
    calibration: CalibratedOptions,
    output: RankingOutput,
    model: ModelOrServerOptions,
    engine: EngineOptions,
    server: ServerOptions,
) -> None:
    """Rank documents by how strongly the model says that they answer a query.

    DOCUMENTS are files, folders and - for standard input, as many as you like:

      notes.txt       one document a line
      notes.md        one document; so is other markup, and source code
      notes.jsonl     one record a line, a JSON object; "text" is its text
      notes.json      an array of records, or of texts
      notes.csv       one record a row below the header (or .tsv)
      notes.pdf       one document, a page or less with --chunk (or .docx, .xlsx ...)
      notes/          files below it: these as above, any other as one document
      -               standard input, one document a line

    JSON output repeats the whole record; every format has its id.

    Examples:
      qwen3-reranker rank "take back my last commit" notes/ --glob '*.md'
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --field body -k 5
      qwen3-reranker rank "who may sign a contract" handbook.md --chunk
      qwen3-reranker rank "who may sign a contract" letters/ -k 3 --why
      qwen3-reranker rank "who pays" docs/ -k 1 --why --other-instruction "Find costs"
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl -m http://localhost:8000
      git log --format=%s | qwen3-reranker rank "fixes a crash" - --format tsv
      qwen3-reranker rank "who pays" docs/ --calibrated fit.json --min-probability 0.5
      qwen3-reranker rank "who pays" docs/ --chunk --fold 0.8 --fit 2000 --format json
      qwen3-reranker rank --queries questions.jsonl handbook/ -k 10 -o answers.jsonl
      qwen3-reranker rank --queries topics.tsv corpus.jsonl -k 100 -o nano.trec
      qwen3-reranker rank "who pays" docs/ -k 5 --then Qwen/Qwen3-Reranker-4B --band 50
    """
    if output.explain_plan and output.dry_run:
        raise InputError("--explain-plan and --dry-run both print something in place of a ranking: leave one out")
    if output.explain_plan and (output.form is not None or output.output is not None):
        given = "--output" if output.form is None else f"--format {output.form}"
        raise InputError(f"--explain-plan prints an outline and ranks nothing, so {given} has no meaning")
    in_place = "--explain-plan" if output.explain_plan else "--dry-run" if output.dry_run else ""
    form = output.chosen
    output.refuse_why(form, in_place)
    if in_place and is_server(model.model):
        raise InputError(f"{in_place} needs the model on this machine; a server takes texts and gives scores")
    refuse_server_options(model, server, ranking.then)
    ranking.refuse_stages(engine, in_place, model.model)
    calibrated = chosen_calibration(calibration, ranking.judge_of(model))
    # What fits a prompt is shown in full.
    shown = TABLE_ROWS if ranking.top_k is None and ranking.fit is None and form == "table" else ranking.top_k
    ranking.refuse_selection(in_place, form, shown, ranking.screen, ranking.judge_of(model).model)
    queries, places = queries_and_places(arguments or [], ranking.query_file, ranking.queries)
    if form == "parquet":
        require_pyarrow()
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
    from qwen3_reranker.cascade import checked_band
    from qwen3_reranker.reranker import Reranker

    download(model, ranking.then)
    with (
        warnings_noted(),
        ProgressBar("opening the model") as bar,
        open_reranker(
            model, engine_of(model.model, ranking.then, engine), server, plan_only=output.explain_plan
        ) as reranker,
        ranking.opened_then(model, engine, server) as second,
    ):
        # Whose scores are shown.
        judge = second or reranker
        limit = row_limit(judge)
        positions = judge.config.max_position_embeddings if isinstance(judge, Reranker) else 0
        if isinstance(reranker, Reranker) and in_place:
            bar.stage("planning", _size(queries, texts))
            rows = _rows(reranker, queries, texts, ranking.instruction, SAMPLED_ROWS if output.dry_run else None)
            num_cut, cuts = (
                sum(row.receipt.truncated for row in rows),
                [row.receipt for row in rows[:: len(texts) or 1]],
            )
            if output.dry_run:
                predicted = estimate(reranker, rows, len(queries) * len(texts))
            else:
                outline = str(reranker.runner.plan(rows))
        else:
            bar.stage("ranking and explaining" if output.why else "ranking", _size(queries, texts))
            if calibrated is not None:
                calibrated.refuse_other(judge, ranking.instruction)
            common = RankingReport.of(judge, model.model, found, ranking.instruction, ranking.min_probability)
            file = None if calibrated is None else calibrated.file
            common = replace(common, calibration=file, then=ranking.then)
            top_k = shown
            if ranking.given:
                # The set is chosen from all that the model whose scores are shown has scored.
                top_k = None if ranking.then is None else checked_band(ranking.band, shown)
                ranking = replace(ranking, band=top_k)
            num_cut, cuts, reports, best_left_out = 0, [], [], []
            stages: list[Screening | Cascade] = []
            selections: list[Selection] = []
            with _output(form, output.output, several=ranking.queries is not None) as write:
                for query, hits, seconds in _rankings((reranker, second), queries, texts, top_k, ranking, bar):
                    num_cut += hits.usage.truncated_documents
                    stages += [each for each in (hits.screening, hits.cascade) if each]
                    cuts += [hit.receipt for hit in hits[:1]]
                    hits = hits if calibrated is None else calibrated.calibration.ranking(hits)
                    report = common.with_ranking(query.text, query.id, hits, seconds)
                    best_left_out += [] if len(report.ranking) else [hit.probability for hit in hits[:1]]
                    if ranking.given:
                        report = report.selected(shown, ranking.given)
                        selections += [report.selection] if report.selection is not None else []
                    reports.append(report.explained_by(judge, ranking.instruction, output) if output.why else report)
                    if output.output is not None or not on_terminal(sys.stdout):
                        write(reports.pop())
                # On a terminal nothing is written while the bar is there.
                bar.close()
                for report in reports:
                    write(report)
            _note_none(best_left_out, len(queries), ranking.min_probability)
            if selections and form != "table":
                note(f"selected {', '.join(selection_words(selections))}")
            if form != "table":
                note_stages(stages, len(found) * len(queries), (model.model, ranking.then), engine.precision)
    if output.dry_run:
        write_estimate(predicted, "pairs", output.form)
        return
    if output.explain_plan:
        print(outline)
    _note_cut_documents(num_cut, len(found) * len(queries), limit, positions, documents)
    _note_cut_query(cuts, limit)


def _rows(
    reranker: Reranker, queries: Sequence[Query], texts: Sequence[str], instruction: str | None, most: int | None
) -> list[Row]:
    """The tokens of each query with each text, at most so many."""
    pairs = list(islice(((query.text, text) for query in queries for text in texts), most))
    return reranker.rows([query for query, _ in pairs], [text for _, text in pairs], instruction)


def _rankings(
    models: tuple[TextReranker, TextReranker | None],
    queries: Sequence[Query],
    texts: Sequence[str],
    top_k: int | None,
    options: RankingOptions,
    on_progress: Callable[[float], None],
) -> Iterator[tuple[Query, Ranking, float]]:
    """The ranking of each query and the seconds it took, as many queries at once as one plan holds.

    models: the one that scores all documents, and the one that scores the best of them, if there is one.
    """
    from qwen3_reranker.text_reranker import MOST_PAIRS

    step = max(1, MOST_PAIRS // max(1, len(texts)))
    for start in range(0, len(queries), step):
        some = queries[start : start + step]

        def advance(share: float, start: int = start, count: int = len(some)) -> None:
            on_progress((start + share * count) / len(queries))

        begun = time.perf_counter()
        rankings = models[0].rank_many(
            [each.text for each in some],
            texts,
            top_k,
            options.instruction,
            on_progress=advance,
            screen=options.screen,
            confidence=options.confidence,
            then=models[1],
            band=options.band,
        )
        seconds = (time.perf_counter() - begun) / len(some)
        yield from ((query, ranking, seconds) for query, ranking in zip(some, rankings, strict=True))


@contextmanager
def _output(form: str, place: str | None, *, several: bool) -> Iterator[Callable[[RankingReport], None]]:
    """What writes a report in this format to the file, or to standard output."""
    if form == "parquet":
        assert place is not None, "format_of refuses it"
        with scratch_path(place) as path, closing(RankingParquet(path)) as parquet:
            yield parquet.write
        return
    with text_output(place) as stream:
        writer = RankingWriter(form, stream, several=several)
        yield writer.write
        writer.close()


def _size(queries: Sequence[Query], texts: Sequence[str]) -> str:
    characters = sum(map(len, texts))
    written = f"{characters / 1e6:,.1f} million" if characters >= 1e6 else f"{characters:,}"
    several = f"{len(queries):,} queries by " if len(queries) > 1 else ""
    return f"{several}{len(texts):,} documents of {written} characters"


def _note_none(best: Sequence[float], num_queries: int, least: float | None) -> None:
    """Note that no document answers; best: the probability of the best hit of each query without an answer."""
    if best and num_queries == 1:
        note(f"none of these answers: no document has a probability of {least:g} or more, the best has {best[0]:.3g}")
    elif best:
        note(f"none of these answers {len(best):,} of {num_queries:,} queries with a probability of {least:g} or more")


def _note_cut_documents(cut: int, count: int, limit: int | None, positions: int, options: DocumentOptions) -> None:
    """Note how many documents were cut, and what ranks the rest of them too."""
    if cut:
        remedies = [f"--max-length allows up to {positions:,}"] if limit and limit < positions else []
        words = options.passage_words
        remedies.append("--chunk ranks all of it in passages" if words is None else "--chunk-words makes them shorter")
        fit = f"cut to fit {limit:,} tokens" if limit else "cut by the server"
        note(f"{cut:,} of {count:,} documents {fit}; {' or '.join(remedies)}")


def _note_cut_query(receipts: Sequence[Receipt], limit: int | None) -> None:
    """Note that queries were cut; receipts: that of one document of each."""
    cut = [receipt for receipt in receipts if receipt.query_truncated]
    if len(cut) == 1:
        kept, whole = cut[0].kept_query_tokens, f"{'at least ' * cut[0].is_lower_bound}{cut[0].query_tokens:,}"
        note(f"the query was cut to the first {kept:,} of its {whole} tokens, to fit {limit:,} with a document")
    elif cut:
        note(f"{len(cut):,} queries were cut, to fit {limit:,} tokens with a document")
