"""The statement for a first page by an index that looks into no value.

An index tells nearly everything about integers and short texts: which of them equals a constant or lies between two,
and that nothing else does, if it holds no `datastore_sqlite.indexes.ANYTHING`. So this statement looks up the keys, and
whether there is any of these. Where there is one, or another key that does not tell, `datastore_sqlite.finding` reads
with a statement that looks into the values. That one is up to thirty times as long, and SQLite does something for each
part of it in each call: it sets up the constants and clears the registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from datastore.adapters.pushdown import SYMBOLS
from datastore.backend import Fields
from datastore.queries.tree import Compare, Condition
from datastore_sqlite.indexes import ANYTHING, LONG_TEXT, Search
from datastore_sqlite.schema import TABLE
from datastore_sqlite.statements import COLUMNS, WIDTHS

_ANYTHING = f"x'{ANYTHING.hex()}'"
_WITHIN = "_id >= CAST(?3 AS TEXT) AND _id < CAST(?4 AS TEXT)"
_LOOKED_FOR = {"$gt": ">=", "$gte": ">=", "$lt": "<=", "$lte": "<="}
"""How keys are looked for, of which those of real numbers are rounded."""
_ENDS = {int: ("-9e999", "''"), str: ("''", "x''")}
"""For a type the least key, and the least one that comes after all of its keys."""
_LONGEST_REST = 1_000
"""For so many pages it rests at most: then to try it once more costs a thousandth."""
_FIRST = 5
"""The number of the first parameter that is a constant of the query."""


class Part(NamedTuple):
    """The conditions on one field of the index."""

    key: str
    """The SQL for its key."""
    looked_for: Sequence[str]
    """Which keys are looked for."""
    sure: str
    """Whether a key that was found tells that the row matches; NULL if it does not tell."""


class ShortPage:
    """What the first pages of the queries of one shape have in common.

    Attributes:
        is_ranged: Whether rows come in the order of their keys, and not of their ids.
        finds_few: Whether the last page was of a few documents: then the next one probably is.
    """

    def __init__(self, search: Search, parts: Sequence[Part], places: Sequence[int], *, is_ranged: bool) -> None:
        self._index = search.index
        self._parts = parts
        self._places = places
        self._statements: dict[Fields, str] = {}
        self.is_ranged = is_ranged
        self.finds_few = True
        self._rests = self._rested = 0

    def parameters(self, constants: Sequence[Any]) -> Sequence[Any] | None:
        """Return the parameters for the constants of a query; ``None`` if it probably does not suffice for them."""
        if self._rests:
            return None
        found = [constants[place] for place in self._places]
        for one in found:
            if type(one) is str and len(one) >= LONG_TEXT:
                return None  # the index holds it cut off
        return found

    def note(self, *, sufficed: bool) -> None:
        """Note whether a page was read with it alone.

        If it was not, it rests for some pages, each time for twice as many: what it cannot tell of may be one record,
        which is gone tomorrow, or thousands.
        """
        self._rests = self._rested = 0 if sufficed else min(2 * self._rested + 1, _LONGEST_REST)

    def rest(self) -> None:
        """Note that a page was read without it."""
        self._rests = max(self._rests - 1, 0)

    def statement(self, fields: Fields) -> str:
        """Return the statement, whose first row has no id if there are keys that do not tell.

        Its parameters are the user, the namespace, the bounds of the ids, `parameters`, and the most rows.
        """
        statement = self._statements.get(fields)
        if statement is None:
            statement = self._statements[fields] = self._statement(fields)
        return statement

    def _statement(self, fields: Fields) -> str:
        index = self._index
        source = f'FROM {TABLE} INDEXED BY "{index.name}" WHERE userId = ?1'
        source += f" AND {index.condition or 'namespace = ?2'}"
        looked_for, others = list[str](), list[str]()
        for part in self._parts:
            others.append(f"EXISTS (SELECT 1 {' AND '.join([source, *looked_for, f'{part.key} = {_ANYTHING}'])})")
            looked_for += part.looked_for
        sure = " AND ".join([f"({part.sure})" for part in self._parts])
        # In a listing of keys a row that needs a closer look comes with something else than NULL.
        columns = f"{COLUMNS[fields]}, {sure if fields is not Fields.KEY else f'CASE WHEN {sure} THEN NULL ELSE 0 END'}"
        if self.is_ranged:
            columns += ", 0"  # the number of the probe, for where to go on
        nothing = ", ".join(["NULL"] * (WIDTHS[fields] + 1 + self.is_ranged))
        # The order of the index: nothing is sorted. A subselect, because an order of the whole would be one of both.
        order = ", ".join(["_id", *[part.key for part in self._parts][::-1]][::-1]) if self.is_ranged else "_id"
        return (
            f"SELECT {nothing} WHERE {' OR '.join(others)} UNION ALL"
            f" SELECT * FROM (SELECT {columns} {' AND '.join([source, *looked_for, _WITHIN, f'({sure}) IS NOT 0'])}"
            f" ORDER BY {order} LIMIT ?{_FIRST + len(self._places)}{' + 1' if self.is_ranged else ''})"
        )


def short_page(search: Search, asked: Sequence[Sequence[tuple[int, Condition]]]) -> ShortPage | None:
    """Return what the first pages for a search have in common; ``None`` if its keys alone do not tell what matches.

    Args:
        search: The search.
        asked: For each of its fields the conditions on it, each with the place of its constant.
    """
    parts, places = list[Part](), list[int]()
    is_ranged = False
    for key, conditions in zip(search.index.expressions, asked, strict=False):
        if is_ranged or not conditions:
            return None
        found = [(place, one.operator, type(one.value)) for place, one in conditions if isinstance(one, Compare)]
        kinds = {kind for _, _, kind in found}
        if len(found) < len(conditions) or len(kinds) > 1 or not kinds <= _ENDS.keys():
            return None
        (kind,) = kinds
        numbers = range(_FIRST + len(places), _FIRST + len(places) + len(found))
        places += [place for place, _, _ in found]
        is_text = kind is str
        if [operator for _, operator, _ in found] == ["$eq"]:
            parts.append(
                Part(key, [f"{key} = ?{numbers[0]}"], "1" if is_text else f"typeof({key}) = 'integer' OR NULL")
            )
            continue
        is_ranged = True
        if len(places) > len(found) or any(operator == "$eq" for _, operator, _ in found):
            return None
        looked_for = [f"{key} {_LOOKED_FOR[one]} ?{number}" for (_, one, _), number in zip(found, numbers, strict=True)]
        holds = [f"{key} {SYMBOLS[one]} ?{number}" for (_, one, _), number in zip(found, numbers, strict=True)]
        low, high = _ENDS[kind]
        bounded = {_LOOKED_FOR[operator] for _, operator, _ in found}
        looked_for += [f"{key} >= {low}"] * (">=" not in bounded) + [f"{key} < {high}"] * ("<=" not in bounded)
        certain = f"length({key}) < {LONG_TEXT}" if is_text else f"typeof({key}) = 'integer'"
        parts.append(Part(key, looked_for, f"CASE WHEN {certain} THEN {' AND '.join(holds)} END"))
    if not parts or (not is_ranged and len(parts) < len(search.index.fields)):
        return None
    return ShortPage(search, parts, places, is_ranged=is_ranged)
