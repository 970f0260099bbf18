"""The reference means what MongoDB means: it agrees with mongomock, another implementation, where that is right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mongomock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongomock import OperationFailure
from mongomock.filtering import filter_applies

from datastore.conformance import query_strategies as make
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from datastore.queries.ordering import sort_key
from datastore.queries.shaping import parse_sort
from tests.core.mongomock_divergences import DIVERGENCES, divergences_of

EXAMPLES, AT_ONCE = 60, 20
"""So many examples, each with so many documents and so many filters: more than 20,000 pairs."""
LEAST_SHARE = 0.6
_KNOWN_TYPES = {"double", "string", "object", "array", "bool", "int", "long", "number"}

EXAMPLE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,  # what is found in CI can be found again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def in_order(value: Any) -> Any:
    """Return a value with the keys of its objects sorted: for us their order means nothing, for MongoDB it does."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(one) for one in value] if isinstance(value, list) else value


def understood(filter: Any) -> bool:
    """Return whether mongomock knows all operators and types of a filter."""
    if isinstance(filter, list):
        return all(map(understood, filter))
    if not isinstance(filter, dict):
        return True
    type_ = filter.get("$type", "int")
    known = "$mod" not in filter and isinstance(type_, str) and type_ in _KNOWN_TYPES
    return known and all(map(understood, filter.values()))


objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), make.values, min_size=1, max_size=3)
documents = st.one_of(
    objects, objects, st.builds(lambda name, some: {name: some}, st.sampled_from("ab"), st.lists(objects, max_size=3))
)
documents = documents.map(in_order)
filters = st.deferred(lambda: make.filters.filter(understood))  # deferred, because its repr is endless


def answer(filter: dict[str, Any], document: dict[str, Any]) -> bool | str:
    try:
        return bool(filter_applies(filter, document))
    except (OperationFailure, NotImplementedError, TypeError, AttributeError) as error:
        return repr(error)


def test_the_reference_agrees_with_mongomock():
    seen = Counter[str]()

    @EXAMPLE
    @given(
        st.lists(documents, min_size=AT_ONCE, max_size=AT_ONCE), st.lists(filters, min_size=AT_ONCE, max_size=AT_ONCE)
    )
    def check(some: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
        for filter in asked:
            matches = compile_filter(parse(filter))
            ordered = in_order(filter)
            for document in some:
                seen["pairs"] += 1
                if divergences_of(document, filter):
                    continue
                found = matches(document)
                seen["matching" if found else "others"] += 1
                assert found == answer(ordered, document), (document, filter)

    check()
    compared = seen["matching"] + seen["others"]
    assert seen["pairs"] >= 20_000, seen
    assert compared >= LEAST_SHARE * seen["pairs"], seen
    assert min(seen["matching"], seen["others"]) >= 0.1 * compared, seen


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda one: one.name)
def test_a_divergence_of_mongomock_is_one(divergence):
    """A row whose example mongomock has come to answer rightly can go."""
    assert divergences_of(divergence.document, divergence.filter) == [divergence.name]
    assert compile_filter(parse(divergence.filter))(divergence.document) is divergence.right
    assert answer(divergence.filter, divergence.document) != divergence.right


def sorts_otherwise(document: dict[str, Any], path: str) -> bool:
    """Return whether a document has more than one value at a path.

    mongomock sorts by the first, MongoDB by the least or the greatest:
    https://www.mongodb.com/docs/manual/reference/method/cursor.sort/#sort-by-array-field.
    """
    value: Any = document
    for step in path.split("."):
        if isinstance(value, list):
            return True
        value = value.get(step) if isinstance(value, dict) else None
    return isinstance(value, list) and len(value) > 1


def test_sorting_agrees_with_mongomock():
    seen = Counter[str]()

    @EXAMPLE
    @given(st.lists(documents, min_size=2, max_size=AT_ONCE), make.sorts)
    def check(some: list[dict[str, Any]], sort: list[tuple[str, int]]) -> None:
        seen["documents"] += len(some)
        some = [document for document in some if not any(sorts_otherwise(document, path) for path, _ in sort)]
        seen["compared"] += len(some)
        key = sort_key(parse_sort(sort))
        ours = sorted(range(len(some)), key=lambda number: (key(some[number]), number))
        collection = mongomock.MongoClient().database.collection
        if some:
            collection.insert_many({"_id": number, **document} for number, document in enumerate(some))
        theirs = [document["_id"] for document in collection.find({}).sort(sort)]
        assert ours == theirs, (some, sort)

    check()
    assert seen["compared"] >= LEAST_SHARE * seen["documents"], seen
