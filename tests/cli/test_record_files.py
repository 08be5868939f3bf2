"""Records of JSON lines, arrays, CSV and TSV: what they hold comes back, and what looks like them is told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from qwen3_reranker.cli.documents import Document, DocumentOptions, read_documents
from tests.cli.conftest import Run

Capture = pytest.CaptureFixture[str]
RECORDS = [
    {"id": "A17", "text": "git reset undoes a commit", "url": "http://x"},
    {"id": "B2", "text": "rice, with \u201cquotes\u201d;\nand a line", "url": 'say "y"'},
]


def table(separator: str) -> str:
    held = io.StringIO()
    writer = csv.DictWriter(held, list(RECORDS[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(RECORDS)
    return "\ufeff" + held.getvalue()


FILES = {
    "notes.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS),
    "lines.json": "".join(json.dumps(record) + "\n" for record in RECORDS),
    "notes.json": json.dumps(RECORDS, indent=2),
    "notes.csv": table(","),
    "german.csv": table(";"),
    "notes.tsv": table("\t"),
}
SOURCES = {"notes.json": ("[0]", "[1]")}


@pytest.fixture
def files(notes: Path) -> Path:
    for name, content in FILES.items():
        (notes / name).write_bytes(content.encode())
    return notes


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_records_gives_the_same_texts_records_and_ids(name: str, capsys: Capture) -> None:
    first, second = SOURCES.get(name, (":2", ":3") if name.endswith("sv") else (":1", ":2"))
    assert read_documents([name], DocumentOptions()) == [
        Document(RECORDS[0]["text"], f"{name}{first}", RECORDS[0], "A17"),
        Document(RECORDS[1]["text"], f"{name}{second}", RECORDS[1], "B2"),
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv"])
def test_records_are_read_from_a_folder_and_from_standard_input_as_well(
    run: Run, model: str, notes: Path, form: str
) -> None:
    (notes / "folder").mkdir()
    (notes / "folder" / f"notes.{form}").write_bytes(FILES[f"notes.{form}"].encode())
    inside = run("rank", "q", "folder", "--model", model, "--format", "jsonl")
    piped = run(
        "rank", "q", "-", "--input-format", form, "--model", model, "--format", "jsonl",
        stdin=FILES[f"notes.{form}"].encode(),
    )  # fmt: skip
    for outcome in (inside, piped):
        assert outcome.err == ""
        assert [hit["record"] for hit in sorted(outcome.hits, key=lambda hit: int(str(hit["index"])))] == RECORDS


@pytest.mark.usefixtures("files")
def test_a_record_comes_back_in_json_and_its_id_in_every_format(run: Run, model: str) -> None:
    command = ("rank", "q", "notes.jsonl", "--model", model, "--format")
    hits = run(*command, "jsonl").hits
    assert {hit["id"]: hit["record"] for hit in hits} == {record["id"]: record for record in RECORDS}
    assert json.loads(run(*command, "json").out)["results"] == hits
    header, *rows = (line.split("\t") for line in run(*command, "tsv").out.splitlines())
    assert [row[header.index("id")] for row in rows] == [hit["id"] for hit in hits]
    shown = run(*command, "table").out.splitlines()
    assert "  id " in shown[0]
    assert all(f"  {hit['id']} " in line for hit, line in zip(hits, shown[1:], strict=False))


@pytest.mark.usefixtures("files")
def test_the_id_may_be_another_field_and_a_passage_brings_its_record_without_the_text(run: Run, model: str) -> None:
    hits = run("rank", "q", "notes.csv", "--id-field", "url", "--chunk-words", "2", "--model", model).hits
    assert len(hits) > 2
    assert {hit["id"] for hit in hits} == {record["url"] for record in RECORDS}
    assert all(hit["record"] in ({k: r[k] for k in ("id", "url")} for r in RECORDS) for hit in hits)


def test_an_array_may_hold_plain_texts(notes: Path) -> None:
    (notes / "texts.json").write_text('["a", "b"]', encoding="utf-8")
    assert read_documents(["texts.json"], DocumentOptions()) == [
        Document("a", "texts.json[0]"),
        Document("b", "texts.json[1]"),
    ]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('id\ttext\n1\t"a\tb" c\n', None),
        ('id\ttext\n1\t"so" he said\n2\tb\n', ['"so" he said', "b"]),
        ('id\ttext\n1\t"open\n2\tb\n3\tc"\n', ['"open', "b", 'c"']),
        ('id\ttext\n1\t"two\nlines"\n', ["two\nlines"]),
    ],
)
def test_a_quote_in_tsv_never_swallows_rows(notes: Path, content: str, texts: list[str] | None) -> None:
    (notes / "notes.tsv").write_text(content, encoding="utf-8")
    if texts is None:
        with pytest.raises(ValueError, match=r"notes\.tsv:2: expected the 2 columns"):
            read_documents(["notes.tsv"], DocumentOptions())
    else:
        assert [document.text for document in read_documents(["notes.tsv"], DocumentOptions())] == texts


def test_columns_without_a_name_or_with_a_taken_one_keep_their_cells(notes: Path) -> None:
    (notes / "notes.csv").write_text("text,tag,tag,\na,b,c,d\nshort\n\n", encoding="utf-8")
    assert [document.record for document in read_documents(["notes.csv"], DocumentOptions())] == [
        {"text": "a", "tag": "b", "column 3": "c", "column 4": "d"},
        {"text": "short"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "folder/package.json",
            '{"name": "x"}',
            "folder/package.json: expected an array of objects or strings, got an obj",
        ),
        ("folder/table.csv", "id,body\n1,a\n", "folder/table.csv:1: the header has no column 'text'"),
        ("folder/log.jsonl", '{"text": "a"}\n{"te', "folder/log.jsonl:2: not valid JSON"),
        ("single.json", '{"name": "x"}', "single.json: expected an array of objects or strings, got an object"),
        ("numbers.json", "[1, 2]", "numbers.json[0]: expected an object or a string, got a number"),
        ("broken.json", '[{"a"', "broken.json: not valid JSON"),
    ],
)
def test_a_file_that_is_called_records_and_holds_none_is_one_document_and_a_note(
    notes: Path, capsys: Capture, name: str, content: str, told: str
) -> None:
    (notes / name).parent.mkdir(exist_ok=True)
    (notes / name).write_text(content, encoding="utf-8")
    [document] = read_documents([name.split("/")[0]], DocumentOptions())
    assert document == Document(content.strip(), name)
    assert f"note: read as one document, not as records: {told}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["titles.csv", "titles.tsv"])
def test_a_table_of_one_column_without_a_header_is_a_document_a_line(notes: Path, capsys: Capture, name: str) -> None:
    (notes / name).write_text("first title\nsecond title\n", encoding="utf-8")
    assert [document.text for document in read_documents([name], DocumentOptions())] == ["first title", "second title"]
    assert capsys.readouterr().err == (
        f"note: read as a document a line, not as records: {name}:1: one column, and it is not called 'text'; "
        "choose one with --field\n"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"id": "A17", "text": "a"}\n{"id": "B2", "text": "b"}\n', "--input-format jsonl reads the field 'text'"),
        ('[\n{"text": "a"},\n{"text": "b"}\n]\n', "--input-format json reads the field 'text'"),
        ("id,text\n1,a\n2,b\n", "--input-format csv reads the column 'text'"),
        ("id\ttext\n1\ta\n", "--input-format tsv reads the column 'text'"),
        ("{braces} are no JSON\n[x] to do\ntext, plain\n", None),
        ("text, plain\n", None),
    ],
)
def test_records_that_are_ranked_as_lines_are_told(run: Run, model: str, content: str, told: str | None) -> None:
    outcome = run("rank", "q", "-", "--model", model, stdin=content.encode())
    assert outcome.code == 0
    assert outcome.err.count("\n") == (told is not None)
    assert (told or "") in outcome.err
    assert run("rank", "q", "-", "--input-format", "lines", "--model", model, stdin=content.encode()).err == ""


def test_what_is_named_is_a_document_a_line_with_a_note_where_that_may_surprise(notes: Path, capsys: Capture) -> None:
    def told(*places: str) -> str:
        read_documents(places, DocumentOptions())
        return capsys.readouterr().err

    prose = "One of\ntwo lines.\n\nAnother of\ntwo lines.\n"
    (notes / "prose.txt").write_text(prose, encoding="utf-8")
    (notes / "code.py").write_text("a = 1\nb = 2\n\n\nc = 3\nd = 4\n\n", encoding="utf-8")
    assert told("notes.txt") == ""
    assert told("prose.txt") == "note: prose.txt: 4 documents, one a line; --input-format whole makes each file one\n"
    assert told("notes.txt", "prose.txt") == (
        "note: notes.txt: 3 documents, one a line (and 1 more file alike); --input-format whole makes each file one\n"
    )
    assert told("code.py") == ""
    assert [document.source for document in read_documents(["code.py"], DocumentOptions())] == ["code.py"]
