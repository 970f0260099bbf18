"""The vectors of one namespace in memory, and which of them are nearest: exactly, and in the same order everywhere.

Products of float32 are rounded, and differently in each place of a matrix. So they only choose the candidates, with the
most that the rounding can amount to on both sides. These are compared again in float64, each by itself: the order is
that of the exact products of what is stored, to about 15 digits, and equal vectors have equal scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from datastore.errors import ConfigurationError
from datastore.memory.items import Metric, Ranked
from datastore.memory.vectors import Stored

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise ConfigurationError(
        f"searching needs numpy, which cannot be imported ({error}): pip install 'agent-datastore[vectors]'"
    ) from error

Floats: TypeAlias = "NDArray[Any]"

_ROWS = 4_096
"""Rows of the first block. Each later one has as many as all before it together: so a matrix grows without being
copied, and a product takes a few calls."""
_ROW = 500
"""About what a row takes besides its numbers: three texts, and a place in a dict and in three lists."""
_DIRECT = 2_048
"""So many rows are compared in float64 at once; choosing among them first would not be faster."""
_UNIT = float(np.finfo(np.float32).eps)


class Matrix:
    """The vectors of a namespace. Rows are added at the end, and forgotten where they are; see `packed`.

    While one thread adds rows, others may search among those that were there.
    """

    __slots__ = ("_at", "_blocks", "_forgotten", "_inverse", "_keys", "_length", "_places", "_revisions", "dimensions")

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._blocks: list[Floats] = []
        self._inverse: list[Floats] = []  # one over the length of each row
        self._length: list[Floats] = []
        self._at: list[str] = []
        self._keys: list[str] = []
        self._revisions: list[str] = []
        self._places: dict[str, int] = {}
        self._forgotten: set[int] = set()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, revision: str) -> bool:
        return revision in self._places

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes."""
        return len(self._keys) * (4 * (self.dimensions + 2) + _ROW)

    def written_at(self, place: int) -> str:
        """Return when the vector in a place was written."""
        return self._at[place]

    def add(self, rows: Sequence[Stored]) -> None:
        """Add rows; those whose revision is there already are left out."""
        rows = [row for row in {row.revision: row for row in rows}.values() if row.revision not in self._places]
        for start in range(0, len(rows), _ROWS):
            self._add(rows[start : start + _ROWS])

    def _add(self, rows: Sequence[Stored]) -> None:
        numbers = np.frombuffer(b"".join(row.vector for row in rows), "<f4").reshape(len(rows), self.dimensions)
        lengths = np.sqrt(np.einsum("ij,ij->i", numbers, numbers, dtype=np.float64))
        done = 0
        while done < len(rows):
            place = len(self._keys)
            block = _block_of(place)
            if block == len(self._blocks):
                size = place or _ROWS
                self._blocks.append(np.empty((size, self.dimensions), np.float32))
                self._inverse.append(np.empty(size, np.float32))
                self._length.append(np.empty(size, np.float32))
            begin = place - _start_of(block)
            some = min(len(rows) - done, len(self._blocks[block]) - begin)
            self._blocks[block][begin : begin + some] = numbers[done : done + some]
            self._inverse[block][begin : begin + some] = 1 / lengths[done : done + some]
            self._length[block][begin : begin + some] = lengths[done : done + some]
            for number, row in enumerate(rows[done : done + some], place):
                self._at.append(row.at)
                self._keys.append(row.key)
                self._places[row.revision] = number
                self._revisions.append(row.revision)  # last: what is counted here is whole
            done += some

    def forget(self, revisions: Iterable[str]) -> None:
        """Leave out rows from now on; their memory is free when `packed` has copied the others."""
        for revision in revisions:
            place = self._places.pop(revision, None)
            if place is not None:
                self._forgotten.add(place)

    def packed(self) -> Matrix:
        """Return it without what was forgotten: itself, unless that is more than half."""
        if len(self._forgotten) * 2 <= len(self._keys):
            return self
        matrix = Matrix(self.dimensions)
        matrix.add([
            Stored(
                revision, self._keys[place], "", self._row(place), self._at[place]
            )
            for revision, place in self._places.items()
        ])  # fmt: skip
        return matrix

    def _row(self, place: int) -> bytes:
        block = _block_of(place)
        return bytes(self._blocks[block][place - _start_of(block)].tobytes())

    def ranked(self, query: bytes, metric: Metric, number: int) -> Iterator[list[Ranked]]:
        """Yield rows from the nearest on, some at a time: first as many as asked for, then more.

        Args:
            query: The vector, as it is stored.
            metric: What near means.
            number: How many there should be in the first list.
        """
        count = len(self._revisions)
        asked = np.frombuffer(query, "<f4").astype(np.float64)
        low, high = self._bounds(asked, metric, count)
        gone = [place for place in list(self._forgotten) if place < count]
        low[gone] = high[gone] = -np.inf
        left = np.ones(count, bool)
        left[high == -np.inf] = False
        given = 0
        while (rest := int(np.count_nonzero(left))) > 0:
            if number >= rest:
                chosen = np.flatnonzero(left)
            else:
                among = low[left] if given else low
                least = np.partition(among, among.size - number)[among.size - number]
                chosen = np.flatnonzero((high >= least) & left) if given else np.flatnonzero(high >= least)
            found = self._compared(chosen, asked, metric)
            # What was not chosen may be as near as the last of these, but not nearer than the one of the given number.
            found = found if number >= rest else found[:number]
            left[[one.place for one in found]] = False
            yield found
            given += len(found)
            number = max(number, 16) * 4

    def among(self, revisions: Iterable[str], query: bytes, metric: Metric) -> list[Ranked]:
        """Return those rows that are of some revisions, from the nearest on."""
        places = [place for revision in revisions if (place := self._places.get(revision)) is not None]
        asked = np.frombuffer(query, "<f4").astype(np.float64)
        return self._compared(np.array(places, np.intp), asked, metric)

    def _bounds(self, asked: Floats, metric: Metric, count: int) -> tuple[Floats, Floats]:
        """Return for each row two scores in float32 between which the exact one lies."""
        query, scores = asked.astype(np.float32), np.empty(count, np.float32)
        length = float(np.sqrt(asked @ asked))
        if metric == "cosine":
            query = (asked / length).astype(np.float32)
        # The rounding of a sum of n products is at most n units of the product of the lengths (Higham, "Accuracy and
        # Stability of Numerical Algorithms", 2002, section 3.1); some more for what is done with it afterwards.
        margin: Any = (self.dimensions + 16) * _UNIT
        for block, (rows, inverse) in enumerate(zip(self._blocks, self._inverse, strict=False)):
            begin = _start_of(block)
            part = scores[begin : min(begin + len(rows), count)]
            np.dot(rows[: len(part)], query, out=part)
            if metric == "cosine":
                part *= inverse[: len(part)]
        if metric == "cosine":
            return scores - np.float32(margin), scores + np.float32(margin)
        lengths = np.concatenate([*self._length, np.empty(0, np.float32)])[:count].astype(np.float64)
        if metric == "dot":
            margin = margin * length * lengths
            return scores - margin, scores + margin
        squares = lengths * lengths + length * length
        distances, margin = 2.0 * scores - squares, margin * 2 * squares  # below 0: the nearer, the more
        return distances - margin, distances + margin

    def _compared(self, places: Floats, asked: Floats, metric: Metric) -> list[Ranked]:
        """Return rows in order, compared in float64 one by one."""
        scores = np.empty(len(places))
        for start in range(0, len(places), _DIRECT):
            some = places[start : start + _DIRECT]
            rows = np.empty((len(some), self.dimensions))
            for block, numbers in enumerate(list(self._blocks)):
                begin = _start_of(block)
                here = (some >= begin) & (some < begin + len(numbers))
                rows[here] = numbers[some[here] - begin]
            if metric == "euclidean":
                rows -= asked
                scores[start : start + _DIRECT] = -np.sqrt((rows * rows).sum(axis=1))
                continue
            products = (rows * asked).sum(axis=1)
            if metric == "cosine":
                products /= np.sqrt((rows * rows).sum(axis=1)) * np.sqrt((asked * asked).sum())
                np.clip(products, -1.0, 1.0, out=products)
            scores[start : start + _DIRECT] = products
        found = [
            Ranked(score, self._keys[place], self._revisions[place], place)
            for score, place in zip(scores.tolist(), places.tolist(), strict=True)
        ]
        found.sort(key=lambda one: (-one.score, one.key))
        return found


def _block_of(place: int) -> int:
    """Return in which block a row is: the first has `_ROWS`, the second as many, and each later one twice as many."""
    return (place // _ROWS).bit_length()


def _start_of(block: int) -> int:
    return _ROWS << (block - 1) if block else 0
