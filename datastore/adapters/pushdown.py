"""From a query to what a database is asked, and what is left to check: the same rules for all adapters.

An adapter has a `Dialect`. For *one* condition on one field, it says whether its database decides the condition:

- *exact*: the database finds the documents for which the condition holds, and no others;
- *inexact*: it finds those and possibly others, which is a superset;
- *unsupported*: nothing is asked, and every document may match.

It also says how its language writes AND, OR and, if it has that, NOT. `push` does the rest:

- **And** is as narrow as all its parts together. A part that is unsupported, or does not fit into a request, is left
  out. The documents found are then a superset.
- **Or** needs all its parts: one unsupported part makes the whole unsupported.
- **Not** swaps And with Or and moves down to the conditions. There the dialect is asked for what must not hold. An
  inexact condition is not simply negated, because the opposite of a superset is not a superset.

A query is a list of clauses that must all hold, and each one is decided by itself. `Composed.pushed` has the clauses
that narrow what the database finds. `Composed.residual` has those that must still be checked on what it finds: all
except the exact ones that were pushed. `datastore.backend.Plan` takes both as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast

from datastore.backend import Query
from datastore.queries.tree import EVERYTHING as ANY
from datastore.queries.tree import And, Compare, Condition, Field, Filter, In, Not, Or, Path, clauses, conjunction

E = TypeVar("E")
"""An expression of the database's language."""
R = TypeVar("R")
"""What a request takes."""
T = TypeVar("T")

About: TypeAlias = Literal["value", "meta"]
"""Which filter of a query a condition is in: the one on the value, or the one on metadata and provenance."""

_NULL = In((None,))
_MOST_STEPS = 16
_LONGEST_PATH = 200  # characters
_MOST_REFUSED = 20
"""After this many clauses that do not fit into a request, it counts as full: each attempt writes all of it out."""


class Translation(NamedTuple, Generic[E]):
    """What a database is asked for a filter."""

    expression: E | None
    """The filter in the database's language; ``None`` finds every document."""
    exact: bool
    """Whether the documents found are exactly those that match, and not a superset."""


def exact(expression: E) -> Translation[E]:
    """Return the translation of a condition that the database decides."""
    return Translation(expression, True)


def inexact(expression: E) -> Translation[E]:
    """Return the translation of a condition for which the database finds a superset."""
    return Translation(expression, False)


UNSUPPORTED: Translation[Any] = Translation(None, False)
"""Every document may match."""
EVERYTHING: Translation[Any] = Translation(None, True)
"""Every document matches."""


class Dialect(ABC, Generic[E]):
    """The language of one database: what it says about one condition, and how it combines expressions.

    It may keep the state of one query, such as its parameters. `push` asks about each condition once.
    """

    nothing: E
    """The expression that finds no document."""
    decides: ClassVar[frozenset[About]] = frozenset(("value", "meta"))
    """The filters that may be decided at all. Leave one out if some documents are always found, such as values that are
    stored as text and that the database cannot look into."""
    three_valued: ClassVar[bool] = False
    """Whether expressions can also mean *perhaps*, which AND, OR and NOT treat as SQL treats NULL. A request then finds
    what is true or perhaps true, so that the opposite of an inexact expression is also a superset."""
    order: ClassVar[tuple[About, About]] = ("value", "meta")
    """Which filter is translated first."""
    deepest: ClassVar[int] = 1_000
    """How deeply And, Or and Not may be nested."""

    @abstractmethod
    def condition(self, about: About, path: Path, condition: Condition) -> Translation[E]:
        """Return the expression for the documents in which a condition holds, and whether it is exact.

        This is never called for a condition that cannot hold. It is never called for equality by `Compare`: that
        becomes an `In` with one value, and so does a comparison with ``null``.
        """

    @abstractmethod
    def all_of(self, parts: Sequence[E]) -> E | None:
        """Return an expression for the documents that all of two or more parts find; ``None`` if that is too much."""

    @abstractmethod
    def any_of(self, parts: Sequence[E]) -> E | None:
        """Return an expression for the documents that at least one of two or more parts finds; ``None`` if too much."""

    def negate(self, part: E) -> E | None:
        """Return an expression for the documents that a part does not find; ``None`` if the language has none."""
        return None

    def opposite(self, about: About, path: Path, condition: Condition) -> Translation[E]:
        """Return the expression for the documents in which a condition does *not* hold, and whether it is exact.

        By default it is the negation of what the database decides. Override it if the database can also find a superset
        of these documents for an inexact condition.
        """
        found = self.condition(about, path, condition)
        if found.expression is None:
            return exact(self.nothing) if found.exact else found
        if found.expression == self.nothing:
            return EVERYTHING
        negated = self.negate(found.expression) if found.exact or self.three_valued else None
        return UNSUPPORTED if negated is None else Translation(negated, found.exact)

    def widens(self, part: E) -> bool:
        """Return whether a part finds documents regardless of the other parts. Then no part is decided."""
        return False

    def weight(self, part: E) -> int:
        """Return how much of a request a part takes. If not all parts fit, the lightest come first."""
        return 0


