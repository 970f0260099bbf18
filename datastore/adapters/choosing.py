"""Which of several declared indexes answers a query: one rule for every adapter that has to choose.

An index is a list of its entries, sorted by its first field, within that by its second, and so on. What lies together
there is all that is asked for by equality on its first fields, and of that a range of the next one. So equality comes
before ranges: ``status = "rare"`` leaves few documents where ``price > 1`` leaves nearly all of them, and a range
leaves the fields after it scattered. Only then does it count how many fields an index has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar


class Declared(Protocol):
    """An index that somebody declared."""

    @property
    def name(self) -> str:
        """The same in every process."""

    @property
    def namespace(self) -> str | None:
        """The namespace whose records it holds; ``None`` for those of all."""


Index = TypeVar("Index", bound=Declared)
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
    """Whether the field after these is asked for by a range."""
    others: int
    """How many fields after that are asked for: they leave out entries, though these lie apart."""
    unasked: int
    """How many fields are in the index for nothing, as a negative number."""

    @property
    def helps(self) -> bool:
        """Whether the index leaves out anything of what it holds."""
        return self.equal > 0 or self.ranged


def fit(asked: Sequence[Asked]) -> Fit:
    """Return how well an index fits, from what a query says about each of its fields, in their order."""
    equal = 0
    while equal < len(asked) and asked[equal] is Asked.EQUAL:
        equal += 1
    ranged = equal < len(asked) and asked[equal] is Asked.RANGE
    nothing = asked.count(Asked.NOTHING)
    return Fit(equal, ranged, len(asked) - nothing - equal - ranged, -nothing)


def choose(
    indexes: Iterable[Index], namespace: str, answer: Callable[[Index], tuple[Fit, Choice] | None]
) -> Choice | None:
    """Return how the index that fits best answers a query, ``None`` if there is none that helps.

    Of those that fit equally well the one whose name comes first is taken, so that every process chooses the same.

    Args:
        indexes: The declared indexes.
        namespace: Where to look; an index on another namespace is of no use.
        answer: Returns how well an index fits the query, and how it answers that; ``None`` if it does not.
    """
    found: tuple[Fit, str, Choice] | None = None
    for index in indexes:
        if index.namespace is not None and index.namespace != namespace:
            continue
        answered = answer(index)
        if answered is None:
            continue
        how, choice = answered
        if how.helps and (found is None or how > found[0] or (how == found[0] and index.name < found[1])):
            found = how, index.name, choice
    return None if found is None else found[2]
