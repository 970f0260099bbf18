"""The vectors of one namespace in memory, and which of them are nearest: exactly, and in the same order everywhere.

Products of float32 are rounded, and differently in each place of a matrix. So they only choose the candidates, with the
most that the rounding can amount to on both sides. These are compared again in float64, each by itself: the order is
that of the exact products of what is stored, to about 15 digits, and equal vectors have equal scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

from datastore.errors import ConfigurationError
from datastore.memory.items import Metric, Ranked
from datastore.memory.splitting import Span
from datastore.memory.vectors import Stored, bytes_of

try:
    import numpy as np
    from numpy.typing import NDArray

    from datastore.memory.products import multiply
except ImportError as error:
    raise ConfigurationError(
        f"searching needs numpy, which cannot be imported ({error}): pip install 'agent-datastore[vectors]'"
    ) from error

Floats: TypeAlias = "NDArray[Any]"

_ROWS = 4_096
"""Rows of the first block. Each later one has as many as all before it together: so a matrix grows without being
copied, and a product takes a few calls."""
_DIRECT = 2_048
"""So many rows are compared in float64 at once; choosing among them first would not be faster."""
_FEW = 64
"""So few rows are gathered one by one, in less time than by looking into each block."""
_SCATTERED = 4
"""Of one row in so many and fewer, each is gathered; of more, multiplying all in a row takes less time."""
_UNIT = float(np.finfo(np.float32).eps)


class Matrix:
    """The vectors of a namespace. Rows are added at the end, and forgotten where they are; see `packed`.

    A text in parts has a row for each, one after the other. It is ranked once, by the nearest of them.

    While one thread adds rows, others may search among those that were there.
    """

    __slots__ = (
        "_at", "_blocks", "_earlier", "_first", "_forgotten", "_inverse", "_keys", "_length", "_newest", "_parts",
        "_places", "_revisions", "_spans", "dimensions",
    )  # fmt: skip

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._blocks: list[Floats] = []
        self._inverse: list[Floats] = []  # one over the length of each row
        self._length: list[Floats] = []
        self._first: list[Floats] = []  # for each row the first one of its text
        self._at: list[str] = []
        self._keys: list[str] = []
        self._revisions: list[str] = []
        self._places: dict[str, int] = {}  # the first row of each revision
        self._parts: dict[int, int] = {}  # how many rows begin there, if they are several
        self._spans: dict[int, Span] = {}  # of what part of its text a row is, if there are several
        self._newest: dict[str, int] = {}  # the last row of each key
        self._earlier: dict[int, int] = {}  # the row of the same key before a row, if there is one
        self._forgotten: set[int] = set()

    def __len__(self) -> int:
        return len(self._revisions) - len(self._forgotten)

    def __contains__(self, revision: str) -> bool:
        return revision in self._places

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes."""
        return bytes_of(len(self._keys), self.dimensions)

    def rows(self, start: int) -> list[tuple[str, str, str]]:
        """Return the key, the revision and the time of writing of each row from a place on, forgotten or not."""
        end = len(self._revisions)
        return list(zip(self._keys[start:end], self._revisions[start:end], self._at[start:end], strict=True))

    def written_at(self, place: int) -> str:
        """Return when the vector in a place was written."""
        return self._at[place]

    def add(self, rows: Sequence[Stored]) -> None:
        """Add rows; those whose revision is there already are left out."""
        rows = [row for row in {row.revision: row for row in rows}.values() if row.revision not in self._places]
        for start in range(0, len(rows), _ROWS):
            self._add(rows[start : start + _ROWS])

    def _add(self, rows: Sequence[Stored]) -> None:
        numbers = np.frombuffer(b"".join(row.vector for row in rows), "<f4").reshape(-1, self.dimensions)
        lengths = np.sqrt(np.einsum("ij,ij->i", numbers, numbers, dtype=np.float64))
        place, firsts = len(self._keys), np.arange(len(numbers)) + len(self._keys)
        for row in rows:
            self._places[row.revision] = place
            if row.parts:
                self._parts[place] = number = len(row.parts)
                self._spans.update(enumerate(row.parts, place))
                begin = place - len(self._keys)
                firsts[begin : begin + number] = place
            place += len(row.parts) or 1
        self._fill(numbers, lengths, firsts)
        each = [row for row in rows for _ in row.parts or (None,)]
        for number, row in enumerate(each, len(self._keys)):
            if row.key in self._newest:
                self._earlier[number] = self._newest[row.key]
            self._newest[row.key] = number
        self._at += [row.at for row in each]
        self._keys += [row.key for row in each]
        self._revisions += [row.revision for row in each]  # last: what is counted here is whole

    def _fill(self, numbers: Floats, lengths: Floats, firsts: Floats) -> None:
        """Write rows into blocks, at the end."""
        done = 0
        while done < len(numbers):
            place = len(self._keys) + done
            block = _block_of(place)
            if block == len(self._blocks):
                size = place or _ROWS
                self._blocks.append(np.empty((size, self.dimensions), np.float32))
                self._inverse.append(np.empty(size, np.float32))
                self._length.append(np.empty(size, np.float32))
                self._first.append(np.empty(size, np.intp))
            begin = place - _start_of(block)
            some = min(len(numbers) - done, len(self._blocks[block]) - begin)
            self._blocks[block][begin : begin + some] = numbers[done : done + some]
            self._inverse[block][begin : begin + some] = 1 / lengths[done : done + some]
            self._length[block][begin : begin + some] = lengths[done : done + some]
            self._first[block][begin : begin + some] = firsts[done : done + some]
            done += some

    def forget(self, revisions: Iterable[str]) -> None:
        """Leave out rows from now on; their memory is free when `packed` has copied the others."""
        for revision in revisions:
            place = self._places.pop(revision, None)
            if place is not None:
                self._forgotten.update(range(place, place + self._parts.get(place, 1)))

    def packed(self) -> Matrix:
        """Return it without what was forgotten: itself, unless that is more than half."""
        if len(self._forgotten) * 2 <= len(self._keys):
            return self
        matrix = Matrix(self.dimensions)
        matrix.add(
            [
                Stored(revision, self._keys[place], "", self._vectors(place), self._at[place], self._parts_of(place))
                for revision, place in self._places.items()
            ]
        )
        return matrix

    def _parts_of(self, place: int) -> list[Span]:
        return [self._spans[one] for one in range(place, place + self._parts.get(place, 0))]

    def _vectors(self, place: int) -> bytes:
        places = np.arange(place, place + self._parts.get(place, 1))
        return bytes(self._rows(places, np.float32).tobytes())

    def parts(self, query: bytes, metric: Metric, keys: Sequence[str]) -> dict[str, Span]:
        """Return which part of each text is nearest, by revision, of those records with some keys that are in parts."""
        if not self._parts:
            return {}
        found = chain.from_iterable(self.ranked(query, metric, len(self), keys))
        return {one.revision: one.part for one in found if one.part is not None}

    def ranked(
        self, query: bytes, metric: Metric, number: int, keys: Sequence[str] | None = None
    ) -> Iterator[list[Ranked]]:
        """Yield texts from the nearest on, some at a time: first as many as asked for, then more.

        Args:
            query: The vector, as it is stored.
            metric: What near means.
            number: How many there should be in the first list.
            keys: Only those of records with these keys; ``None`` for all.
        """
        count = len(self._revisions)  # before anything else is looked at: it holds as much, or more
        asked = np.frombuffer(query, "<f4").astype(np.float64)
        places = None if keys is None else self._places_of(keys, count)
        low, high = self._bounds(asked, metric, count, places)
        first = self._column(self._first, count, places) if self._parts else None
        rest = len(low)
        if places is None and self._forgotten:
            gone = [place for place in list(self._forgotten) if place < count]
            low[gone] = high[gone] = -np.inf
            rest -= len(gone)
        if first is not None:
            rest = len(np.unique(first[low > -np.inf]))
        while rest > 0:
            if number >= rest:
                chosen = np.flatnonzero(high > -np.inf)
            else:
                # A text is at least as near as the lower bound of any of its parts, and its nearest part is chosen if
                # that may be as near as the text of the given number.
                lows = low if first is None else _best_of_each(low, first)
                least = np.partition(lows, len(lows) - number)[len(lows) - number]
                chosen = np.flatnonzero(high >= least)
            found = self._compared(chosen if places is None else places[chosen], asked, metric)
            if first is not None:
                nearest = dict[str, Ranked]()
                for one in found:
                    nearest.setdefault(one.revision, one)
                found = list(nearest.values())
            # What was not chosen may be as near as the last of these, but not nearer than the one of the given number.
            found = found if number >= rest else found[:number]
            yield found
            rest -= len(found)
            taken: Any = [one.place for one in found]
            if places is not None:
                taken = np.searchsorted(places, taken)
            if first is not None:
                taken = np.isin(first, first[taken])
            low[taken] = high[taken] = -np.inf
            number = max(number, 16) * 4

    def _places_of(self, keys: Iterable[str], count: int) -> Floats:
        """Return in which of the first rows the vectors of some records are, in order; of one there may be several."""
        found = list[int]()
        for key in keys:
            place = self._newest.get(key)
            while place is not None:
                if place < count and place not in self._forgotten:
                    found.append(place)
                place = self._earlier.get(place)
        found.sort()
        return np.array(found, np.intp)

    def _bounds(self, asked: Floats, metric: Metric, count: int, places: Floats | None) -> tuple[Floats, Floats]:
        """Return for each row two scores in float32 between which the exact one lies."""
        length = float(np.sqrt(asked @ asked))
        query = (asked / length if metric == "cosine" else asked).astype(np.float32)
        # The rounding of a sum of n products is at most n units of the product of the lengths (Higham, "Accuracy and
        # Stability of Numerical Algorithms", 2002, section 3.1); some more for what is done with it afterwards.
        margin: Any = (self.dimensions + 16) * _UNIT
        if places is not None and len(places) <= count // _SCATTERED:
            scores = self._rows(places, np.float32) @ query
        else:
            scores = np.empty(count, np.float32)
            for block, numbers in enumerate(list(self._blocks)):
                begin = _start_of(block)
                rows = numbers[: max(count - begin, 0)]
                multiply(rows, query, scores[begin : begin + len(rows)])
            scores = scores if places is None else scores[places]
        if metric == "cosine":
            scores *= self._column(self._inverse, count, places)
            return scores - np.float32(margin), scores + np.float32(margin)
        lengths = self._column(self._length, count, places).astype(np.float64)
        if metric == "dot":
            margin = margin * length * lengths
            return scores - margin, scores + margin
        squares = lengths * lengths + length * length
        distances, margin = 2.0 * scores - squares, margin * 2 * squares  # below 0: the nearer, the more
        return distances - margin, distances + margin

    def _column(self, blocks: Sequence[Floats], count: int, places: Floats | None) -> Floats:
        """Return one number for each of the first rows, or of some places."""
        whole = np.concatenate(blocks)[:count] if blocks else np.empty(0, np.float32)
        return whole if places is None else whole[places]

    def _rows(self, places: Floats, kind: Any) -> Floats:
        """Return the rows in some places."""
        rows = np.empty((len(places), self.dimensions), kind)
        if len(places) <= _FEW:
            for number, place in enumerate(places.tolist()):
                block = _block_of(place)
                rows[number] = self._blocks[block][place - _start_of(block)]
            return rows
        for block, numbers in enumerate(list(self._blocks)):
            begin = _start_of(block)
            here = (places >= begin) & (places < begin + len(numbers))
            rows[here] = numbers[places[here] - begin]
        return rows

    def _compared(self, places: Floats, asked: Floats, metric: Metric) -> list[Ranked]:
        """Return rows in order, compared in float64 one by one."""
        scores = np.empty(len(places))
        for start in range(0, len(places), _DIRECT):
            some = places[start : start + _DIRECT]
            rows = self._rows(some, np.float64)
            if metric == "euclidean":
                rows -= asked
                scores[start : start + _DIRECT] = -np.sqrt((rows * rows).sum(axis=1))
                continue
            products = (rows * asked).sum(axis=1)
            if metric == "cosine":
                products /= np.sqrt((rows * rows).sum(axis=1)) * np.sqrt((asked * asked).sum())
                np.minimum(np.maximum(products, -1.0, out=products), 1.0, out=products)
            scores[start : start + _DIRECT] = products
        found = [
            Ranked(score, self._keys[place], self._revisions[place], place, self._spans.get(place))
            for score, place in zip(scores.tolist(), places.tolist(), strict=True)
        ]
        found.sort(key=lambda one: (-one.score, one.key))
        return found


def _best_of_each(scores: Floats, first: Floats) -> Floats:
    """Return the best score of each text, whose rows are one after the other."""
    return np.maximum.reduceat(scores, np.flatnonzero(np.diff(first, prepend=-1)))


def _block_of(place: int) -> int:
    """Return in which block a row is: the first has `_ROWS`, the second as many, and each later one twice as many."""
    return (place // _ROWS).bit_length()


def _start_of(block: int) -> int:
    return _ROWS << (block - 1) if block else 0