SYMBOLS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
"""How most languages write what `datastore.queries.tree.Compare` says."""


class SqlDialect(Dialect[str]):
    """The part of a dialect that is the same in every SQL: expressions are text, and *perhaps* is NULL.

    A table has a column of JSON for the value and one for the metadata, and a column for each field of provenance.
    All expressions of a query share ``parameters``, and hold only their names.
    """

    three_valued = True
    order = ("meta", "value")  # the cheaper to decide first
    deepest = 50  # a database may allow 1,000 levels for a whole expression, and conditions have levels of their own
    most_conditions: ClassVar[int] = 100
    """The most conditions side by side: to prepare or plan a statement with so many takes a tenth of a second in one
    database, and a millisecond in another."""
    columns: ClassVar[Collection[str]] = ()
    """The columns that may decide a filter on provenance. Leave out the counts, of which some are not yet written."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._conditions = 0

    def condition(self, about: About, path: Path, condition: Condition) -> Translation[str]:
        """See `Dialect.condition`: asks `in_json` or `in_column`."""
        self._conditions += 1
        if self._conditions > self.most_conditions:
            return UNSUPPORTED
        if about == "value":
            return self.in_json("value", path, condition)
        if path[0] == "metadata" and len(path) > 1:
            return self.in_json("metadata", path[1:], condition)
        if len(path) > 1 or path[0] not in self.columns:
            return UNSUPPORTED
        return self.in_column(path[0], condition)

    @abstractmethod
    def in_json(self, column: str, path: Path, condition: Condition) -> Translation[str]:
        """Return the expression of a condition on a field of JSON, as `Dialect.condition`."""

    @abstractmethod
    def in_column(self, column: str, condition: Condition) -> Translation[str]:
        """Return the expression of a condition on a column of text, as `Dialect.condition`."""

    def all_of(self, parts: Sequence[str]) -> str:
        """Join expressions by AND, without duplicates."""
        return f"({' AND '.join(dict.fromkeys(parts))})"

    def any_of(self, parts: Sequence[str]) -> str:
        """Join expressions by OR, without duplicates."""
        return f"({' OR '.join(dict.fromkeys(parts))})"

    def negate(self, part: str) -> str:
        """Return the opposite of an expression. It is NULL where the expression is."""
        return f"NOT {part}"


def is_too_long(path: Path) -> bool:
    """Return whether a path is too long to be written into a statement, again and again."""
    return len(path) > _MOST_STEPS or sum(map(len, path)) > _LONGEST_PATH


class Piece(NamedTuple, Generic[E]):
    """One condition that must hold, and its expression."""

    filter: Filter
    about: About
    expression: E
    exact: bool
    """Whether it need not be checked on what the request finds."""


class Composed(NamedTuple, Generic[E, R]):
    """The result of `push`."""

    request: R
    pieces: tuple[Piece[E], ...]
    """The pieces that are in the request."""
    pushed: Query
    """The clauses that narrow what the request finds."""
    residual: Query
    """The clauses to check on every document found."""


def query_of(pieces: Sequence[Piece[Any]]) -> Query:
    """Return the query that consists of the filters of some pieces."""
    value = [piece.filter for piece in pieces if piece.about == "value"]
    meta = [piece.filter for piece in pieces if piece.about == "meta"]
    return Query(conjunction(value) if value else ANY, conjunction(meta) if meta else ANY)


def push(query: Query, dialect: Dialect[E], request: Callable[[Sequence[Piece[E]]], R | None]) -> Composed[E, R] | None:
    """Return what to ask a database for a query, and what is left to check; ``None`` if no request narrows it.

    Args:
        query: What is asked for.
        dialect: The database's language.
        request: Returns the request for some pieces that must all hold, or ``None`` if the database does not accept as
            much. It is first called with all pieces, and with no piece if every document matches. `tuple` is for a
            database without a limit.
    """
    pieces: list[Piece[E]] = []
    split: dict[int, _Clause] = {}
    for about in dialect.order:
        filter = query.value if about == "value" else query.meta
        decides = about in dialect.decides
        for clause in (filter,) if isinstance(filter, Field) else clauses(filter):
            parts = (clause,) if isinstance(clause, Field) else tuple(_parts(clause, True))
            for part in parts:
                made: Translation[E] = _translate(dialect, about, part, True, 0)
                piece = Piece(part, about, cast(E, made.expression), made.exact and decides)
                pieces.append(piece)
                if len(parts) > 1:
                    split[id(piece)] = _Clause(clause, len(parts))
    for piece in pieces:
        if piece.exact and piece.expression == dialect.nothing:  # no document matches, whatever the others say
            pieces = [piece]
            break
    narrowing = [piece for piece in pieces if piece.expression is not None]
    if not narrowing and not all(piece.exact for piece in pieces):
        return None
    chosen, asked = _fitting(narrowing, request, lambda piece: dialect.weight(piece.expression))
    if asked is None:
        return None
    if len(chosen) < len(narrowing):
        taken = set(map(id, chosen))
        chosen = [piece for piece in narrowing if id(piece) in taken]
    decided: set[int] = set()
    if not any(dialect.widens(piece.expression) for piece in chosen):
        decided.update(id(piece) for piece in chosen if piece.exact)
    # A piece that every document matches is in neither.
    residual = [
        piece for piece in pieces if id(piece) not in decided and (piece.expression is not None or not piece.exact)
    ]
    return Composed(asked, tuple(chosen), _query(chosen, split), _query(residual, split))


class _Clause(NamedTuple):
    """A clause of a query whose parts are decided separately."""

    filter: Filter
    parts: int
    """The number of its parts."""


def _parts(filter: Filter, holds: bool) -> Iterator[Filter]:
    """Yield the parts that must all hold for a filter to hold or, if ``holds`` is false, for it not to hold."""
    if isinstance(filter, Not):
        yield from _parts(filter.clause, not holds)
    elif isinstance(filter, And if holds else Or):
        for clause in filter.clauses:
            yield from _parts(clause, holds)
    else:
        yield filter if holds else Not(filter)


def _query(pieces: Sequence[Piece[Any]], split: Mapping[int, _Clause]) -> Query:
    """Return the query of some pieces. A clause is shown as it was written if all its parts are there."""
    if not split:
        return query_of(pieces)
    there: dict[int, int] = {}
    for piece in pieces:
        clause = split.get(id(piece))
        if clause is not None:
            there[id(clause.filter)] = there.get(id(clause.filter), 0) + 1
    shown: dict[tuple[About, int], Piece[Any]] = {}
    for piece in pieces:
        clause = split.get(id(piece))
        if clause is not None and there[id(clause.filter)] == clause.parts:
            piece = Piece(clause.filter, piece.about, piece.expression, piece.exact)
        shown[piece.about, id(piece.filter)] = piece
    return query_of(list(shown.values()))


def _translate(dialect: Dialect[E], about: About, filter: Filter, holds: bool, depth: int) -> Translation[E]:
    """Return what to ask for the documents in which a filter holds or, if ``holds`` is false, does not."""
    if isinstance(filter, Field):
        return _condition(dialect, about, filter, holds)
    if depth >= dialect.deepest:
        return UNSUPPORTED
    if isinstance(filter, Not):
        return _translate(dialect, about, filter.clause, not holds, depth + 1)
    parts = [_translate(dialect, about, clause, holds, depth + 1) for clause in filter.clauses]
    return _all_of(dialect, parts) if isinstance(filter, And) is holds else _any_of(dialect, parts)


def _condition(dialect: Dialect[E], about: About, field: Field, holds: bool) -> Translation[E]:
    condition = field.condition
    if isinstance(condition, Compare):
        if condition.operator == "$eq":
            condition = In((condition.value,))
        elif condition.value is None:  # null equals null, and nothing is greater or less than null
            condition = _NULL if condition.operator in ("$gte", "$lte") else In(())
    if isinstance(condition, In) and not condition.values:
        return exact(dialect.nothing) if holds else EVERYTHING
    found = (dialect.condition if holds else dialect.opposite)(about, field.path, condition)
    return found if found.exact or found.expression != dialect.nothing else exact(dialect.nothing)


def _all_of(dialect: Dialect[E], parts: Sequence[Translation[E]]) -> Translation[E]:
    nothing = dialect.nothing
    found: list[E] = []
    for part in parts:
        if part.expression is not None:
            if part.expression == nothing:
                return exact(nothing)
            found.append(part.expression)
    every = all(part.exact for part in parts)
    if len(found) < 2:
        return Translation(found[0] if found else None, every)
    chosen, joined = _fitting(found, lambda some: dialect.all_of(some) if len(some) > 1 else some[0], dialect.weight)
    return Translation(joined, every and len(chosen) == len(found))


def _any_of(dialect: Dialect[E], parts: Sequence[Translation[E]]) -> Translation[E]:
    nothing = dialect.nothing
    found: list[Translation[E]] = []
    for part in parts:
        if part.expression is None:
            return EVERYTHING if EVERYTHING in parts else UNSUPPORTED
        if part.expression != nothing:
            found.append(part)
    if len(found) < 2:
        return found[0] if found else exact(nothing)
    joined = dialect.any_of([part.expression for part in found if part.expression is not None])
    return UNSUPPORTED if joined is None else Translation(joined, all(part.exact for part in found))


def _fitting(
    items: list[T], join: Callable[[Sequence[T]], R | None], weight: Callable[[T], int]
) -> tuple[list[T], R | None]:
    """Return as many items that must all hold as fit together, and their combination."""
    joined = join(items)
    if joined is not None:
        return items, joined
    chosen: list[T] = []
    refused = 0
    for item in sorted(items, key=weight):
        if refused == _MOST_REFUSED:
            break
        tried = join([*chosen, item])
        if tried is None:
            refused += 1
        else:
            chosen.append(item)
            joined = tried
    return chosen, joined
