"""A file's documents know their title, their lines, and the headings that each passage stands below."""

from __future__ import annotations

from qwen3_reranker.documents.file_documents import file_documents

GUIDE = """---
tags: [tools, git]
---
# Guide

Read it.

## Setup

```toml
# a comment, and no heading
port = 1
```

Start it now.

# Other

More.
"""


def test_a_comment_in_a_fenced_block_is_no_heading() -> None:
    [document] = file_documents(GUIDE, "guide.md", 8)
    assert document.title == "Guide"
    assert document.fields == {"tags": ["tools", "git"]}
    above = {
        part.text.strip().split("\n")[-1]: name for part, name in zip(document.passages, document.headings, strict=True)
    }
    assert above["Read it."] == "Guide"
    assert above["Start it now."] == "Guide > Setup"
    assert above["More."] == "Other"


def test_a_comment_of_a_program_is_no_heading() -> None:
    [document] = file_documents("# a comment\nimport os\n", "a.py", 100)
    assert document.headings == ("",)
