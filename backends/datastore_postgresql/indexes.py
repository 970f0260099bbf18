"""Indexes on fields of values: what they hold, and which of their keys a query must look at.

An index is of expressions: the user and the namespace of the id, then two for each field, then the id. The first of the
two says what the value is, and the beginning of a text; the second is the number. So everything that may be equal to a
constant, or lies in a range of texts or of numbers, is in one piece. A row that the index finds only *may* match: the
expression of `datastore_postgresql.queries` decides. `_ANYTHING` is for what only a closer look shows (arrays, and
values that are kept as text): every search looks at these, too.

An entry of more than 2,704 bytes would make the write fail, so a text is cut.
https://www.postgresql.org/docs/current/sql-createindex.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.choosing import Fit, by_path, choose, fit_of_first
from datastore.adapters.declaring import digest_of, kept, namespace_of, read, words_of
from datastore.errors import UnsupportedError
from datastore.ids import encode_name
from datastore.queries.tree import Compare, Condition, Filter, In, Path
from datastore_postgresql.failures import NAME
from datastore_postgresql.queries import TEXT, as_json, kind_of, quoted, value_at
from datastore_postgresql.reading import PREFIX
from datastore_postgresql.schema import TABLE

Bind: TypeAlias = Callable[[Any, str], str]
Key: TypeAlias = tuple[str, str]
"""What the two expressions of a field are for a value."""
Points: TypeAlias = dict[Key, Any]
"""Keys, each with a constant that has it."""

MOST_FIELDS = 8
_COMMENT = "agent-datastore, index "
"""What the comment of an index begins with."""
_CHARACTERS = 160
"""How many characters of text an entry holds, of all fields together: with an id of the longest names 2,500 bytes."""
_MERGED = 12
"""Up to this many searches are merged in the order of ids."""
_MOST_SEARCHES = 64
_NO_NUMBER = "0"
_ANYTHING = ("a", _NO_NUMBER)
_NOTHING: Points = {("m", _NO_NUMBER): None, ("z", _NO_NUMBER): None}
"""A missing field, and null."""


@dataclass(frozen=True)  # without slots, so that properties can be cached
class Index:
    """An index that `Backend.ensure_index` made, or will."""

    fields: tuple[Path, ...]
    namespace: str | None
    """The namespace's plain name; ``None`` for all namespaces."""

    @cached_property
    def name(self) -> str:
        """The name: the same for the same fields and namespace. It would change if the keys ever changed."""
        return f"{TABLE}_by_{words_of(self.fields, 29)}_{digest_of(self.body, 12)}"

    @property
    def comment(self) -> str:
        """What the index's comment says, for other processes."""
        return _COMMENT + kept(self.fields, self.namespace)

    @cached_property
    def body(self) -> str:
        """What the index is of."""
        keys = ", ".join(f"({text}), ({number})" for text, number in self.keys)
        return f'(({PREFIX}), {keys}, "_id")' + (f" WHERE {self.condition}" if self.condition else "")

    @cached_property
    def condition(self) -> str:
        """The SQL condition for rows of its namespace. With a parameter, PostgreSQL might not use the index."""
        if self.namespace is None:
            return ""
        return f"split_part(\"_id\", ':', 2) = {quoted(encode_name(self.namespace, 'namespace'))}"

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """The two expressions of each field."""
        return [_key_expressions(path, self.longest) for path in self.fields]

    @property
    def longest(self) -> int:
        """How many characters of a text are in a key."""
        return _CHARACTERS // len(self.fields)


def declare(fields: Sequence[Path], encoded_namespace: str | None) -> Index:
    """Return the index on the given fields.

    Raises:
        UnsupportedError: If there are too many fields, or one of the paths is too long or has a NUL.
    """
    if len(fields) > MOST_FIELDS:
        raise UnsupportedError(f"an index has {MOST_FIELDS} fields at most, not {len(fields)}", backend=NAME)
    for path in fields:
        if value_at("value", path) is None:
            raise UnsupportedError(
                f"an index on {'.'.join(path)!r} is not possible: its path has a NUL, or is too long", backend=NAME
            )
    return Index(tuple(fields), namespace_of(encoded_namespace))


def known(comments: Mapping[str, str]) -> list[Index]:
    """Return the indexes that this version can use, given the comments of all by their names."""
    found = (read(one.removeprefix(_COMMENT), name, Index) for name, one in comments.items())
    return [index for index in found if index is not None]


def _key_expressions(path: Path, longest: int) -> tuple[str, str]:
    value = value_at("value", path)
    text = (
        f"CASE {kind_of('value', path)} WHEN 'string' THEN 's' || left({value} #>> '{{}}', {longest})"
        f" WHEN 'number' THEN 'n' WHEN 'boolean' THEN 'b' || ({value} #>> '{{}}') WHEN 'null' THEN 'z'"
        f" WHEN 'object' THEN 'o' WHEN 'missing' THEN 'm' ELSE '{_ANYTHING[0]}' END"
    )
    number = f"CASE jsonb_typeof({value}) WHEN 'number' THEN {value}::numeric ELSE {_NO_NUMBER} END"
    return f'({text}) COLLATE "C"', number


class Keys(NamedTuple):
    """The keys of all values for which the conditions on one field may hold, besides `_ANYTHING`."""

    points: Points
    bounds: list[tuple[str, str | float]]
    """Operators and constants, of the range that the keys are in if there are no points."""
    decide: bool = False
    """Whether the condition holds for all values that have one of the points."""


