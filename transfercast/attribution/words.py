"""Words of a text, and which word each word piece belongs to, the same for every tokenizer.

A word is a run of characters between blanks (or a token, where the text is split already), so that the activities of
two models with different vocabularies can be compared word by word.
"""

from __future__ import annotations

import re
from typing import Any

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


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
    """For each word piece of an encoded text the number of its word, -1 for special tokens.

    `encodings` must carry `offset_mapping` unless the text was split into words already.
    """
    encoding = encodings[row]
    if split:
        return [-1 if word is None else word for word in encoding.word_ids]
    parts = (text,) if isinstance(text, str) else text
    owner: list[list[int]] = []  # for each part, the word number at each character
    count = 0
    for part in parts:
        at = [-1] * (len(part) + 1)
        for match in _WORD.finditer(part):
            at[match.start() : match.end()] = [count] * (match.end() - match.start())
            count += 1
        owner.append(at)
    numbers = []
    for sequence, (start, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True):
        found = [] if sequence is None else [number for number in owner[sequence][start:end] if number >= 0]
        numbers.append(found[0] if found else -1)
    return numbers
