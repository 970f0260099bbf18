"""Which of several declared indexes answers a query: one rule for every adapter that has to choose.

An index is a list of its entries, sorted by its first field, within that by its second, and so on. What lies together
there is all that is asked for by equality on its first fields, and of that a range of the next one. So equality comes
before ranges: ``status = "rare"`` leaves few documents where ``price > 1`` leaves nearly all of them, and a range
leaves the fields behind it scattered. Only then does it count how many fields an index has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

Choice = TypeVar("Choice")


class Asked(Enum):
    """What a query says about one field of an index."""

    EQUAL = "equal"
    """It equals a value, or one of a few."""
    RANGE = "range"
    """It lies between two values, or on one side of one."""
    NOTHING = "nothing"


class Fit(NamedTuple):
    """How well an index fits a query: of two, the greater fits better."""

    equal: int
    """How many of its first fields are asked for by equality."""
    ranged: bool
    """Whether the field behind these is asked for by a range."""
    others: int
    """How many fields behind that are asked for: they leave out entries, though these lie apart."""
    unasked: int
    """How many fields are in the index for nothing, as a negative number."""

    @property
    def helps(self) -> bool:
        """Whether the index leaves out anything of what it holds."""
        return self.equal > 0 or self.ranged


def fit(asked: Sequence[Asked]) -> Fit:
    """Return how well an index fits, from what a query says about each of its fields, in their order."""
    equal = next((number for number, one in enumerate(asked) if one is not Asked.EQUAL), len(asked))
    ranged = equal < len(asked) and asked[equal] is Asked.RANGE
    others = sum(one is not Asked.NOTHING for one in asked[equal + ranged :])
    return Fit(equal, ranged, others, -sum(one is Asked.NOTHING for one in asked))


def best(candidates: Iterable[tuple[Fit, str, Choice]]) -> Choice | None:
    """Return what fits best, ``None`` if there is nothing that helps.

    Args:
        candidates: How well each index fits, its name, and what to return for it. Of those that fit equally well, the
            one whose name comes first is taken, so that every process chooses the same.
    """
    found: tuple[Fit, str, Choice] | None = None
    for candidate in candidates:
        how, name, _ = candidate
        if how.helps and (found is None or how > found[0] or (how == found[0] and name < found[1])):
            found = candidate
    return None if found is None else found[2]