def _keys(condition: Condition, longest: int) -> Keys | None:
    match condition:
        case Compare("$eq", value):
            return Keys(_points(value, longest), [], not _shares_key(value, longest))
        case In(values):
            points = {key: value for value in values for key in _points(value, longest)}
            return Keys(points, [], not any(_shares_key(value, longest) for value in values))
        case Compare(operator, str() as text):
            return Keys({}, [(">=" if operator.startswith("$g") else "<=", text.partition("\0")[0])])
        case Compare(operator, int() | float() as number) if not isinstance(number, bool):
            return Keys({}, [(">=" if operator.startswith("$g") else "<=", number)])
    return None


def _points(value: Any, longest: int) -> Points:
    """Return the keys that a value equal to this one may have, besides `_ANYTHING`."""
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return {} if "\0" in value else {("s" + value[:longest], _NO_NUMBER): value}
    if isinstance(value, bool):
        return {("b" + as_json(value), _NO_NUMBER): value}
    if isinstance(value, int | float):
        return {("n", as_json(int(value) if value == int(value) else value)): value}  # equal numbers have one key
    return {("o", _NO_NUMBER): value} if isinstance(value, dict) else {}


def _shares_key(value: Any, longest: int) -> bool:
    """Return whether another value may have the same key."""
    return len(value) >= longest if isinstance(value, str) else isinstance(value, dict | list)


def _both(one: Keys, other: Keys) -> Keys:
    """Return where to look for what is in both. Looking at either is enough, so the smaller one is chosen."""
    if one.bounds and other.bounds:
        kind = type(one.bounds[0][1])
        same = [bound for bound in other.bounds if isinstance(bound[1], str) == issubclass(kind, str)]
        return Keys({}, one.bounds + same)
    return min(one, other, key=lambda keys: (bool(keys.bounds), len(keys.points)))._replace(decide=False)


class Search(NamedTuple):
    """Where to look in an index."""

    on: Index
    keys: list[Keys]
    """Of its first fields."""


def best_search(indexes: Iterable[Index], namespace: str, filters: Sequence[Filter]) -> Search | None:
    """Return the search with the index that fits best (`datastore.adapters.choosing`); ``None`` if no index helps."""

    def answer(index: Index) -> tuple[Fit, Search]:
        found = by_path(filters, lambda condition: _keys(condition, index.longest), _both)
        keys: list[Keys] = []
        for path in index.fields:
            if path not in found or _is_ranged(keys):
                break
            keys.append(found[path])
        ranged = _is_ranged(keys)
        return fit_of_first(len(keys) - ranged, ranged, len(index.fields)), Search(index, keys)

    return choose(indexes, namespace, answer)


def _is_ranged(keys: Sequence[Keys]) -> bool:
    return bool(keys) and bool(keys[-1].bounds)


class Way(NamedTuple):
    """One of the ways to find rows in an index. The beginning of the ids is the parameter ``scope``."""

    condition: str
    """The SQL condition for these rows. No row fulfils those of two ways."""
    decides: bool
    """Whether a row that is found certainly fulfils the conditions of the search."""


def ways_of(search: Search, bind: Bind) -> list[Way]:
    """Return the ways to find the rows of a search.

    There is one for each combination of keys, if there are few: PostgreSQL reads the rows of each in the order of ids,
    and no more than are wanted. Otherwise there is one for each combination of kinds.

    Args:
        search: The search.
        bind: Returns the SQL of a parameter. It is asked for those that the condition of the row has, too: then
            nothing but these depends on the constants of a query.
    """
    index = search.on
    scope = f"{PREFIX} = %(scope)s::text" + (f" AND {index.condition}" if index.condition else "")
    number = prod(len(keys.points) + 1 for keys in search.keys)
    ways: list[list[Way]] = []
    parts = 1
    for keys, expressions in zip(search.keys, index.keys, strict=False):
        ways.append(_ways(keys, *expressions, index.longest, bind, merged=number <= _MERGED))
        parts *= len(ways[-1])
        if parts > _MOST_SEARCHES:
            ways.pop()
            break
    return [
        Way(
            " AND ".join((scope, *(one.condition for one in way))),
            len(ways) == len(search.keys) and all(one.decides for one in way),
        )
        for way in product(*ways)
    ]


def _ways(keys: Keys, text: str, number: str, longest: int, bind: Bind, *, merged: bool) -> list[Way]:
    """Return the ways to find the rows whose keys of a field are some of those to look at."""

    def exactly(key: Key, constant: Any = None) -> Way:
        is_text, is_number = isinstance(constant, str), key[0] == "n"
        given = bind(as_json(constant), "jsonb") if is_text or is_number else ""
        begins = f"'s' || left({given} {TEXT}, {longest})" if is_text else f"'{key[0]}'"
        same = f"{text} = {begins} AND {number} = {f'{given}::numeric' if is_number else key[1]}"
        return Way(same, keys.decide and key != _ANYTHING)

    anything = exactly(_ANYTHING)
    if keys.bounds:
        if isinstance(keys.bounds[0][1], str):
            bounds = [f"{text} {how} 's' || left({bind(what, 'text')}, {longest})" for how, what in keys.bounds]
            return [Way(f"{text} >= 's' AND {text} < 't' AND {' AND '.join(bounds)}", False), anything]
        bounds = [f"{number} {how} {bind(as_json(what), 'jsonb')}::numeric" for how, what in keys.bounds]
        return [Way(f"{text} = 'n' AND {' AND '.join(bounds)}", False), anything]
    if merged:
        return [*(exactly(key, constant) for key, constant in keys.points.items()), anything]
    texts = [point[0] for point in keys.points if point[0] != "n"]
    numbers = [point[1] for point in keys.points if point[0] == "n"]
    found = [f"{text} = ANY({bind([*texts, _ANYTHING[0]], 'text[]')}) AND {number} = {_NO_NUMBER}"]
    if numbers:
        found.append(f"{text} = 'n' AND {number} = ANY({bind(numbers, 'text[]')}::numeric[])")
    return [Way(one, False) for one in found]
