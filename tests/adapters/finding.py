"""What a filter finds on a database that decides filters itself: what the reference finds, and each trap by name.

An adapter's ``test_finding.py`` has the classes, with the fixtures `store` and `agent`.
"""

from __future__ import annotations

import dataclasses
import math
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.conformance import query_strategies as make
from datastore.conformance.samples import same
from datastore.errors import UnsupportedError
from datastore.ids import encode_key
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter


def examples(number):
    """Return the settings for so many examples, if the environment does not say how many."""
    number = int(os.environ.get("QUERY_EXAMPLES", number))
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))


def put(agent, documents):
    agent.clear()
    agent.set_many({f"{number:03}": document for number, document in enumerate(documents)})


def check(agent, documents, filter):
    matches = compile_filter(parse(filter))
    expected = in_order({f"{number:03}": document for number, document in enumerate(documents) if matches(document)})
    for _ in range(2):  # the second time, the plan is made of the known one
        found = agent.find(filter)
        assert same(found, expected), filter
        assert list(found) == list(expected), filter
        assert agent.count(filter) == len(expected), filter


def in_order(records):
    """Return records in the order of their ids."""
    return {key: records[key] for key in sorted(records, key=encode_key)}


def decided(agent, filter, meta=None):
    """Return what a query has left to check for the portable layer."""
    return agent.explain(filter, meta=meta)["checked_here"]


def small_pages(store, size):
    backend = store.backend
    backend.capabilities = dataclasses.replace(backend.capabilities, scan_page=size)


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.integers(-10, 10),
    st.builds(math.ldexp, st.sampled_from([1.0, -1.0, 1.5]), st.integers(-60, 80)),
    st.decimals(-1000, 1000, places=2, allow_nan=False).map(float),
)


BESIDE = st.sampled_from([0.0, math.inf, -math.inf])


INDEXES = {
    "none": [],
    "single": [["a"], ["b"], ["a.b"]],
    "several": [["a", "b"], ["b", "a.b", "a"]],
}


class AgainstTheReference:
    """Generated documents and filters: the answer is the reference's.

    Attributes:
        examples: How many are generated for each test.
    """

    examples = 25

    @pytest.mark.parametrize("page", [2, 1_000])
    @pytest.mark.parametrize("declared", INDEXES)
    def test_every_answer_is_the_same(self, store, agent, declared, page):
        for fields in INDEXES[declared]:
            store.ensure_index(fields)
        small_pages(store, page)

        @examples(self.examples)
        @given(st.lists(make.documents, min_size=4, max_size=12), st.lists(make.filters, min_size=4, max_size=12))
        def agrees(documents, filters):
            put(agent, documents)
            for filter in filters:
                check(agent, documents, filter)

        agrees()

    @pytest.mark.parametrize("declared", [False, True], ids=["unindexed", "indexed"])
    def test_numbers_are_compared_exactly(self, store, agent, declared):
        if declared:
            store.ensure_index(["a"])

        @examples(self.examples)
        @given(st.lists(NUMBERS, min_size=1, max_size=8), st.lists(st.tuples(NUMBERS, BESIDE), min_size=1, max_size=3))
        def agrees(stored, others):
            documents = [{"a": number} for number in stored]
            put(agent, documents)
            beside = [(number, side) for number in stored for side in (0.0, math.inf, -math.inf)]
            for number, side in [*beside, *others]:
                if side and abs(number) < 1e308:
                    number = math.nextafter(number, side)
                for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
                    check(agent, documents, {"a": {name: number}})
                check(agent, documents, {"a": {"$in": [number, *stored[:2]]}})
                check(agent, documents, {"a": {"$gte": stored[0], "$lt": number}})

        agrees()

    @pytest.mark.parametrize("declared", [False, True], ids=["unindexed", "indexed"])
    def test_text_is_compared_by_code_point(self, store, agent, declared):
        if declared:
            store.ensure_index(["a"])
        texts = st.one_of(st.text("ab\0\uffee🔑\x01\\u", max_size=3), st.text(max_size=4), st.just("x" * 300))

        @examples(self.examples)
        @given(st.lists(texts, min_size=1, max_size=8), st.lists(texts, min_size=1, max_size=3))
        def agrees(stored, others):
            documents = [{"a": text} for text in stored]
            put(agent, documents)
            for text in stored + others:
                for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
                    check(agent, documents, {"a": {name: text}})
                check(agent, documents, {"a": {"$in": [text, stored[0]]}})

        agrees()

    def test_metadata_and_provenance(self, store, agent):
        @examples(self.examples)
        @given(
            st.lists(st.dictionaries(st.sampled_from(["a", "b"]), make.values, max_size=2), min_size=2, max_size=6),
            st.lists(make.filters, min_size=2, max_size=6),
        )
        def agrees(metadata, filters):
            agent.clear()
            for number, one in enumerate(metadata):
                agent.set(f"{number:03}", {"a": number % 2}, one)
            records = {record.key: record.metadata for record in agent.iter_records()}
            stored = [records[key] for key in sorted(records)]
            for filter in filters:
                under = under_metadata(filter)
                if under is None:
                    continue
                for meta in (under, {"$or": [under, {"key": "000"}]}, {"$nor": [under, {"key": "000"}]}):
                    matches = compile_filter(parse(meta))
                    expected = [
                        f"{number:03}"
                        for number, one in enumerate(stored)
                        if matches({"metadata": one, "key": f"{number:03}"})
                    ]
                    assert list(agent.find(meta=meta)) == sorted(expected, key=encode_key), meta
                    assert agent.count(meta=meta) == len(expected), meta
                    both = [key for key in expected if int(key) % 2]
                    assert agent.count({"a": 1}, meta=meta) == len(both), meta

        agrees()


