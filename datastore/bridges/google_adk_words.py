"""The words by which texts are found, in all scripts: those that have spaces between words, and those that have none.

A text is found by a word of it. Of a word that is not ASCII, a part is enough: Chinese and Japanese have no spaces, so
that what stands between two punctuation marks looks like one word. So its single characters and its pairs are kept as
well, which are in every text that has the part.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby, pairwise

_WORD = re.compile(r"\w+")
_MOST = 11_000  # bytes that are kept of a text: metadata takes up to 16,000


def words_of(text: str) -> set[str]:
    """Return the different words of a text, in small letters."""
    return set(_WORD.findall(_plain(text)))


def indexed(text: str) -> list[str]:
    """Return what is kept with a text so that it is found: its words, then parts of those that are not ASCII."""
    words = _searched(text)
    parts = {part for word in words if not word.isascii() for part in (*word, *map("".join, pairwise(word)))}
    kept: list[str] = []
    left = _MOST
    for word in [*sorted(words), *sorted(parts - words)]:
        size = len(word.encode()) + 3
        if size <= left:
            kept.append(word)
            left -= size
    return kept


def sought(words: set[str]) -> list[str]:
    """Return what is looked for: each text that has one of the words has one of these, if all of its own were kept."""
    return sorted({part for word in words for part in _parts(word)})


def score(words: set[str], text: str) -> int:
    """Return how many of the words are in a text."""
    there, plain = _searched(text), _plain(text)
    return sum(word in there or (not word.isascii() and word in plain) for word in words)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _searched(text: str) -> set[str]:
    """Return the words of a text; of one that mixes Latin letters with others, each run of them as well."""
    words = words_of(text)
    return words | {"".join(run) for word in words if not word.isascii() for _, run in groupby(word, _is_latin)}


def _is_latin(sign: str) -> bool:
    return sign.isascii() or unicodedata.name(sign, "").startswith("LATIN")


def _parts(word: str) -> list[str]:
    return [word] if word.isascii() or len(word) == 1 else [word, *map("".join, pairwise(word))]
