"""Long texts in parts: by paragraphs and sentences, up to a bound, each with the end of the one before it.

A text is cut where the coarsest mark stands that makes its pieces fit: between paragraphs, else lines, else sentences,
else words, else anywhere. Pieces that fit together become one part. So a part begins and ends with a whole sentence,
unless that is longer than a part may be.
"""

from __future__ import annotations

import inspect
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from datastore.arguments import as_int, is_a, shown
from datastore.errors import EmbedderError, InvalidValueError, ValueTooLargeError, kind_of

Span: TypeAlias = tuple[int, int]
"""Where a part of a text begins and ends, in characters."""

MOST_PARTS = 1_000
"""Of one text. All its vectors are in one document (`datastore.memory.vectors`)."""
SMALLEST, LARGEST = 16, 1_000_000
"""A smaller part says nothing, and a larger one is no part of any value."""

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])\s*")
_WORD = re.compile(r"\s+")
_MARKS = re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"\n\s*"), _SENTENCE, _WORD


@dataclass(frozen=True, slots=True)
class Splitter:
    """How long texts are split into parts, each of which gets a vector of its own, for ``data_store.memory``.

    Attributes:
        size: The most that a part has: characters, or what ``count`` counts. From 16 to 1,000,000.
        overlap: Up to how much of the end of a part comes again at the beginning of the next one; at most half the
            size.
        count: Counts a text, such as the number of tokens that a model takes it for: a function from a text to an int.
            It is called often, from any thread. ``None`` to count characters.
    """

    size: int = 1_000
    overlap: int = 0
    count: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        for name, least, most in (("size", SMALLEST, LARGEST), ("overlap", 0, LARGEST)):
            number = as_int(getattr(self, name))
            if number is None or not least <= number <= most:
                raise InvalidValueError(
                    f"{name} is {shown(getattr(self, name))}; it must be an int from {least:,} to {most:,}"
                )
            object.__setattr__(self, name, number)
        if 2 * self.overlap > self.size:
            raise InvalidValueError(f"overlap is {self.overlap:,}; it must be at most half of size, {self.size // 2:,}")
        if self.count is not None and (not callable(self.count) or inspect.iscoroutinefunction(self.count)):
            raise InvalidValueError(
                f"count is {kind_of(self.count)}; it must be a plain function from a text to an int"
            )

    def parts(self, text: str) -> list[Span]:
        """Return where each part of a text begins and ends; nothing if the text is short enough to be one.

        Raises:
            ValueTooLargeError: If there are more than `MOST_PARTS`.
            EmbedderError: If ``count`` fails.
        """
        if self._fits(text, 0, len(text), self.size):
            return []
        parts = list[Span]()
        is_open = False
        for piece in self._pieces(text, 0, len(text), 0):
            if piece is None:
                is_open = False
                continue
            start, end = piece
            if is_open and self._fits(text, parts[-1][0], end, self.size):
                parts[-1] = parts[-1][0], end
                continue
            if len(parts) == MOST_PARTS:
                raise ValueTooLargeError(f"the text has more than {MOST_PARTS:,} parts; let them be larger")
            parts.append((self._again(text, parts[-1], end, start) if parts else start, end))
            is_open = True
        return parts

    def _pieces(self, text: str, start: int, end: int, mark: int) -> Iterator[Span | None]:
        """Yield what parts are made of, each of which fits into one; ``None`` where a part ends in any case.

        That is before and after what has to be cut at a finer mark: a paragraph that is longer than a part does not
        begin in the part of the one before it.
        """
        start, end = _stripped(text, start, end)
        if start == end:
            return
        if self._fits(text, start, end, self.size) or end - start == 1:
            yield start, end
            return
        if mark == len(_MARKS):
            step = self.size - self.overlap if self.count is None else (end - start + 1) // 2
            cuts = list(range(start + step, end, step))
        else:
            cuts = [found.end() for found in _MARKS[mark].finditer(text, start, end)]
            mark += 1
        yield None
        for one, other in zip([start, *cuts], [*cuts, end], strict=True):
            yield from self._pieces(text, one, other, mark)
        yield None

    def _again(self, text: str, last: Span, end: int, start: int) -> int:
        """Return where a part begins whose first piece is given: at a sentence, or else a word, of the one before.

        It begins with that piece if both do not fit into one part.
        """
        if not self.overlap:
            return start
        for mark in (_SENTENCE, _WORD):
            begins = [found.end() for found in mark.finditer(text, *last) if last[0] < found.end() < last[1]]
            place = bisect_left(begins, True, key=lambda begin: self._fits(text, begin, last[1], self.overlap))
            if place < len(begins):
                begins = begins[place:]
                place = bisect_left(begins, True, key=lambda begin: self._fits(text, begin, end, self.size))
                return begins[place] if place < len(begins) else start
        return start

    def _fits(self, text: str, start: int, end: int, most: int) -> bool:
        if self.count is None:
            return end - start <= most
        try:
            counted: Any = self.count(text[start:end])
        except Exception as error:
            raise EmbedderError(f"the splitter's count failed with {type(error).__name__}; see its error") from error
        number = as_int(counted)
        if number is None or number < 0:
            raise EmbedderError(
                f"the splitter's count has returned {kind_of(counted)}; it must return how many there are"
            )
        return number <= most


def check_split(split: Any, vector: Any = None) -> Splitter | None:
    """Check how a text is to be split.

    Raises:
        InvalidValueError: If ``split`` is no `Splitter`, counts anything but characters, or a vector is given as well.
    """
    if split is None:
        return None
    if not is_a(split, Splitter):
        raise InvalidValueError(f"split is {kind_of(split)}; it must be a datastore.Splitter")
    if split.count is not None:
        raise InvalidValueError(
            "split counts by a function, which cannot be kept for the next edit; count characters, or let the host "
            "give the splitter to its Embedder"
        )
    if vector is not None:
        raise InvalidValueError("split is given with a vector, which is that of the whole text; give one of them")
    return split


def _stripped(text: str, start: int, end: int) -> Span:
    """Return where what is between two places begins and ends without the spaces around it."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, max(start, end - len(part) + len(part.rstrip()))
