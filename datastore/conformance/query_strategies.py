"""What Hypothesis makes queries and documents from: few names and few values, so that they match often.

Needs Hypothesis.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_names = st.sampled_from(["a", "b", "c", "0", "1", "a.b", 'q"\\', "é", "$d", "", "x y"])
_paths = st.one_of(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b", "a.b", "a.0", "a.b.c", "a.0.b", "a.b.0", "a.1.0", "c", "missing", "b.missing", "é"]),
    st.lists(st.sampled_from(["a", "b", "c", "0", "1", 'q"\\', "x y"]), min_size=1, max_size=3).map(".".join),
)
_common = st.sampled_from([None, True, False, 0, 1, 2, 1.0, "a", "b", ""])
_plain = st.one_of(
    _common,
    _common,
    st.sampled_from([-2, 3, 0.0, -0.0, 1.5, -2.0, 1e-7, 1e308]),
    st.sampled_from([2**31, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63, -(2**63), 2**70, float(2**70)]),
    st.sampled_from(["A", "ab", "a\nb", "é", "z", "1", "🔑", "\uffee", "a\0b", "true", "null"]),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=3))


values: st.SearchStrategy[Any] = st.recursive(_plain, _containers, max_leaves=6)
"""Values of fields, and the values that they are compared with."""

_simple = st.one_of(_common, _common, st.lists(_common, max_size=2), st.fixed_dictionaries({"b": _common}))
documents: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"a": _simple}, optional={"b": _simple}),
    st.fixed_dictionaries({"a": _simple, "b": _common}),
    st.fixed_dictionaries({}, optional={"a": values, "b": _simple}),
    st.dictionaries(_names, values, max_size=4),
    values,
)
"""Documents to search; a few of them are not objects."""

_operands = st.one_of(_common, values).filter(
    lambda value: not isinstance(value, dict) or not any(k[:1] == "$" for k in value)
)
_types = st.sampled_from(["double", "string", "object", "array", "bool", "null", "int", "long", "number", 2, 16])
_patterns = st.sampled_from(["a", "^a", "b$", "A", "^$", ".", "a.b", "[ab]+", "é|z", "^(ab|1)", " a # all"])
_conditions: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), _operands
    ),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$in", "$nin"]), st.lists(_operands, max_size=3)),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda names: {"$type": names}, st.one_of(_types, st.lists(_types, min_size=1, max_size=2))),
    st.builds(lambda length: {"$size": length}, st.integers(0, 3)),
    st.builds(lambda by, rest: {"$mod": [by, rest]}, st.sampled_from([1, 2, 3, -2]), st.integers(-1, 2)),
    st.builds(
        lambda text, flags: {"$regex": text, "$options": flags}, _patterns, st.sampled_from(["", "i", "m", "s", "x"])
    ),
)
_on_elements = st.one_of(
    _conditions,
    st.builds(lambda one, two: {**one, **two}, _conditions, _conditions),
    st.builds(lambda one, two: {**one, "$not": two}, _conditions, _conditions.filter(lambda one: len(one) == 1)),
)


def _on_fields(filters: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    on_field = st.one_of(
        _operands,
        _conditions,
        _conditions,
        st.builds(lambda one, two: {**one, **two}, _conditions, _conditions),
        st.builds(lambda condition: {"$not": condition}, _conditions),
        st.builds(lambda values: {"$all": values}, st.lists(_operands, max_size=3)),
        st.builds(
            lambda condition, below_all: (
                {"$all": [{"$elemMatch": condition}]} if below_all else {"$elemMatch": condition}
            ),
            st.one_of(_on_elements, filters),
            st.booleans(),
        ),
    )
    return st.dictionaries(_paths, on_field, min_size=1, max_size=2)


_any_filters: st.SearchStrategy[dict[str, Any]] = st.recursive(
    _on_fields(st.just({"b": 1})),
    lambda inner: st.one_of(
        st.builds(
            lambda name, some: {name: some},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        _on_fields(inner),
    ),
    max_leaves=4,
)
_near = st.dictionaries(st.sampled_from(["a", "b", "a.b"]), st.one_of(_common, _conditions), min_size=1, max_size=1)
filters: st.SearchStrategy[dict[str, Any]] = st.one_of(_near, _any_filters)
"""Filters with every operator. Mostly, some documents match them and some do not."""

sorts = st.lists(st.tuples(_paths, st.sampled_from([1, -1])), min_size=1, max_size=2, unique_by=lambda pair: pair[0])
"""What to sort by."""