def under_metadata(filter):
    if any(name.startswith("$") for name in filter):
        return None
    return {f"metadata.{path}": operand for path, operand in filter.items()}


class Traps:
    """What a database may read from JSON otherwise than it was written.

    Attributes:
        not_indexed: The characters that the path of an index cannot have.
    """

    not_indexed = "\0"

    @pytest.fixture(params=[False, True], ids=["unindexed", "indexed"])
    def indexed(self, request, store):
        if request.param:
            store.ensure_index(["a"])
            store.ensure_index(["a.b", "c"])

    def check(self, agent, values, operands):
        documents = [{"a": value} for value in values]
        put(agent, documents)
        for operand in operands:
            for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
                check(agent, documents, {"a": {name: operand}})
            check(agent, documents, {"a": {"$in": [operand, "none"]}})
            check(agent, documents, {"a": {"$nin": [operand]}})

    def test_integers_beyond_64_bits(self, agent, indexed):
        numbers = [2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 2**70, 2**70 + 1, -(2**63), -(2**63) - 1, 10**400]
        self.check(agent, [*numbers, float(2**63), float(2**70), 1e308], [*numbers, float(2**63), 1e308])

    def test_other_fields_of_such_a_document(self, agent, indexed):
        documents = [{"a": "x", "big": 2**80}, {"a": 1.5, "big": 2**80}, {"a": 1e16, "big": 2**80}]
        put(agent, documents)
        assert agent.count({"a": "x"}) == agent.count({"a": 1.5}) == agent.count({"a": 10**16}) == 1

    def test_integers_that_are_no_doubles(self, agent, indexed):
        numbers = [2**53, 2**53 + 1, float(2**53), float(2**53 + 2), 2**62 + 1, float(2**62)]
        self.check(agent, numbers, numbers)

    def test_real_numbers_of_many_digits(self, agent, indexed):
        numbers = [0.1, 0.30000000000000004, 0.3, 1e308, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, -0.0]
        self.check(agent, [*numbers, 0, 1e-7, 123456789.12345679], [*numbers, 0, 123456789.12345678])

    def test_booleans_are_no_numbers(self, agent, indexed):
        self.check(agent, [True, False, 1, 0, 1.0, "true", None], [True, False, 1, 0, "true"])

    def test_nul_characters(self, agent, indexed):
        texts = ["a", "a\0", "a\0b", "a\0c", "\0", "", "a\\u0000b", "b"]
        self.check(agent, texts, texts)

    def test_missing_and_null(self, agent, indexed):
        documents = [{}, {"a": None}, {"a": 0}, {"a": []}, {"a": [None]}, 5, None, [], ["a"], "a", {"a": {"b": None}}]
        put(agent, documents)
        for path in ("a", "a.b", "0"):
            for condition in (
                None,
                {"$exists": True},
                {"$exists": False},
                {"$gte": None},
                {"$gt": None},
                {"$ne": None},
            ):
                check(agent, documents, {path: condition})
            check(agent, documents, {path: {"$in": [None, 0]}})

    def test_arrays_on_the_way_and_at_the_end(self, agent, indexed):
        values = [
            {"b": 1},
            [{"b": 1}, {"b": 2}],
            [[{"b": 1}]],
            {"b": [1, 2]},
            [{"b": [3, [1]]}],
            [],
            [1],
            {"0": {"b": 1}},
        ]
        documents = [{"a": value} for value in values]
        put(agent, documents)
        for operand in (1, 2, [1], [1, 2], None, {"$gt": 1}, {"$size": 2}, {"$type": "array"}, {"$not": {"$eq": 1}}):
            for path in ("a.b", "a", "a.0.b", "a.b.1"):
                check(agent, documents, {path: operand})

    @pytest.mark.parametrize("name", ['q"', "back\\slash", "it's", "a b", "[0]", "#", "$.a", "*", "é", "\n", "\0", "-"])
    def test_names_of_fields(self, store, agent, name):
        documents = [{"o": {name: 1}}, {"o": {name: 2}}, {"o": {}}, {"o": {name.replace(".", ""): 1}}]
        put(agent, documents)
        path = f"o.{name}"
        check(agent, documents, {path: 1})
        try:
            store.ensure_index([path])
        except UnsupportedError:
            assert any(character in name for character in self.not_indexed)
        check(agent, documents, {path: 1})

    def test_deep_values(self, agent, indexed):
        deep = {"b": 1}
        for _ in range(190):
            deep = {"b": deep, "l": [1]}
        documents = [{"a": deep}, {"a": {"b": 1}}]
        put(agent, documents)
        for depth in (1, 5, 15, 16, 40, 191):
            check(agent, documents, {".".join(["a", *["b"] * depth]): 1})

    def test_filters_that_are_too_much_for_a_statement(self, agent):
        documents = [{"a": number, "b": f"t{number}"} for number in range(50)]
        put(agent, documents)
        check(agent, documents, {"a": {"$in": list(range(40_000))}})
        check(agent, documents, {"b": {"$nin": [f"t{number}" for number in range(20, 40_000)]}})
        check(agent, documents, {"$or": [{"a": number} for number in range(10, 2_000)]})
        check(agent, documents, {"$and": [{"a": {"$ne": number}} for number in range(10, 1_000)]})
        for operator in ("$nor", "$or", "$and"):  # of more fields than a statement asks for
            check(agent, documents, {operator: [{f"f{number}": {"$ne": number}} for number in range(1_000)]})
        nested = {"a": 3}
        for _ in range(45):
            nested = {"$nor": [nested, {"b": "t7"}]}
        check(agent, documents, nested)
        check(agent, documents, {"a" * 300: None})


