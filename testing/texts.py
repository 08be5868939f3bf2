"""Real text in many languages and in code, of any length."""

from __future__ import annotations

import numpy as np

# Article 1 of the Universal Declaration of Human Rights, which is in the public domain, in the spellings of the United
# Nations' translations.
PASSAGES = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt "
    "und sollen einander im Geiste der Brüderlichkeit begegnen.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
    "conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
    "conciencia, deben comportarse fraternalmente los unos con los otros.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны "
    "поступать в отношении друг друга в духе братства.",
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "สิทธิเสรีภาพ มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "def fibonacci(n):\n    a, b = 0, 1\n    while a < n:\n        yield a\n        a, b = b, a + b\n",
    "SELECT name, COUNT(*) FROM orders WHERE placed >= '2024-01-01' GROUP BY name ORDER BY 2 DESC;",
    "Emoji 👩‍👩‍👧 and numbers 3,141,592 — “quotes”, tabs\tand\r\nline ends; café = cafe\u0301.",
)


def document(random: np.random.Generator, words: int) -> str:
    """About that many words of mixed languages and code; 0 gives the empty document."""
    text: list[str] = []
    while len(text) < words:
        text.extend(str(random.choice(PASSAGES)).split(" "))
    return " ".join(text[:words])


def documents(seed: int, count: int, most_words: int) -> list[str]:
    """Documents of mixed length, short ones the most frequent; the first is empty and the second the longest."""
    random = np.random.default_rng(seed)
    lengths = np.exp(random.uniform(0, np.log(most_words), count)).astype(int)
    lengths[:2] = [0, most_words][:count]
    return [document(random, int(words)) for words in lengths]
