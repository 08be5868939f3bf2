"""A text's nearest neighbour says the same in other words; texts less near are its negatives."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.nano import alike

# The direction in which each text points, in degrees.
DIRECTIONS = {"undo the last commit": 0.0, "revert the newest commit": 15.0, "undo the last commit!": 1.0, "sing": 90.0}


def _vectors(texts: Sequence[str]) -> NDArray[np.float16]:
    angles_N = np.radians([DIRECTIONS.get(text, 150.0 + 0.5 * index) for index, text in enumerate(texts)])
    return np.stack((np.cos(angles_N), np.sin(angles_N)), 1).astype(np.float16)


def test_a_text_is_asked_for_by_its_neighbour_and_not_by_itself_with_another_mark(tmp_path: Path) -> None:
    texts = [*DIRECTIONS, *(f"far away {number}" for number in range(50))]
    lines = [
        {"query": text, "pos": ["a"], "neg": [], "lang": "en", "source": "tldr", "instruction": "i"} for text in texts
    ]
    lines.append({**lines[0], "query": "rückgängig", "lang": "de"})
    path = tmp_path / "tldr.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = {str(record["query"]): record for record in alike.records(tmp_path, _vectors)}
    assert found["undo the last commit"]["pos"] == ["revert the newest commit"]
    assert found["how do I undo the last commit"]["pos"] == ["revert the newest commit"]
    assert found["undo the last commit"]["neg"]
    assert "sing" not in found
    assert "rückgängig" not in found
