"""Pieces of every kind of tokenizer go to the words that they came from."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.attribution import models
from transfercast.attribution.words import NOBODY, SPECIAL, term_of, word_of_pieces, words_of
from transfercast.sources.encoders import load_tokenizer

HARD = [
    "  we need   water 🙂👍🏽 #help https://x.org/a?b ",
    "спасибо большое 水が必要です now",
    "é naïve ﬁne\tmañana\u00a0now",
]


@pytest.mark.parametrize("kind", [models.byte_level, models.unigram, models.byte_fallback])
@pytest.mark.parametrize("text", HARD)
def test_each_piece_goes_to_the_word_whose_characters_it_covers(kind, text):
    tokenizer = kind()
    encodings = tokenizer([text])
    owners = word_of_pieces(encodings, 0, text, False)
    words = words_of(text, False)
    assert {owner for owner in owners if owner >= 0} == set(range(len(words)))
    assert [owner for owner in owners if owner >= 0] == sorted(owner for owner in owners if owner >= 0)
    starts = [text.index(words[0])]
    for before, word in pairwise(words):
        starts.append(text.index(word, starts[-1] + len(before)))
    for owner, (start, end), special in zip(owners, encodings[0].offsets, encodings[0].special_tokens_mask, strict=True):
        assert (owner == SPECIAL) == bool(special)
        if text[start:end].strip():  # the piece covers characters of its word, and of no word before it
            assert start < starts[owner] + len(words[owner])
            assert end > starts[owner]


def test_a_lone_blank_piece_goes_with_the_word_after_it():
    tokenizer = models.unigram()
    encodings = tokenizer(["we 🙂"])
    pieces = tokenizer.convert_ids_to_tokens(encodings["input_ids"][0])
    owners = word_of_pieces(encodings, 0, "we 🙂", False)
    assert pieces[-3:] == ["▁", "<unk>", "</s>"]
    assert owners[-3:] == [1, 1, SPECIAL]


def test_a_text_of_blanks_has_no_words_and_its_pieces_belong_to_nobody():
    owners = word_of_pieces(models.byte_level()(["  "]), 0, "  ", False)
    assert owners == [SPECIAL, NOBODY, NOBODY, SPECIAL]
    assert words_of("  ", False) == []


def test_words_of_a_pair_are_numbered_through(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    pair = ("we need", "water help")
    assert words_of(pair, False) == ["we", "need", "water", "help"]
    assert word_of_pieces(tokenizer([pair[0]], [pair[1]]), 0, pair, False) == [-1, 0, 1, -1, 2, 3, -1]


def test_pieces_are_given_to_blank_separated_words(tiny_encoder):
    tokenizer = load_tokenizer(tiny_encoder)
    text = "helps,  we! giving"
    pieces = word_of_pieces(tokenizer([text]), 0, text, False)
    #      [CLS] help ##s , we ! give?... the vocabulary has no "giv": [UNK]; [SEP]
    assert pieces == [-1, 0, 0, 0, 1, 1, 2, -1]
    assert words_of(text, False) == ["helps,", "we!", "giving"]
    assert [term_of(word) for word in words_of(text, False)] == ["helps", "we", "giving"]


def test_terms_are_lower_case_and_keep_no_punctuation_at_their_ends():
    assert [term_of(word) for word in ("#Help!", "🙂", "don't", "--", "Straße")] == ["help", "🙂", "don't", "--", "strasse"]
