"""A section of a textbook becomes its title, terms and questions, each with the paragraph that explains it."""

import subprocess
from pathlib import Path

import pytest

from qwen3_reranker.errors import InputError
from recipes.nano import textbooks

TASTE = "Taste is the sense by which the tongue tells sweet from sour, and umami is its fifth quality. " * 3
SMELL = "Smell is the sense by which the nose knows molecules in the air, far away from where they began. " * 3
MODULE = f"""<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML">
<title>The senses</title>
<content>
<section><title>Taste</title>
  <para>{TASTE}<figure><caption>A tongue.</caption></figure></para>
  <para><m:math><m:mi>x</m:mi></m:math> {TASTE}</para>
  <section><title>Smell</title><para>{SMELL}</para></section>
</section>
<section><title>Review questions</title>
  <exercise><problem><para>Which sense knows the molecules that float in the air?</para></problem></exercise>
  <exercise><problem><para>Who painted ceilings while lying on wooden scaffolds for years?</para></problem></exercise>
</section>
</content>
<glossary><definition><term>umami</term><meaning>taste for a salt of glutamic acid</meaning></definition></glossary>
</document>"""


def _clone(folder: Path) -> str:
    module = folder / "modules" / "m1" / "index.cnxml"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE, encoding="utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "book"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_titles_terms_and_questions_have_the_paragraph_that_explains_them(tmp_path: Path) -> None:
    books = {"senses": _clone(tmp_path / "senses")}
    found = {str(record["query"]): record["pos"] for record in textbooks.records(tmp_path, books)}
    taste, smell = [TASTE.strip()], [SMELL.strip()]
    assert found == {
        "Taste": taste,
        "Smell": smell,
        "taste for a salt of glutamic acid": taste,
        "what is umami?": taste,
        "Which sense knows the molecules that float in the air?": smell,
    }


def test_a_missing_clone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="osbooks-american-government"):
        next(textbooks.records(tmp_path))
