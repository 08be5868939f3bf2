"""The tables of an index: collections, files, documents, passages, and the words of each passage.

All tables are in one SQLite file in WAL mode: many processes read while one writes, and a process that dies in a
transaction leaves what was there before.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.words import last_characters, words_and_parts

#: Raised when a table or `words_and_parts` changes; an older index is built anew.
VERSION = 3
_BUSY_SECONDS = 30.0
# Our words are the tokens: nothing but the blanks between them separates.
_TOKENIZE = "unicode61 remove_diacritics 0 categories ''L* M* N* P* S* C*''"
_TABLES = f"""
CREATE TABLE settings (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE collections (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, folder TEXT, glob TEXT, updated REAL NOT NULL DEFAULT 0
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, collection INTEGER NOT NULL REFERENCES collections, path TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, reading TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    UNIQUE (collection, path)
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files, name TEXT NOT NULL, title TEXT NOT NULL,
    fields TEXT NOT NULL
);
CREATE INDEX documents_of_file ON documents (file);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents, first_line INTEGER NOT NULL,
    last_line INTEGER NOT NULL, part TEXT NOT NULL, headings TEXT NOT NULL, text TEXT NOT NULL, vector INTEGER
);
CREATE INDEX passages_of_document ON passages (document);
CREATE VIRTUAL TABLE words USING fts5 (body, context, content='', tokenize='{_TOKENIZE}');
CREATE VIRTUAL TABLE word_counts USING fts5vocab ('words', 'row');
"""


# What joins a passage with all about it.
OF_PASSAGES = (
    "JOIN documents ON documents.id = document JOIN files ON files.id = file "
    "JOIN collections ON collections.id = collection"
)


# The fields of a StoredPassage.
COLUMNS = (
    "passages.id, documents.id, files.path, collections.folder, collections.name, documents.name, documents.title, "
    "passages.headings, passages.first_line, passages.last_line, passages.part, passages.text, documents.fields"
)


def open_database(path: Path) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; makes the tables where there are none.

    Raises UnavailableError for a file that is no index, or of another version.
    """
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
        [found] = connection.execute("PRAGMA user_version").fetchone()
        if not found:
            found = _made(connection)
    except sqlite3.Error as error:
        raise UnavailableError(
            f"{path}: cannot be opened as an index ({error}); remove its folder to begin anew"
        ) from None
    if found != VERSION:
        connection.close()
        raise UnavailableError(
            f"{path}: an index of version {found}, and this release reads {VERSION}; remove its folder and add again"
        )
    return connection


def _made(connection: sqlite3.Connection) -> int:
    """Make the tables, unless another process just did; the version."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        [found] = connection.execute("PRAGMA user_version").fetchone()
        if not found:
            for statement in filter(str.strip, _TABLES.split(";\n")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    return found or VERSION


def word_row(text: str, context: str) -> tuple[str, str]:
    """What the table of words holds of a passage; `context`: its path, title and headings.

    To delete a row, the table needs the same again.
    """
    body = words_and_parts(text) + last_characters(text)
    return " ".join(body), " ".join(dict.fromkeys(words_and_parts(context)))
