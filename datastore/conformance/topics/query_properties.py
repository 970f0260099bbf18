"""Queries with generated documents and filters. Needs Hypothesis."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore
from datastore.conformance.samples import same
from datastore.conformance.topic import Topic
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from datastore.queries.ordering import sort_key
from datastore.queries.shaping import parse_sort

FEWEST, DOCUMENTS, FILTERS = 4, 12, 12
"""How many of each are in one example: the documents are stored once, and every filter is applied to them."""


class QueryProperties(Topic):
    """What holds for all documents and filters."""

    def test_a_find_agrees_with_the_reference(self, data_store: AgentDataStore) -> None:
        """It returns all matching documents, whole and in the order of keys."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import query_strategies as make
        from datastore.conformance.strategies import examples

        lists = hypothesis.strategies.lists
        some_documents = lists(make.documents, min_size=FEWEST, max_size=DOCUMENTS)
        some_filters = lists(make.filters, min_size=FEWEST, max_size=FILTERS)

        @examples(self.harness)
        @hypothesis.given(some_documents, some_filters)  # type: ignore[untyped-decorator]  # from `importorskip`
        def check(documents: list[Any], filters: list[dict[str, Any]]) -> None:
            data_store.clear()
            stored = {f"{number:02}": document for number, document in enumerate(documents)}
            data_store.set_many(stored)
            for filter in filters:
                matches = compile_filter(parse(filter))
                expected = {key: document for key, document in stored.items() if matches(document)}
                found = data_store.find(filter)
                assert same(found, expected), filter
                assert list(found) == list(expected), filter
                assert data_store.count(filter) == len(expected), filter

        check()

    def test_a_sorted_find_agrees_with_the_reference(self, data_store: AgentDataStore) -> None:
        """This holds for all types of sort values. Skip and limit are applied after the filter."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import query_strategies as make
        from datastore.conformance.strategies import examples

        st = hypothesis.strategies
        some_documents = st.lists(make.documents, min_size=FEWEST, max_size=DOCUMENTS)
        limits = st.one_of(st.none(), st.integers(1, 4))
        asked = st.tuples(make.filters, make.sorts, st.integers(0, 3), limits)
        some_asked = st.lists(asked, min_size=1, max_size=4)

        @examples(self.harness)
        @hypothesis.given(some_documents, some_asked)  # type: ignore[untyped-decorator]  # from `importorskip`
        def check(documents: list[Any], questions: list[tuple[Any, Any, int, int | None]]) -> None:
            data_store.clear()
            stored = {f"{number:02}": document for number, document in enumerate(documents)}
            data_store.set_many(stored)
            for filter, sort, skip, limit in questions:
                matches, key = compile_filter(parse(filter)), sort_key(parse_sort(sort))
                found = [(key(document), name) for name, document in stored.items() if matches(document)]
                end = None if limit is None else skip + limit
                expected = [name for _, name in sorted(found)][skip:end]
                assert list(data_store.find(filter, sort=sort, skip=skip, limit=limit)) == expected, (filter, sort)

        check()
