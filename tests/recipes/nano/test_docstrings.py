"""Docstrings become a title and the prose that belongs to it."""

from pathlib import Path

from recipes.nano.docstrings import _titled, asked_for

SOURCE = '''
def mean(values):
    """Compute the mean of some values.

    The sum of the values is divided by their number, so that every value has the same weight in what comes out. An
    empty list has no mean, and is refused.

    Parameters
    ----------
    values : list
        What is read, one number after the other, from the first to the last of them.

    >>> mean([1, 2, 3])
    2
    """


class Empty:
    """Only a title stands here, and nothing follows it."""
'''


def test_a_title_has_the_prose_below_it_without_parameters_and_examples(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    [(title, text)] = _titled(path)
    assert title == "Compute the mean of some values."
    assert text.startswith("The sum of the values")
    assert text.endswith("and is refused.")
    (tmp_path / "broken.py").write_text("def :", encoding="utf-8")
    assert list(_titled(tmp_path / "broken.py")) == []


def test_a_title_that_says_what_to_do_is_asked_for_as_well() -> None:
    assert list(asked_for("Compute the mean.")) == ["Compute the mean.", "how do I compute the mean"]
    assert list(asked_for("The mean of a list.")) == ["The mean of a list."]
