"""A synthetic query is cut from its passage."""

import random
import re
from collections import Counter

from recipes.nano import synthetic
from recipes.nano.data import Record

PASSAGES = [
    "Solar cells\nA solar cell turns the energy of light into electricity. It does so by the photovoltaic effect. "
    "Cells are joined to modules, and modules to panels. The first one was built in 1883.",
    "Der Fluss entspringt in den Alpen und mündet nach 1230 Kilometern ins Meer. Er ist schiffbar ab Basel.",
    "富士山は日本で最も高い山である。標高は3776メートルで、静岡県と山梨県にまたがる。頂上からは海が見える。" * 3,
    "แม่น้ำเจ้าพระยาเป็นแม่น้ำสายหลักของประเทศไทย ไหลผ่านกรุงเทพมหานครลงสู่อ่าวไทยที่จังหวัดสมุทรปราการ",
]


def test_every_word_of_a_query_stands_in_the_passage_it_was_cut_from() -> None:
    counts = synthetic.document_counts(PASSAGES)
    cut = 0
    for seed in range(300):
        rng = random.Random(seed)
        part = synthetic.window(rng.choice(PASSAGES), rng)
        found = synthetic.cut_query(part, counts, rng)
        if found is not None:
            query, document = found
            cut += 1
            assert all(word.lower() in part.lower() for word in re.findall(r"\w+", query))
            assert set(re.findall(r"\w+", document)) <= set(re.findall(r"\w+", part))
    assert cut > 200


def test_a_pool_gives_one_query_a_passage_and_the_same_ones_for_the_same_seed(records: list[Record]) -> None:
    made = list(synthetic.records(records, 1, 40))
    assert made == list(synthetic.records(records, 1, 40))
    assert made != list(synthetic.records(records, 2, 40))
    assert max(Counter(record.pool for record in made).values()) <= 40
    assert all(record.synthetic and not record.held_out for record in made)


def test_only_english_is_asked_for_in_words_of_asking() -> None:
    counts = synthetic.document_counts(PASSAGES)
    frames = [frame.split("{}") for frame in synthetic.ASKING]

    def asked(is_english: bool) -> int:
        found = [synthetic.cut_query(PASSAGES[0], counts, random.Random(seed), is_english) for seed in range(200)]
        queries = [pair[0] for pair in found if pair is not None]
        return sum(any(query.startswith(a) and query.endswith(b) for a, b in frames) for query in queries)

    assert asked(True) > 30
    assert asked(False) == 0
