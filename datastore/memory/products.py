"""The product of a matrix and a vector, by one thread or by all processors: whichever has taken less time lately.

BLAS gives each processor a part of a product that is large enough (OpenBLAS from 460,800 numbers on,
``interface/gemv.c``), and waits for all of them. On a machine with nothing else to do that halves the time. While one
of the processors is busy it takes up to a hundred times as long. Neither the load nor the size tells which it is, so
both ways are timed. What the product is used for does not depend on how it was rounded (`datastore.memory.matrix`).
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[Any]"

_ALONE = 450_000
"""So many numbers one thread multiplies, whatever BLAS would like."""
_SHARED = 8_000_000
"""From so many on the product takes longer than the processors are waited for."""
_SOON, _LATE = 8, 1_024
"""After how many products the slower way is tried again: so many at first, and each time that it is slower still twice
as many as before, up to so many."""
_WEIGHT = 1 / 8


class Chooser:
    """Which of two ways is taken. Threads that use one at once may lose a time that was measured, and nothing else.

    The time of the way that is taken is an average. That of the other one is the second best of the two or three that
    it takes to see which is faster: the first one may have waited until sleeping threads had begun to work.
    """

    __slots__ = ("_left", "_pause", "_seconds", "_tried")

    def __init__(self) -> None:
        self._seconds = [0.0, 0.0]  # for one number
        self._left = self._pause = _SOON
        self._tried: list[float] = []

    def choose(self) -> bool:
        """Return whether the second way is to be taken: the faster one, or the other one now and then."""
        faster = self._seconds[1] < self._seconds[0]
        if self._left <= 0:
            return not faster
        self._left -= 1
        return faster

    def note(self, second: bool, seconds: float) -> None:
        """Note how long a product took for one number, by the way that was chosen."""
        before, other = self._seconds[second], self._seconds[not second]
        if self._left <= 0 and before >= other > 0:
            tried = self._tried = sorted([*self._tried, seconds])
            if len(tried) > 1 and (tried[1] < other or tried[-2] >= other):
                self._tried, self._seconds[second] = [], tried[1]
                self._pause = _SOON if tried[1] < other else min(2 * self._pause, _LATE)
                self._left = self._pause
        else:
            now = self._seconds[second] = before + (seconds - before) * _WEIGHT if before else seconds
            if before < other <= now:
                self._left = self._pause = _SOON


_chooser = Chooser()


def multiply(rows: Floats, vector: Floats, out: Floats) -> None:
    """Write the product of each row and a vector into ``out``; all are of float32."""
    size = rows.size
    if size < _ALONE or size >= _SHARED:
        np.dot(rows, vector, out=out)
        return
    shared, began = _chooser.choose(), perf_counter()
    if shared:
        np.dot(rows, vector, out=out)
    else:
        step = max(_ALONE // len(vector), 1)
        for start in range(0, len(rows), step):
            np.dot(rows[start : start + step], vector, out=out[start : start + step])
    _chooser.note(shared, (perf_counter() - began) / size)
