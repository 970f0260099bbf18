"""Documents and filters that meet each other often, and CouchDB's documents of them."""

import json

from hypothesis import strategies as st

from datastore.adapters.changes import Rules, decide
from datastore.adapters.knowledge import ABSENT
from datastore.backend import Document, Put
from datastore.calls.planning import compile_query
from datastore.ids import encode_key, key_range
from datastore.values import encode
from datastore_couchdb.codec import document_of, text_of
from tests.servers import mango

AT = "2026-11-21T12:00:00.000000Z"
NAMES = ("a", "b", "0", "é", "a b", "length", "constructor", "$x", "back\\slash", "__proto__", "valueJson")
TEXTS = ("", "a", "A", "b", "a\u200d", "é", "e\u0301", "0", "$gt", "\U0001f600")
NUMBERS = (
    0,
    1,
    2,
    -1,
    5,
    1.5,
    -2.5,
    1.0,
    0.1,
    2**53,
    2**53 + 1,
    -(2**60),
    10**21,
    1e21,
    1.5e300,
    2**70,
    10**400,
    -0.0,
    5e-324,
    2.0**53,
    1e20,
    -(2.0**60),
    2**53 - 1,
)

names = st.sampled_from(NAMES) | st.sampled_from(NAMES[:2])
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS)
plain = st.none() | st.booleans() | st.sampled_from((0, 1, 2, 5, 1.5, "", "a", "A"))
values = st.recursive(
    plain | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=3)
documents = objects | objects | objects | values
paths = st.sampled_from(("a", "b", "a.b", "b.a", "a.b.a")) | st.lists(names, min_size=1, max_size=3).map(
    ".".join
).filter(lambda path: not path.startswith("$"))
operands = (
    plain | scalars | st.lists(plain, max_size=2) | st.dictionaries(st.sampled_from(("a", "b")), plain, max_size=2)
)


