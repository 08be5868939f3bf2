"""What the pages say is true: code runs and prints what they show, links lead somewhere, commands exist."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from qwen3_reranker.cli import main
from testing.kernel_variants import VARIANTS_OF_8_BITS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))),
]


def blocks_of(page: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


BLOCKS = blocks_of(README)
[DEMO] = [text for language, text in BLOCKS if language == "console"]
PRECISION_PAGE = (ROOT / "docs/precision.md").read_text(encoding="utf-8")
[DRIFT] = [text for language, text in blocks_of(PRECISION_PAGE) if language == "console"]
# Texts must agree to the letter; scores to 0.002, as another BLAS rounds otherwise, and times not at all.
NUMBER = re.compile(r"[+-]?\d+\.\d+")


def same(shown: str, printed: str) -> bool:
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(float(first) - float(second)) < 0.002 for first, second in pairs)


def test_the_python_example_prints_what_the_readme_shows() -> None:
    [code] = [text for language, text in BLOCKS if language == "python"]
    shown = next(text for language, text in BLOCKS if language == "text")
    assert len(code.strip().splitlines()) <= 8
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})
    assert same(shown.strip(), output.getvalue().strip()), output.getvalue()


def test_the_demo_prints_the_table_that_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    [command] = re.findall(r"^\t\$\(BIN\)/qwen3-reranker (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    shown = DEMO
    with contextlib.chdir(ROOT):
        assert main(shlex.split(command)) == 0
    printed = capsys.readouterr().out
    without_time = [re.sub(r" · [\d.]+ s$", "", text.strip()) for text in (shown, printed)]
    assert same(*without_time), printed


@pytest.mark.slow
def test_the_drift_of_nano_is_what_the_precision_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["inspect", "nano", "--drift", "--format", "table", "--kernels", VARIANTS_OF_8_BITS[0]]) == 0
    shown = DRIFT.rstrip().splitlines()
    printed = capsys.readouterr().out.rstrip().splitlines()[-len(shown) :]
    # Speeds, and with them the advice, are those of a machine.
    exact = [
        "\n".join(re.sub(r"^(  (?:documents/s|advised)) .*", r"\1", line) for line in lines)
        for lines in (shown, printed)
    ]
    assert same(*exact), printed


@pytest.mark.slow
def test_every_command_line_in_the_readme_is_understood() -> None:
    lines = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    ours = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("qwen3-reranker ")]
    assert ours
    for arguments in ours:
        # Models of the Hub cannot be fetched here: that their flags are understood is what can be checked.
        local = ["nano" if "/Qwen3-Reranker" in each else each for each in arguments]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(ROOT):
            assert main(local) == 0, arguments


def test_every_make_target_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        named = set(re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, flags=re.MULTILINE))
        assert named <= targets, f"{page} names {named - targets}"


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_no_page_names_a_path_of_a_developers_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(tmp|work|root|home)/", (ROOT / page).read_text(encoding="utf-8")), page


def test_the_readme_is_short_and_says_at_once_what_is_not_proven() -> None:
    lines = README.splitlines()
    assert len(lines) < 200
    first_screen = " ".join(lines[:25])
    assert "Weights of Qwen's models were not available" in first_screen
    assert "No code has run on a GPU yet" in first_screen


@pytest.mark.parametrize("page", PAGES)
def test_no_line_of_prose_is_wider_than_120_columns(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    # A row of a table and a command cannot be broken.
    wide = [line for line in prose.splitlines() if len(line) > 120 and not line.startswith(("|", "    "))]
    assert not wide
