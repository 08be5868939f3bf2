"""A drawing of a real plan: each row alone, and below it the tree that is computed.

`python -m website.tree_picture` writes docs/images/tree.svg.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from qwen3_reranker import Reranker
from qwen3_reranker.plan import Plan

PICTURE = Path(__file__).parents[1] / "docs/images/tree.svg"
QUERY = "take back my last commit"
DOCUMENTS = (
    "git reset --soft HEAD~1 undoes the last commit.",
    "git reset --soft HEAD~2 undoes the last two.",
    "Simmer the rice for twelve minutes.",
    "List all tags.",
)
#: What the first segments of the tree hold, below which the documents part.
HEADINGS = ("system turn", "instruction", "query", "documents")
_WIDTH, _MARGIN, _ROW, _BAR = 860, 20, 26, 20
_STYLE = """text { font: 13px system-ui, sans-serif; fill: #1c2333 } .count { font-size: 11px; fill: #ffffff }
.title { font-weight: 600 } .shared { fill: #3156b8 } .own { fill: #b04a12 } .again { fill: #8791ab }"""


def picture(reranker: Reranker, query: str = QUERY, documents: tuple[str, ...] = DOCUMENTS) -> str:
    """The tree of a query and documents as SVG: a bar is a segment, its length the number of tokens."""
    tree = reranker.tree(query, documents)
    paths = [[*tree.ancestors(int(end)), int(end)] for end in tree.ends()]
    order = sorted(range(tree.num_rows), key=lambda row: paths[row])
    longest = max(len(tree.row(row)) for row in range(tree.num_rows))
    scale = (_WIDTH - 2 * _MARGIN) / longest
    parts, top = [], 30
    starts = [int(tree.offsets_S[segment]) for segment in paths[0][: len(HEADINGS)]]
    num_row_tokens = sum(len(tree.row(row)) for row in order)
    parts.append(_text(_MARGIN, top, f"Each pair alone: {num_row_tokens} tokens", "title"))
    top += 24
    parts += [_text(_MARGIN + at * scale, top, words) for at, words in zip(starts, HEADINGS, strict=True)]
    top -= 6
    seen: set[int] = set()
    for row in order:
        top += _ROW
        for segment in paths[row]:
            kind = "again" if segment in seen else _kind(tree, paths, segment)
            parts.append(_bar(tree, segment, top - 12, _BAR, scale, kind))
        seen.update(paths[row])
    top += 2 * _ROW
    parts.append(_text(_MARGIN, top, f"As a tree: {tree.num_tokens} tokens, the same logits", "title"))
    for segment in sorted(seen):
        rows = [place for place, row in enumerate(order) if segment in paths[row]]
        height = (len(rows) - 1) * _ROW + _BAR
        parts.append(_bar(tree, segment, top + _ROW * (rows[0] + 1) - 12, height, scale, _kind(tree, paths, segment)))
    top += _ROW * (len(order) + 1) + 10
    legend = (
        (0, "shared", "computed once for several documents"),
        (280, "own", "computed for one document"),
        (490, "again", "computed again where nothing is shared"),
    )
    for offset, kind, meaning in legend:
        left = _MARGIN + offset
        parts.append(f'<rect class="{kind}" x="{left}" y="{top - 11}" width="14" height="14" rx="2"/>')
        parts.append(_text(left + 20, top, meaning))
    title = f"{len(documents)} documents for the query: {query}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 20}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#f4f5f9"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _kind(tree: Plan, paths: list[list[int]], segment: int) -> str:
    return "shared" if sum(segment in path for path in paths) > 1 else "own"


def _bar(tree: Plan, segment: int, top: int, height: int, scale: float, kind: str) -> str:
    """A segment as a rectangle with its number of tokens, where that has space."""
    count = len(tree.tokens(segment))
    left, width = _MARGIN + int(tree.offsets_S[segment]) * scale, count * scale - 1.5
    bar = f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" rx="3"/>'
    label = f'<text class="count" x="{left + 6:.1f}" y="{top + height / 2 + 4:.0f}">{count}</text>'
    return bar + (label if width > 22 else "")


def _text(left: float, top: float, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{left:.0f}" y="{top:.0f}">{escape(words)}</text>'


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(Reranker("nano", plan_only=True)), encoding="utf-8")


if __name__ == "__main__":
    main()
