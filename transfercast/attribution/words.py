"""Words of a text, and the word of each word piece, for every tokenizer.

A word is a run of characters between blanks (or a token, if the text is split already), so that the activities of
two models with different vocabularies can be compared word by word.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")

SPECIAL = -1
"""Owner of a special token, as `word_of_pieces` numbers them."""

NOBODY = -2
"""Owner of a piece of blanks in a text without words."""


def words_of(text: Any, split: bool) -> list[str]:
    """The words of a text, a pair of texts, or (`split`) of a sentence that is a tuple of tokens."""
    if split:
        return list(text)
    parts = (text,) if isinstance(text, str) else text
    return [match.group() for part in parts for match in _WORD.finditer(part)]


def term_of(word: str) -> str:
    """The word as a term: lower case, without punctuation at its ends, unless it has nothing else.

    >>> term_of("Thanks!!"), term_of(":)")
    ('thanks', ':)')
    """
    return _EDGES.sub("", word.casefold()) or word


def word_of_pieces(encodings: Any, row: int, text: Any, split: bool) -> list[int]:
    """For each word piece of an encoded text the number of its word; SPECIAL for special tokens.

    A piece of only blanks, as SentencePiece makes before an emoji, belongs to the next word of its text.
    """
    encoding = encodings[row]
    if split:
        return [SPECIAL if word is None else word for word in encoding.word_ids]
    parts = (text,) if isinstance(text, str) else text
    owner: list[list[int]] = []  # for each part, the word number at each character
    count = 0
    for part in parts:
        at = [NOBODY] * len(part)
        for match in _WORD.finditer(part):
            at[match.start() : match.end()] = [count] * (match.end() - match.start())
            count += 1
        owner.append(at)
    numbers = []
    for sequence, (start, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True):
        if sequence is None:
            numbers.append(SPECIAL)
            continue
        at = owner[sequence]
        around = chain(at[start:end], at[end:], at[start::-1])
        numbers.append(next((number for number in around if number != NOBODY), NOBODY))
    return numbers