def _condition(inner):
    compared = st.sampled_from(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"))
    return st.one_of(
        st.tuples(compared, operands).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(compared, operands).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(st.sampled_from(("$in", "$nin", "$all")), st.lists(plain | scalars, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        st.booleans().map(lambda there: {"$exists": there}),
        st.sampled_from(
            ("int", "long", "number", "double", "decimal", "string", "null", "bool", "array", "object")
        ).map(lambda name: {"$type": name}),
        st.integers(0, 2).map(lambda length: {"$size": length}),
        st.just({"$mod": [2, 1]}),
        st.just({"$regex": "^a"}),
        inner.map(lambda condition: {"$elemMatch": condition}),
    )


conditions = st.recursive(
    _condition(st.sampled_from(({"$gt": 1}, {"a": 1}))),
    lambda inner: inner.map(lambda condition: {"$not": condition}),
    max_leaves=2,
)
comparisons = plain | st.one_of(
    st.tuples(st.sampled_from(("$eq", "$gt", "$gte", "$lt", "$lte")), plain | scalars).map(lambda pair: dict([pair])),
    st.lists(plain | scalars, max_size=4).map(lambda found: {"$in": found}),
    st.tuples(plain, plain).map(lambda ends: {"$gte": ends[0], "$lt": ends[1]}),
)
fields = st.tuples(paths, conditions | conditions | plain).map(lambda pair: {pair[0]: pair[1]})
filters = st.recursive(
    fields,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("$and", "$or", "$nor")), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        st.tuples(inner, inner).map(lambda pair: {**pair[0], **pair[1]}),
    ),
    max_leaves=5,
)
times = st.sampled_from((AT, "2026-11-21T12:00:00.000001Z", "2025-01-01T00:00:00.000000Z", "2026", "9", ""))
meta_operands = times | st.sampled_from(("a", "A", "planner", "revision", "", None, 1, True))
META = (
    *(
        "key",
        "metadata",
        "metadata.a",
        "metadata.a.b",
        "metadata.length",
        "createdByAgent",
        "createdByAgent.a",
        "updatedByAgent",
    ),
    *("lastAccessedByAgent", "accessCount", "lastAccessedAt", "createdAt", "updatedAt", "revision", "expiresAt"),
)
TIMES = ("lastAccessedAt", "createdAt", "updatedAt", "expiresAt")


def _no_number_for_a_time(filter: dict) -> bool:
    """Return whether a filter is none that is refused: a time cannot be compared with a number."""
    ((name, operand),) = filter.items()
    given = operand if isinstance(operand, dict) else {"$eq": operand}
    operands = [one for value in given.values() for one in (value if isinstance(value, list) else [value])]
    return name not in TIMES or not any(type(one) is int for one in operands)


metas = st.recursive(
    st.tuples(
        st.sampled_from(META),
        st.one_of(
            meta_operands,
            st.tuples(st.sampled_from(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")), meta_operands).map(
                lambda pair: {pair[0]: pair[1]}
            ),
            st.lists(meta_operands, max_size=2).map(lambda found: {"$in": found}),
            st.booleans().map(lambda there: {"$exists": there}),
            st.sampled_from(("string", "null", "object")).map(lambda name: {"$type": name}),
        ),
    )
    .map(lambda pair: {pair[0]: pair[1]})
    .filter(_no_number_for_a_time),
    lambda inner: st.tuples(st.sampled_from(("$and", "$or", "$nor")), st.lists(inner, min_size=1, max_size=2)).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    max_leaves=3,
)


def stored(number: int, value, metadata=None, expires_at=None, exact=False) -> dict:
    """Return the document that CouchDB holds for a value; ``exact`` is whether the server keeps numbers."""
    key = f"k{number:03}"
    put = Put(f"u:n:{encode_key(key)}", "u", "n", key, value, encode(value), metadata, "a", AT, "revision", expires_at)
    change = decide(put, ABSENT, Rules(), fresh=True)
    return json.loads(text_of(change, exact)) | {"_rev": "1-a"}


def found(plan, everything: list[dict], declared=None) -> list[Document]:
    """Return what CouchDB finds by a plan, each as often as it finds it."""
    documents = []
    for query in plan.native:
        (name, _) = query["use_index"]
        held = everything
        if declared is not None:
            definition = dict(declared.definitions())[name]
            filter = definition.get("partial_filter_selector", {})
            assert set(definition["fields"]) <= set(query["selector"]), "CouchDB would not use the index"
            held = [one for one in held if mango.is_in_index(one, definition["fields"]) and mango.matches(filter, one)]
        documents += [document_of(one) for one in held if mango.matches(query["selector"], one)]
    return documents


def matching(query, everything: list[dict]) -> set[str]:
    """Return the ids of the documents that match, by the reference."""
    matches = compile_query(query)
    return {document.id for one in everything if matches(document := document_of(one))}


RANGE = key_range("u:n:", None)
"""Of the documents here."""
OF_AGENT = key_range("u:default:", None)
"""Of what the fixture `agent` stores."""

ODD_VALUES = [
    *({}, 5, "text", None, True, [], [1, 2], ["a"], [{"a": 1}], 1.0, 2**60, 1e21),
    *({"a": value} for value in (None, True, False, 0, 1, 2, 5, 6, 1.5, -1, 2**53, 1e21, 10**21, 1.0, 5.0, 2**53 + 1)),
    *({"a": text} for text in TEXTS),
    *({"a": value} for value in ([], [1], [1, 6], [[1]], [None], ["a", "b"], [{"b": 1}, {"b": 6}], [{"b": 1}, 5, [6]])),
    *({"a": {"b": value}} for value in (None, True, 0, 1, 6, "", "a", "A", [], [1, 6], {"a": 1}, {"a": None}, 2**60)),
    *({"a": 1, "b": value} for value in (None, True, False, 0, 5, "a", [5], {"a": 1}, 5.0)),
    *({"a": value} for value in (-0.0, 5e-324, -5e-324, 2.0**53, 2.0**53 + 2, 1e20, 2**60, -(2**53) - 1, 10**310)),
    *({"a": value, "b": 5} for value in (0, "a", "a\u200d", [1], {"b": 1}, {"b": [1]}, 6.0)),
    *({name: value} for name in NAMES for value in (1, {"a": 1})),
    *({"a": {name: 1}} for name in NAMES),
]

TRAPS = {
    "comparing goes across types in Mango": {"a": {"$gt": 5}},
    "in descending order too": {"a": {"$lt": 5}},
    "false is less than true": {"a": {"$lt": True}},
    "text is compared as people sort words": {"a": {"$gt": "A", "$lt": "b"}},
    "different texts are equal to ICU": {"a": "a"},
    "and must not be left out for it": {"a": {"$ne": "a"}},
    "composed and decomposed": {"a": {"$in": ["é"]}},
    "a missing field is null": {"a": None},
    "also within what is no object": {"a.b": None},
    "or not null": {"a.b": {"$ne": None}},
    "a missing field fails every test of Mango": {"a": {"$ne": True}},
    "negated ranges as well": {"a": {"$not": {"$gte": 5}}},
    "0 and empty text lead nowhere": {"a.b": 0},
    "nor do they when negated": {"a.b": {"$ne": 0}},
    "something is missing": {"b": {"$exists": False}},
    "something is there": {"a.b": {"$exists": True}},
    "arrays on the way": {"a.b": 6},
    "arrays at the end": {"a": 6},
    "two elements may satisfy two conditions": {"a": {"$gt": 5, "$lt": 2}},
    "arrays as a whole": {"a": [1, 6]},
    "objects whatever the order of their keys": {"a": {"b": 1}},
    "numbers of no other form": {"a": 1},
    "numbers with a point": {"a": 5.0},
    "numbers beyond 2^53": {"a": 2**53 + 1},
    "ranges up to beyond 2^53": {"a": {"$lt": 2**53 + 1}},
    "ranges from beyond 2^53": {"a": {"$gt": 2**53}},
    "ranges below all that is certain": {"a": {"$lte": -(2**53)}},
    "all but one beyond 2^53": {"a": {"$ne": 2**53}},
    "no more than 2^53": {"a": {"$not": {"$lte": 2**53}}},
    "beyond 2^53 among others": {"a": {"$in": [1, 2**60, 2**53]}},
    "the smallest number there is": {"a": 5e-324},
    "less than the smallest number": {"a": {"$lt": 5e-324}},
    "at least the smallest number": {"a": {"$gte": 5e-324}},
    "a zero is a zero": {"a": 0},
    "whichever its sign": {"a": -0.0},
    "equal as a float": {"a": 10**21},
    "true is not 1": {"a": {"$in": [True]}},
    "1 is not true": {"$or": [{"a": 1}, {"a": True}]},
    "in nothing": {"a": {"$in": []}},
    "not in nothing": {"a": {"$nin": []}},
    "several alternatives at once": {"$and": [{"$or": [{"a": 1}, {"b": 5}]}, {"$or": [{"a": {"$gt": 0}}, {"b": "a"}]}]},
    "none of several": {"$nor": [{"a": {"$gt": 0}}, {"b": True}, {"a.b": {"$exists": True}}]},
    "modulo of fractions": {"a": {"$mod": [5, 1]}},
    "sizes": {"a": {"$size": 2}},
    "regular expressions": {"a": {"$regex": "^A", "$options": "i"}},
    "elements": {"a": {"$elemMatch": {"b": {"$gt": 5}}}},
    "types": {"a": {"$type": ["int", "null"]}},
    "numbers past the end of text": {"a.length": None},
}


def numbered(agent, count, **more):
    """Store records ``k0000``, ``k0001`` and so on, each with its number."""
    agent.set_many({f"k{n:04}": {"n": n, "even": n % 2 == 0, **more} for n in range(count)})
