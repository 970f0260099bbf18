"""Which of several declared indexes answers a query: one rule for all adapters that must choose.

An index is a list of entries, sorted by its first field, then by its second, and so on. The entries for equality on the
first fields, and of those for a range of the next field, are next to each other. So equality counts before ranges:
``status = "rare"`` leaves few documents, while ``price > 1`` leaves nearly all of them. And a range scatters the values
of the fields after it. Only then does the number of fields count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from datastore.queries.tree import Condition, Field, Filter, Path


class Declared(Protocol):
    """An index that somebody declared."""

    @property
    def name(self) -> str:
        """Its name, which is the same in every process."""

    @property
    def namespace(self) -> str | None:
        """The namespace whose records it holds; ``None`` for all namespaces."""


Index = TypeVar("Index", bound=Declared)
Choice = TypeVar("Choice")
Keys = TypeVar("Keys")


class Asked(Enum):
    """What a query asks about one field of an index."""

    EQUAL = "equal"
    """The field equals a value, or one of a few values."""
    RANGE = "range"
    """The field lies between two values, or above or below one."""
    NOTHING = "nothing"


class Fit(NamedTuple):
    """How well an index fits a query. The greater of two fits better."""

    equal: int
    """How many of its first fields the query compares for equality."""
    ranged: bool
    """Whether the query asks for a range of the next field."""
    others: int
    """How many later fields the query asks about: they exclude entries, but what is left is scattered."""
    unasked: int
    """How many fields the query does not ask about, as a negative number."""

    @property
    def helps(self) -> bool:
        """Whether the index excludes any of its entries."""
        return self.equal > 0 or self.ranged


def fit(asked: Sequence[Asked]) -> Fit:
    """Return how well an index fits, given what a query asks about each of its fields, in their order."""
    equal = 0
    while equal < len(asked) and asked[equal] is Asked.EQUAL:
        equal += 1
    ranged = equal < len(asked) and asked[equal] is Asked.RANGE
    nothing = asked.count(Asked.NOTHING)
    return Fit(equal, ranged, len(asked) - nothing - equal - ranged, -nothing)


def fit_of_first(equal: int, ranged: bool, fields: int) -> Fit:
    """Return how well an index fits if a query asks about its first fields alone.

    Args:
        equal: How many of them it compares for equality.
        ranged: Whether it asks for a range of the next one.
        fields: How many fields the index has.
    """
    return Fit(equal, ranged, 0, equal + ranged - fields)


def by_path(
    filters: Iterable[Filter], keys_of: Callable[[Condition], Keys | None], both: Callable[[Keys, Keys], Keys]
) -> dict[Path, Keys]:
    """Return where an index is to be looked at for what satisfies all of some filters, by the paths of its fields.

    Args:
        filters: They must all hold.
        keys_of: Returns where a field's values for which a condition may hold are; ``None`` if anywhere.
        both: Returns where what is in two such places is.
    """
    found: dict[Path, Keys] = {}
    for filter in filters:
        if isinstance(filter, Field) and (keys := keys_of(filter.condition)) is not None:
            there = found.get(filter.path)
            found[filter.path] = keys if there is None else both(there, keys)
    return found


def choose(
    indexes: Iterable[Index], namespace: str, answer: Callable[[Index], tuple[Fit, Choice] | None]
) -> Choice | None:
    """Return how the index that fits best answers a query, or ``None`` if no index helps.

    Of several that fit equally well, the first by name is taken, so that every process chooses the same one.

    Args:
        indexes: The declared indexes.
        namespace: The namespace to search. An index on another namespace is of no use.
        answer: Returns how well an index fits the query, and how it answers the query; ``None`` if it does not.
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
