"""Pages of explanations: everything from outside is escaped, and colours are relative to the text."""

from __future__ import annotations

import re

from transfercast.attribution.ansat import SharedTerm
from transfercast.report.attribution import PALEST, Word, fullest, pair_page, words_page

EVIL = '<script>alert("x")</script>"onmouseover=\'x\''


def test_nothing_from_outside_becomes_markup():
    words = words_page([Word(EVIL, 0.3, (0.3,))], decision=EVIL, model=EVIL, probability=0.9, blank=0.1, note=EVIL)
    pair = pair_page([SharedTerm(EVIL, 1.0, 2)], first=EVIL, second=EVIL, threshold=0.05, documents=3)
    for page in (words, pair):
        assert "<script" not in page
        assert EVIL not in page
        assert "&lt;script&gt;" in page
        assert "http" not in page


def test_the_largest_activity_of_a_text_has_full_colour_unless_no_word_reaches_a_threshold():
    strong, weak = (Word("a", value, (value,)) for value in (0.2, 0.01))
    assert fullest([strong, weak]) == 0.2
    assert fullest([weak]) == PALEST
    page = words_page([strong, weak], decision="d", model="m", probability=0.9, blank=0.1, note="")
    strengths = re.findall(r"hsl\(150 60% 45% / ([0-9.]+)\)", page)
    assert strengths == ["1.00", "0.05", "1.00", "0.05"]  # the words, then the cells of their only layer
