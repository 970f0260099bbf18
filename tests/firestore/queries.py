"""Documents and filters that meet each other often, what they find, and what Firestore is asked."""

from hypothesis import strategies as st

from datastore.ids import encode_key, key_range
from datastore.queries.language import parse_query
from datastore.queries.matcher import compile_filter

_BIG = [2**53, 2**53 + 1, -(2**53) - 1, 2.0**53, 2**60, 2.0**60, 2**63 - 1, 2**63, 2.0**63, 2**70, 2.0**70, 10**400]


def long_text(number):
    """Text around the 1,500 bytes that an index holds; made here, so that it is not in the strategy's own name."""
    return ["x" * 1_400, "x" * 1_401, "x" * 1_600, "x" * 1_600 + "y", "é" * 700][number]


_scalars = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2, 1.0, 0.5, -0.0, 0.0, "", "a", "b", "1", "é", "\uffff", "🔑"]),
    st.sampled_from(_BIG),
    st.integers(0, 4).map(lambda number: long_text(number)),
)


_steps = st.sampled_from(["a", "b", "c", "a.b", "__x__", "0", "1", "`", "$n"])


values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_steps, inner, max_size=3)),
    max_leaves=8,
)


documents = st.one_of(st.dictionaries(_steps, values, max_size=3), values)


_paths = st.sampled_from(
    ["a", "b", "c", "a.b", "a.a", "b.c", "a.b.c", "__x__", "a.__x__", "0", "a.0", "a.0.b", "`", "b.`"]
)


_filter_values = st.one_of(
    _scalars, st.lists(_scalars, max_size=2), st.dictionaries(st.sampled_from("abc"), _scalars, max_size=2)
)


_conditions = st.one_of(
    _scalars,
    _filter_values.map(lambda value: {"$eq": value}),
    _filter_values.map(lambda value: {"$ne": value}),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), _scalars),
    st.builds(lambda low, high: {"$gte": low, "$lt": high}, _scalars, _scalars),
    st.builds(
        lambda name, some: {name: some}, st.sampled_from(["$in", "$nin", "$all"]), st.lists(_filter_values, max_size=4)
    ),
    st.integers(0, 40).map(lambda many: {"$in": [*range(many), "a"]}),
    st.booleans().map(lambda there: {"$exists": there}),
    st.integers(0, 3).map(lambda length: {"$size": length}),
    st.builds(lambda value: {"$elemMatch": {"$eq": value}}, _scalars),
    st.builds(lambda path, value: {"$elemMatch": {path: value}}, _paths, _scalars),
    st.just({"$type": "array"}),
    st.just({"$not": {"$gt": 0}}),
)


_filters = st.dictionaries(_paths, _conditions, min_size=1, max_size=3)


filters = st.recursive(
    _filters,
    lambda inner: st.builds(
        lambda name, some: {name: some},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


def expected(items, filter):
    matches = compile_filter(parse_query(filter).value)
    return {key: items[key] for key in sorted(items, key=encode_key) if matches(items[key])}


def plan_of(backend, filter=None, meta=None, namespace="default"):
    return backend.plan(key_range(f"u:{namespace}:", None), parse_query(filter, meta))


def fields_asked(query):
    """Every field filter of a query, as text."""

    def walk(filter):
        if filter.HasField("field_filter"):
            one = filter.field_filter
            yield f"{one.field.field_path} {one.Operator.Name(one.op)}"
        for inner in filter.composite_filter.filters:
            yield from walk(inner)

    return list(walk(query.where)) if query.HasField("where") else []