class Sorting:
    """What comes first in an order, on a database that tells it: the same as without a limit, where the store sorts.

    Attributes:
        examples: How many are generated.
    """

    examples = 25

    @pytest.mark.parametrize("declared", [False, True], ids=["unindexed", "indexed"])
    def test_what_comes_first_in_every_order(self, store, agent, declared):
        if declared:
            store.ensure_index(["a", "b"])
        of_records = st.sampled_from(["$metadata.a", "$createdAt", "$updatedByAgent", "$expiresAt", "$key"])
        pairs = st.tuples(of_records, st.sampled_from([1, -1]))
        sorts = st.one_of(make.sorts, st.tuples(make.sorts, pairs).map(lambda both: [*both[0], both[1]]))
        plain = st.one_of(NUMBERS, st.text("ab\0\uffee🔑\x01", max_size=2), st.booleans(), st.none())
        documents = st.one_of(make.documents, st.fixed_dictionaries({"a": plain}, optional={"b": plain}))

        @examples(self.examples)
        @given(st.lists(documents, min_size=6, max_size=14), st.lists(sorts, min_size=4, max_size=8), make.filters)
        def agrees(documents, sorts, filter):
            put(agent, documents[2:])
            agent.set_many(
                {f"m{number}": document for number, document in enumerate(documents[:2])}, {"a": documents[2]}
            )
            for sort in sorts:
                for asked in ({"a": {"$gte": 0}}, filter):
                    expected = list(agent.find(asked, sort=sort))
                    for skip, limit in ((0, 1), (1, 3)):
                        found = list(agent.find(asked, sort=sort, skip=skip, limit=limit))
                        assert found == expected[skip : skip + limit], (sort, asked)

        agrees()

    def test_each_kind_of_value_is_in_its_place(self, agent):
        """Wherever the limit cuts them off: none, null, numbers, text, objects, arrays, booleans."""
        numbers = [3, -1, 0, -0.0, 1, 1.0, 1.5, 2**53, float(2**53), 2**53 + 1, 2**63, -(2**70), 1e-7, 1e308]
        texts = ["b", "", "a", "A", "ab", "a\0b", "a\0", "ä", "é", "z", "\uffee", "🔑", "\x01", "10", "9", "null"]
        others = [True, False, None, True, {}, {"b": 1}, [], [2], ["a", -5], [None], [False, 0]]
        tops = [{}, [], [{"a": 0.5}, {"a": "q"}], 5, "x", None, {"a": {"b": 2}}, {"a": [{"b": 3}]}, {"b": [1]}]
        put(agent, [*({"a": value} for value in reversed([*numbers, *texts, *others])), *tops])
        for sort in ("a", "-a", "a.b", "-a.b", [("b", -1), ("a", 1)], [("a", -1), ("$key", -1)], "$metadata.a"):
            expected = list(agent.find({}, sort=sort))
            for limit in range(1, len(expected) + 1):
                assert list(agent.find({}, sort=sort, limit=limit)) == expected[:limit], (sort, limit)
            assert not agent.explain({}, sort=sort, limit=1)["sorted_here"]

    def test_of_many_records_no_more_are_handed_over_than_come_first(self, agent):
        agent.set_many({f"k{number:03}": {"n": number * 7 % 300, "t": "ab"[number % 2]} for number in range(300)})
        agent.set_many({"array": {"n": [5]}, "big": {"n": 2**70}, "none": {}})
        agent.set_many({f"gone{number}": {"n": -1} for number in range(20)}, ttl=1e-6)
        for sort, first in (("n", "none"), ("-n", "big"), ([("t", -1), ("$createdAt", 1), ("n", -1)], "k257")):
            shown = agent.explain({}, sort=sort, limit=5)
            assert not shown["sorted_here"]
            assert shown["documents_read"] == 7, "five, and the two that only the store can place"
            assert next(iter(agent.find({}, sort=sort, limit=5))) == first
        shown = agent.explain({"n": {"$lt": 290, "$gt": 100}}, sort="n", limit=5, skip=2)
        assert (shown["documents_read"], shown["documents_returned"]) == (7, 5)

    def test_where_the_database_does_not_tell_the_store_sorts(self, agent):
        agent.set_many({f"k{number}": {"n": [number], "t": f"t{number % 3}"} for number in range(9)})
        for filter, sort in (({"t": {"$regex": "1"}}, "n"), ({}, "$accessCount"), ({}, "$metadata"), ({}, "a" * 300)):
            assert agent.explain(filter, sort=sort, limit=2)["sorted_here"], (filter, sort)
        assert agent.explain({}, sort="t", limit=20_000)["sorted_here"]
