"""Whatever is wrong with what was given is one clear line on stderr and exit code 2, and nothing on stdout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

FILES = {
    "latin.txt": "fine\nna\xefve\n".encode("latin-1"),
    "wide.txt": "text".encode("utf-16"),
    "zero.txt": b"a\0b\n",
    "broken.jsonl": b'{"text": "a"}\n{"text": "b"\n',
    "nested.jsonl": b"[" * 100_000,
    "digits.jsonl": b'{"text": ' + b"9" * 5000 + b"}",
    "list.jsonl": b'["a"]\n',
    "other.jsonl": b'{"title": "a", "body": "b"}\n',
    "number.jsonl": b'{"text": 7}\n',
    "surrogate.jsonl": b'{"text": "a\\ud800b"}\n',
    "blank.txt": b" \n",
    "other.csv": b"id,body\n1,a\n",
    "wide.csv": b"id,text\n1,a\n2,b, c\n",
    "open.csv": b'id,text\n1,"a\n2,b\n',
    "other.json": b'[{"text": "a"}, {"title": "b"}]',
    "notes.jsonl": b'{"text": "a", "id": [1]}\n',
    "paper.pdf": b"%PDF-1.7\n",
}

COMMANDS = {
    "no such file": (["q", "missing.txt"], "missing.txt: no such file or folder"),
    "an empty name": (["q", ""], "got an empty one"),
    "not UTF-8": (["q", "latin.txt"], "latin.txt:2: expected UTF-8, got the byte 0xef"),
    "UTF-16": (["q", "wide.txt"], "wide.txt: expected UTF-8 text, got UTF-16; convert it: iconv"),
    "a binary file": (["q", "zero.txt"], "zero.txt: expected text, got a binary file"),
    "broken JSON": (["q", "broken.jsonl"], "broken.jsonl:2: not valid JSON: Expecting"),
    "deep JSON": (["q", "nested.jsonl"], "nested.jsonl:1: not valid JSON"),
    "a huge number": (["q", "digits.jsonl"], "digits.jsonl:1: not valid JSON"),
    "JSON that is no object": (["q", "list.jsonl"], "list.jsonl:1: expected a JSON object, got a list"),
    "no such field": (["q", "other.jsonl"], "other.jsonl:1: no field 'text' (its fields: 'title', 'body')"),
    "a field that is no text": (
        ["q", "number.jsonl"],
        "number.jsonl:1: the field 'text' must be a string, got a number",
    ),
    "CSV without the column": (
        ["q", "other.csv"],
        "other.csv:1: the header has no column 'text' (its columns: 'id', 'bo",
    ),
    "CSV with a cell too many": (["q", "wide.csv"], "wide.csv:3: expected the 2 columns of the header, got 3"),
    "CSV with an open quote": (["q", "open.csv"], "open.csv:2: not valid CSV"),
    "a JSON array without the field": (["q", "other.json"], "other.json[1]: no field 'text' (its fields: 'title')"),
    "an id that is missing": (
        ["q", "notes.jsonl", "--id-field", "key"],
        "notes.jsonl:1: no field 'key' (its fields: 'text', 'id'); choose one with --id-field",
    ),
    "an id that is none": (
        ["q", "notes.jsonl", "--id-field", "id"],
        "'id' must be a string or a whole number, got a li",
    ),
    "an id of lines": (["q", "notes.txt", "--id-field", "id"], "--id-field id: nothing that was named holds records"),
    "a query beside a query file": (
        ["--query-file", "notes.txt", "which note?", "notes.txt"],
        "which note?: no such file or folder; the query comes from --query-file, so all arguments are documents",
    ),
    "a PDF": (["q", "paper.pdf"], "paper.pdf: cannot be read: damaged PDF"),
    "a lone surrogate": (["q", "surrogate.jsonl"], "surrogate.jsonl:1: not valid Unicode"),
    "JSON on stdin": (["q", "-", "--input-format", "jsonl"], "stdin:1: not valid JSON"),
    "an empty query": ([" ", "notes.txt"], "the query must not be blank"),
    "an empty query file": (["--query-file", "blank.txt", "notes.txt"], "blank.txt: the query must not be blank"),
    "no such query file": (["--query-file", "missing.txt", "notes.txt"], "missing.txt: no such file"),
    "no arguments": ([], "expected a query and documents"),
    "no documents named": (["q"], "no documents named"),
    "stdin twice": (["q", "-", "-"], "standard input (-) can be read only once"),
    "stdin as query and documents": (["--query-file", "-", "-"], "standard input (-) can be read only once"),
    "a negative top-k": (["q", "notes.txt", "--top-k", "-1"], "--top-k must be at least 1, got -1"),
    "a top-k of zero": (["q", "notes.txt", "-k", "0"], "--top-k must be at least 1, got 0"),
    "a top-k that is no number": (["q", "notes.txt", "-k", "three"], "--top-k must be a whole number, got 'three'"),
    "a screen without a top-k": (["q", "notes.txt", "--screen", "int8"], "say how many with -k N"),
    "a screen of another backend": (["q", "notes.txt", "-k", "1", "--screen", "float8"], "got --screen float8"),
    "a screen of a server": (
        ["q", "notes.txt", "-k", "1", "--screen", "int8", "-m", "http://localhost:1"],
        "--screen needs the model on this machine",
    ),
    "a screen of what is not ranked": (
        ["q", "notes.txt", "-k", "1", "--screen", "int8", "--dry-run"],
        "--dry-run tells",
    ),
    "confidence in no screen": (["q", "notes.txt", "--confidence", "0.9"], "it needs --screen"),
    "a confidence of 1": (
        ["q", "notes.txt", "-k", "1", "--screen", "int8", "--confidence", "1"],
        "--confidence must be a number between 0 and 1",
    ),
    "a second model without a top-k": (["q", "notes.txt", "--then", "other"], "--then finds the N best documents: say"),
    "a band without a second model": (["q", "notes.txt", "-k", "1", "--band", "9"], "it needs --then"),
    "a band that is too narrow": (
        ["q", "notes.txt", "-k", "5", "--then", "other", "--band", "4"],
        "--band must be at least -k, as --then finds the best 5, got 4",
    ),
    "the same model twice": (
        ["q", "notes.txt", "-k", "5", "--model", "nano", "--then", "nano"],
        "--then must be another model than --model, got nano for both",
    ),
    "one folder as both models": (
        ["q", "notes.txt", "-k", "5", "--model", ".", "--then", "./"],
        "--then must be another model than --model, got ",
    ),
    "a second model and a screen": (
        ["q", "notes.txt", "-k", "5", "--then", "other", "--screen", "int8"],
        "leave out --screen or --then",
    ),
    "a second model of what is not ranked": (
        ["q", "notes.txt", "-k", "5", "--then", "other", "--explain-plan"],
        "--explain-plan tells",
    ),
    "a second model that is not there": (["q", "notes.txt", "-k", "5", "--then", "no/such/model"], "no/such/model"),
    "no words a chunk": (["q", "notes.txt", "--chunk-words", "0"], "--chunk-words must be at least 1, got 0"),
    "an unknown format": (["q", "notes.txt", "--format", "xml"], "unknown --format 'xml': expected one of table, json"),
    "an unknown input format": (["q", "notes.txt", "--input-format", "xml"], "unknown --input-format 'xml'"),
    "an unknown backend": (["q", "notes.txt", "--backend", "abacus"], "unknown --backend 'abacus'"),
    "an unknown precision": (["q", "notes.txt", "--precision", "int3"], "unknown --precision 'int3'"),
    "an impossible precision": (["q", "notes.txt", "--precision", "float64"], "backend"),
    "unknown kernels": (
        ["q", "notes.txt", "--kernels", "abacus"],
        "unknown --kernels 'abacus': expected one of native",
    ),
    "kernels of the reference": (
        ["q", "notes.txt", "--backend", "reference", "--kernels", "avx2"],
        "has kernels native",
    ),
    "too many threads": (["q", "notes.txt", "--threads", "1" + "0" * 20], "--threads must be at most 4,096"),
    "an unknown prompt": (["q", "notes.txt", "--prompt", "poem"], "unknown --prompt 'poem'"),
    "no batch": (["q", "notes.txt", "--max-batch-tokens", "0"], "--max-batch-tokens must be"),
    "too short a length": (["q", "notes.txt", "--max-length", "5"], "--max-length 5 leaves no room"),
    "too long a query": (["q" * 500, "notes.txt", "--max-length", "400"], "--truncate-queries"),
    "an unknown option": (["q", "notes.txt", "--topk", "3"], "Did you mean --top-k? See qwen3-reranker rank --help."),
    "an unknown model": (["q", "notes.txt", "--model", "nope"], "no model 'nope'"),
    "a file as a model": (["q", "notes.txt", "--model", "notes.txt"], "'notes.txt' is a file"),
    "a revision of a folder": (["q", "notes.txt", "--revision", "main"], "revision 'main'"),
}


@pytest.fixture
def folder(notes: Path) -> Path:
    for name, content in FILES.items():
        (notes / name).write_bytes(content)
    return notes


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("problem", COMMANDS)
def test_bad_input_to_rank_is_one_line_and_exit_code_2(run: Run, model: str, problem: str) -> None:
    arguments, expected = COMMANDS[problem]
    chosen = [] if "--model" in arguments else ["--model", model]
    outcome = run("rank", *chosen, *arguments, stdin=b"{broken\n")
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert expected in outcome.err


# Each ends in nothing that a user of flags has to translate.
OF_OTHER_VERBS = {
    "inspect": (["inspect", "--threads", "0"], "--threads must be a whole number of at least 1, got 0"),
    "inspect on a device": (["inspect", "--device", "cuda"], "use --backend torch"),
    "bench": (["bench", "--max-batch-tokens", "0"], "--max-batch-tokens must be"),
    "convert": (["convert", "nano", "new", "--to", "hf", "--quantize", "q8_0"], "got --quantize q8_0"),
    "convert to what is there": (["convert", "nano", "notes.txt", "--to", "hf"], "replace it with --overwrite"),
    "serve": (["serve", "--threads", "0"], "--threads must be"),
    "serve on no port": (["serve", "--port", "99999"], "--port must be at most 65535, got 99999"),
    "evaluate": (["evaluate", "nano", "--on", "x", "--max-length", "0"], "--max-length must be"),
    "train run": (["train", "run", "x", "-o", "y", "--batch", "0"], "--batch must be a whole number of at least 1"),
    "a rate of training": (
        ["train", "run", "x", "-o", "y", "--rate", "-1"],
        "--rate must be a number above 0, got -1.0",
    ),
    "ranks of mining": (
        ["train", "mine", "notes.txt", "-o", "y", "--ranks", "0-3"],
        "--ranks must go up from 1 or more",
    ),
    "a precision of training": (["train", "run", "x", "-o", "y", "--precision", "int8"], "--precision must be one of"),
    "doctor": (["doctor", "x", "--timeout", "soon"], "--timeout must be a number, got 'soon'"),
    "a verb": (["rnk"], "Did you mean rank? See qwen3-reranker --help."),
    "a verb of keys": (["keys", "lst"], "Did you mean list? See qwen3-reranker keys --help."),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("problem", OF_OTHER_VERBS)
def test_errors_of_every_verb_speak_of_its_flags(run: Run, problem: str) -> None:
    arguments, expected = OF_OTHER_VERBS[problem]
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments", [["rnk"], ["--rank"], ["inspect", "nope"], ["inspect", "a", "b"], ["inspect", ".", "--format", "tsv"]]
)
def test_bad_input_to_the_program_is_one_line_and_exit_code_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1


def test_a_damaged_checkpoint_is_one_line_and_exit_code_3(run: Run, notes: Path) -> None:
    (notes / "model").mkdir()
    (notes / "model" / "config.json").write_text("{", encoding="utf-8")
    outcome = run("rank", "q", "notes.txt", "--model", "model")
    assert outcome.code == 3
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1


def test_a_model_of_another_architecture_is_no_damage_and_exit_code_2(run: Run, notes: Path) -> None:
    (notes / "bge").mkdir()
    (notes / "bge" / "config.json").write_text('{"model_type": "xlm-roberta"}')
    ranked = run("rank", "q", "notes.txt", "--model", "bge")
    assert (ranked.code, ranked.out) == (2, "")
    assert "'xlm-roberta': another architecture" in ranked.err
    examined = run("doctor", "bge", "--format", "table")
    assert examined.code == 1
    assert "unsupported-model" in examined.out


@pytest.mark.usefixtures("notes")
def test_a_message_cannot_steer_the_terminal_or_break_the_line(run: Run) -> None:
    outcome = run("rank", "q", "a\x1b[2Jb\nc")
    assert outcome.err == "error: a\\x1b[2Jb\\x0ac: no such file or folder\n"


@pytest.mark.usefixtures("notes")
def test_an_input_that_holds_no_documents_is_an_empty_ranking_and_a_note(run: Run, model: str) -> None:
    outcome = run("rank", "q", "-", "--model", model, stdin=b"\n \n")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "note: no documents to rank: what was named holds no text; the ranking is empty\n"
