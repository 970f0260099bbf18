"""Queries by Mango: no matching document is lost, and each trap has a test.

CouchDB's own meaning of a selector (`tests.servers.mango`) is tested in process, thousands of times. PouchDB Server is
tested by requests, behind the strict proxy, which lets through only what both find.
"""

from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.queries.language import parse_query
from datastore_couchdb.finding import plan
from datastore_couchdb.indexes import declare
from datastore_couchdb.schema import NAMESPACE_INDEX
from tests.couchdb import queries
from tests.servers import mango

STARTUP = frozenset({NAMESPACE_INDEX})


def _rounded(number):
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


KINDS = ("keeps numbers", "keeps them and compares floats", "is JavaScript")
"""Of servers: what becomes of numbers."""


@contextmanager
def _server(kind):
    """Ask a kind of server in the block; the value is whether it keeps numbers."""
    with pytest.MonkeyPatch.context() as patch:
        if kind != "keeps numbers":
            compared = mango.collated
            patch.setattr(mango, "collated", lambda value: _float_of(compared, value))
        yield kind != "is JavaScript"


@pytest.fixture(scope="module", params=KINDS)
def exact(request):
    with _server(request.param) as exact:
        yield exact


def _float_of(compared, value):
    found = compared(value)
    return (4, _rounded(found[1])) if found[0] == 4 else found


def _odd(exact):
    return [queries.stored(100 + number, value, exact=exact) for number, value in enumerate(queries.ODD_VALUES)]


@pytest.fixture(scope="module")
def odd(exact):
    return _odd(exact)


@pytest.fixture(scope="module")
def every_odd():
    """The odd documents by whether the server keeps numbers."""
    return {exact: _odd(exact) for exact in (True, False)}


# Examples are made once for all kinds of servers: that takes many times as long as to ask one of them.


@settings(max_examples=400, deadline=None)
@given(st.lists(queries.documents, max_size=4), queries.filters)
def test_no_document_that_matches_is_lost_by_what_is_pushed(every_odd, values, filter):
    query = parse_query(filter)
    for kind in KINDS:
        with _server(kind) as exact:
            everything = every_odd[exact] + [queries.stored(n, value, exact=exact) for n, value in enumerate(values)]
            made = plan(queries.RANGE, query, STARTUP, {})
            if made is not None:
                found = {document.id for document in queries.found(made, everything)}
                assert queries.matching(query, everything) <= found, (kind, made.native)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(queries.documents, max_size=4),
    queries.filters,
    st.sampled_from([[("a",)], [("a", "b")], [("a",), ("b",)]]),
    st.sampled_from([None, "n"]),
    st.data(),
)
def test_a_declared_index_loses_nothing_either_and_finds_nothing_twice(
    every_odd, values, filter, fields, namespace, data
):
    index = declare(fields, namespace)
    narrowing = {".".join(path): data.draw(queries.comparisons) for path in fields}
    query = parse_query({"$and": [narrowing, filter]})
    for kind in KINDS:
        with _server(kind) as exact:
            everything = every_odd[exact] + [queries.stored(n, value, exact=exact) for n, value in enumerate(values)]
            made = plan(queries.RANGE, query, STARTUP, {index.name: index})
            if made is not None and made.index == index.name:
                found = [document.id for document in queries.found(made, everything, index)]
                assert queries.matching(query, everything) <= set(found), (kind, made.native)
                assert len(found) == len(set(found)), (kind, made.native)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from(("a", "b")), queries.values, max_size=2), st.none() | queries.times),
        min_size=1,
        max_size=5,
    ),
    queries.metas,
    st.just(None) | queries.fields,
)
def test_filters_on_metadata_and_provenance_lose_nothing(documents, meta, filter):
    query = parse_query(filter, meta)
    for kind in KINDS:
        with _server(kind) as exact:
            everything = [
                queries.stored(number, metadata, metadata, expires_at, exact)
                for number, (metadata, expires_at) in enumerate(documents)
            ]
            made = plan(queries.RANGE, query, STARTUP, {})
            if made is not None:
                found = {document.id for document in queries.found(made, everything)}
                assert queries.matching(query, everything) <= found, (kind, made.native)


@pytest.mark.parametrize("filter", queries.TRAPS.values(), ids=queries.TRAPS)
def test_a_trap_of_mango_loses_nothing(odd, filter):
    query = parse_query(filter)
    for index in (None, declare([("a",)], None), declare([("a", "b")], None)):
        made = plan(queries.RANGE, query, STARTUP, {} if index is None else {index.name: index})
        if made is not None:
            held = None if index is None or made.index != index.name else index
            found = {document.id for document in queries.found(made, odd, held)}
            assert queries.matching(query, odd) <= found, made.native


@pytest.mark.parametrize(
    ("filter", "fields"),
    [
        ({"status": "rare", "price": {"$gt": 1}}, ["status"]),
        ({"status": {"$in": ["rare", "odd"]}, "price": {"$gt": 1}}, ["status"]),
        ({"status": "rare", "price": {"$gt": 1}, "kind": "k"}, ["status", "kind"]),
        ({"price": {"$gt": 1}, "kind": "k"}, ["price", "kind"]),
        ({"price": 1}, ["price"]),
        ({"price": {"$gt": 1}}, ["price"]),
    ],
    ids=str,
)
def test_the_index_is_the_one_with_equality_in_front_and_then_the_one_with_most_fields(filter, fields):
    made = [declare([(name,) for name in names], None) for names in (
        ["price"], ["status"], ["price", "kind"], ["status", "kind"]
    )]  # fmt: skip
    declared = {index.name: index for index in made}
    assert (
        plan(queries.RANGE, parse_query(filter), STARTUP, declared).index
        == declare([(name,) for name in fields], None).name
    )


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("test", [{"$exists": True}, {"$exists": False}, {"$type": "null"}, {"$ne": None}, None])
def test_an_expiry_that_is_not_there_is_null(test):
    query = parse_query(None, {"expiresAt": test})
    everything = [queries.stored(0, 1), queries.stored(1, 1, None, queries.AT)]
    made = plan(queries.RANGE, query, STARTUP, {})
    found = everything if made is None else queries.found(made, everything)
    assert queries.matching(query, everything) <= {one["_id"] if isinstance(one, dict) else one.id for one in found}
