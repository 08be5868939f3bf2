"""Every example of the page of frameworks runs and prints what the page shows."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.test_readme import blocks_of, same

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*:ResourceWarning")]

PAGE = (Path(__file__).parents[2] / "docs/integrations.md").read_text(encoding="utf-8")
EXAMPLES = [
    (re.findall(r"^## (.*)$", PAGE[: PAGE.index(code)], flags=re.MULTILINE)[-1], code, shown)
    for (language, code), (_, shown) in zip(blocks_of(PAGE)[::2], blocks_of(PAGE)[1::2], strict=True)
    if language == "python"
]


@pytest.mark.parametrize(("section", "code", "shown"), EXAMPLES, ids=[section for section, _, _ in EXAMPLES])
def test_an_example_prints_what_the_page_shows(section: str, code: str, shown: str, embedding_model: Path) -> None:
    # Qwen's own models cannot be fetched here.
    code = code.replace("Qwen/Qwen3-Embedding-0.6B", str(embedding_model))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, f"docs/integrations.md: {section}", "exec"), {"__name__": "example"})
    assert same(shown.strip(), output.getvalue().strip()), output.getvalue()


def test_every_section_has_an_example() -> None:
    assert {section for section, _, _ in EXAMPLES} == set(re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE))
