"""Queries on SQLite: the same answers as the reference, and found where an index says they are."""

import dataclasses
import math
import os
import sqlite3
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore
from datastore.backend import Fields, IdRange
from datastore.conformance import query_strategies as make
from datastore.conformance.samples import same
from datastore.errors import UnsupportedError
from datastore.ids import encode_key
from datastore.queries.language import parse, parse_query
from datastore.queries.matcher import compile_filter
from datastore_sqlite import indexes

EXAMPLES = settings(
    max_examples=int(os.environ.get("QUERY_EXAMPLES", "25")), deadline=None, suppress_health_check=list(HealthCheck)
)

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.integers(-10, 10),
    st.builds(math.ldexp, st.sampled_from([1.0, -1.0, 1.5]), st.integers(-60, 80)),
    st.decimals(-1000, 1000, places=2, allow_nan=False).map(float),
)
BESIDE = st.sampled_from([0.0, math.inf, -math.inf])


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off") as store:
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


def put(agent, documents):
    agent.clear()
    agent.set_many({f"{number:03}": document for number, document in enumerate(documents)})


def check(agent, documents, filter):
    matches = compile_filter(parse(filter))
    expected = in_order({f"{number:03}": document for number, document in enumerate(documents) if matches(document)})
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
    backend = store._core.backend
    backend.capabilities = dataclasses.replace(backend.capabilities, scan_page=size)


def statements_of(store, call):
    """Return what SQLite is asked by a call."""
    asked = []
    pool = store._core.backend._scanning
    connection = pool.take()
    connection.set_trace_callback(asked.append)
    pool.give_back(connection)
    call()
    connection.set_trace_callback(None)
    return [statement for statement in asked if statement.startswith("SELECT") and "sqlite_master" not in statement]


def steps_of(store, call):
    """Return how SQLite answers what a call asks, in its own words."""
    steps = []
    statements = statements_of(store, call)
    assert statements
    connection = store._core.backend._scanning.take()
    for statement in statements:
        statement = statement.replace("-Inf", "-9e999")  # as the trace, but not the parser, writes it
        steps += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    store._core.backend._scanning.give_back(connection)
    return [step for step in steps if "agent_data_store" in step or "TEMP B-TREE" in step]


INDEXES = {
    "none": [],
    "single": [["a"], ["b"], ["a.b"]],
    "several": [["a", "b"], ["b", "a.b", "a"]],
}


class TestAgainstTheReference:
    @pytest.mark.parametrize("page", [2, 1_000])
    @pytest.mark.parametrize("declared", INDEXES)
    def test_every_answer_is_the_same(self, store, agent, declared, page):
        for fields in INDEXES[declared]:
            store.ensure_index(fields)
        small_pages(store, page)

        @EXAMPLES
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

        @EXAMPLES
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

        @EXAMPLES
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
        @EXAMPLES
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


class TestTraps:
    """What SQLite reads from JSON otherwise than it was written."""

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
            assert any(character in name for character in '"\\\n\0')
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
        check(agent, documents, {"$and": [{"a": {"$ne": number}} for number in range(10, 2_000)]})
        nested = {"a": 3}
        for _ in range(90):
            nested = {"$nor": [nested, {"b": "t7"}]}
        check(agent, documents, nested)
        check(agent, documents, {"a" * 300: None})


class TestWhatIsDecided:
    @pytest.mark.parametrize(
        "filter",
        [
            {"a": "x"},
            {"a.b": 5},
            {"a": 1.5},
            {"a": True},
            {"a": None},
            {"a": {"$gte": 5, "$lt": 10}},
            {"a": {"$in": ["x", "y", 3]}},
            {"a.b": {"$nin": ["x"]}},
            {"a": {"$exists": True}, "b": {"$exists": False}},
            {"$or": [{"a": 1}, {"b": "x", "c.d": {"$lt": 3}}]},
            {"$nor": [{"a": 1}, {"b": "x"}]},
            {"a": {"$type": "string"}},
            {"a": {"$size": 2}},
            {"a": {"$mod": [2, 1]}},
        ],
    )
    def test_by_the_database_alone(self, agent, filter):
        assert decided(agent, filter) == {}

    def test_what_is_left_is_checked_and_narrows_as_well(self, agent):
        put(agent, [{"a": "xyz", "b": 1}, {"a": "abc", "b": 1}, {"a": 5, "b": 1}, {"a": "xyz", "b": 2}])
        shown = agent.explain({"a": {"$regex": "^x"}, "b": 1})
        assert shown["checked_here"] == {"value": {"a": {"$regex": "^x"}}}
        assert shown["documents_read"] == 2

    def test_only_what_matches_is_handed_over(self, agent):
        put(agent, [{"a": 0.1}, {"a": 0.2}, {"a": [0.1]}, {"a": {"b": 1}}, {"a": 2**70}, {"a": "x\0"}])
        for filter in ({"a": 0.1}, {"a": {"$gt": 0.1}}, {"a": {"b": 1}}, {"a": 2**70}, {"a": {"$gte": "x"}}):
            shown = agent.explain(filter)
            assert shown["documents_read"] == shown["documents_returned"] == agent.count(filter) >= 1

    def test_provenance_but_not_what_is_counted_later(self, agent):
        agent.set("k", 1, {"source": "web"})
        for meta in ({"createdByAgent": "a"}, {"metadata.source": "web"}, {"expiresAt": None}, {"key": "k"}):
            assert decided(agent, None, meta) == {}
            assert agent.count(meta=meta) == 1
        assert decided(agent, None, {"accessCount": 0}) != {}
        assert decided(agent, None, {"$or": [{"key": "x"}, {"accessCount": 0}]}) != {}

    def test_counting_reads_no_values(self, store, agent):
        put(agent, [{"a": "x" * 900_000}, {"a": 5}, {"a": "y"}])
        backend = store._core.backend
        plan = backend.plan(IdRange("u:default:", "u:default;"), parse_query({"a": {"$gte": 5}}))
        page = backend.find(IdRange("u:default:", "u:default;"), plan, Fields.KEY, 10)
        assert [document.value for document in page.documents] == [None]

    def test_large_values_make_short_pages(self, store, agent):
        agent.set_many({f"{n:03}": {"a": n % 2, "text": "x" * 900_000} for n in range(40)})
        store.ensure_index(["a"])
        for filter in ({"a": 1}, {"a": {"$gt": 0}}, {"text": {"$exists": True}}):
            keys = agent.find(filter)
            assert len(keys) == (40 if "text" in filter else 20)
            backend, everything = store._core.backend, IdRange("u:default:", "u:default;")
            page = backend.find(everything, backend.plan(everything, parse_query(filter)), Fields.VALUE, 1_000)
            assert len(page.documents) < 12
            assert page.after is not None


class TestIndexes:
    MANY = 3_000

    @pytest.fixture
    def many(self, agent):
        agent.set_many(
            {
                f"{number:05}": {
                    "n": number,
                    "group": f"g{number % 600}",
                    "price": number / 100,
                    "o": {"on": number < 9},
                }
                for number in range(self.MANY)
            }
        )
        return agent

    @pytest.mark.parametrize(
        ("fields", "filter", "results"),
        [
            (["n"], {"n": 5}, 1),
            (["n"], {"n": {"$gte": 100, "$lt": 120}}, 20),
            (["n"], {"n": {"$gt": 2_990}}, 9),
            (["n"], {"n": {"$in": list(range(0, 2_000, 100))}}, 20),
            (["price"], {"price": 9.99}, 1),
            (["price"], {"price": {"$lte": 0.1}}, 11),
            (["group"], {"group": "g7"}, 5),
            (["group"], {"group": {"$in": ["g7", "g8"]}, "n": {"$lt": 1_000}}, 4),
            (["group"], {"group": {"$gte": "g598"}}, 1 + 1 + 10 + 100 - 112 + 20),
            (["o.on"], {"o.on": True}, 9),
            (["group", "n"], {"group": "g7", "n": {"$gt": 1_000}}, 3),
            (["n", "group"], {"n": 607}, 1),
            (["nothing"], {"nothing": {"$exists": True}}, 0),
        ],
    )
    @pytest.mark.parametrize("namespace", [None, "default"], ids=["all", "one namespace"])
    def test_an_index_is_used(self, store, many, fields, filter, results, namespace):
        name = store.ensure_index(fields, namespace)
        expected = {key: value for key, value in many.get_all().items() if compile_filter(parse(filter))(value)}
        shown = many.explain(filter)
        assert shown["index"] == name
        assert shown["checked_here"] == {}
        assert shown["documents_read"] == shown["documents_returned"] == len(expected)
        for step in steps_of(store, lambda: many.find(filter)):
            assert f"USING INDEX {name} (userId=? AND namespace=? AND <expr>" in step, step
        assert list(many.find(filter)) == list(expected)

    def test_without_an_index_the_ids_are_read_in_order(self, store, many):
        for call in (lambda: many.find({"n": 5}), lambda: many.count({"n": {"$gt": 5}})):
            for step in steps_of(store, call):
                assert "SEARCH agent_data_store USING INDEX sqlite_autoindex_agent_data_store_1" in step, step

    def test_what_an_index_cannot_hold_is_found_all_the_same(self, store, many):
        odd = {
            "array": {"n": [5, 6]},
            "big": {"n": 2**70},
            "none": {},
            "inner": {"o": [{"on": True}]},
            "nul": {"n": "\0"},
        }
        many.set_many(odd)
        store.ensure_index(["n"])
        store.ensure_index(["o.on"])
        assert list(many.find({"n": 5})) == ["00005", "array"]
        assert list(many.find({"n": 2**70})) == ["big"]
        assert list(many.find({"n": "\0"})) == ["nul"]
        assert list(many.find({"n": None})) == ["inner", "none"]
        assert list(many.find({"n": None, "o.on": True})) == ["inner"]
        assert many.explain({"n": 5})["documents_read"] == 2

    def test_a_limit_ends_the_reading(self, store, many):
        store.ensure_index(["o.on"])
        shown = many.explain({"o.on": False}, limit=3)
        assert shown["documents_read"] <= 8
        assert shown["sorted_here"] is False
        assert list(many.find({"o.on": False}, limit=3, skip=1)) == ["00010", "00011", "00012"]

    @pytest.mark.parametrize(
        "filter",
        [{"o.on": False}, {"n": {"$gt": 50}}, {"group": {"$gte": "g1"}}, {"group": "g7"}, {"n": {"$exists": True}}],
    )
    def test_pages_behind_pages(self, store, many, filter):
        for fields in (["o.on"], ["n"], ["group", "price"], ["group", "nothing", "n"]):
            store.ensure_index(fields)
        small_pages(store, 7)
        expected = [key for key, value in many.get_all().items() if compile_filter(parse(filter))(value)]
        assert many.explain(filter)["index"] is not None
        assert list(many.find(filter)) == expected
        assert many.count(filter) == len(expected)

    def test_other_namespaces_and_users(self, store, many):
        name = store.ensure_index(["n"], "it's \0 other")
        other = many.use_namespace("it's \0 other")
        other.set("k", {"n": 5})
        store.agent("v", "a", "it's \0 other").set("k", {"n": 5})
        assert other.explain({"n": 5})["index"] == name
        assert other.find({"n": 5}) == {"k": {"n": 5}}
        assert many.explain({"n": 5})["index"] is None
        assert list(many.find({"n": 5})) == ["00005"]

    def test_it_is_declared_once(self, store, tmp_path):
        name = store.ensure_index(["a", "b.c"])
        assert store.ensure_index(["a", "b.c"]) == name
        assert name.startswith("agent_data_store_by_a_b_c_")
        assert len({name, store.ensure_index(["a", "b.c"], "x"), store.ensure_index(["b.c", "a"])}) == 3
        with datastore.connect(f"sqlite:///{tmp_path}/a.db") as again:
            assert again.ensure_index(["a", "b.c"]) == name
            assert again.agent("u", "a").explain({"a": 1})["index"] == name

    def test_by_many_at_once(self, tmp_path):
        stores = [datastore.connect(f"sqlite:///{tmp_path}/many.db") for _ in range(6)]
        stores[0].agent("u", "a").set_many({f"{n}": {"a": n} for n in range(2_000)})
        names, errors = [], []

        def declare(store):
            try:
                names.append(store.ensure_index(["a"]))
            except datastore.DataStoreError as error:
                errors.append(error)

        threads = [threading.Thread(target=declare, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(names) == 6
        assert len(set(names)) == 1
        for store in stores:
            store.close()

    def test_another_process_makes_and_removes_it(self, store, many, tmp_path):
        with datastore.connect(f"sqlite:///{tmp_path}/a.db") as other:
            name = other.ensure_index(["n"])
        assert many.explain({"n": 5})["index"] == name
        shell = sqlite3.connect(tmp_path / "a.db")
        small_pages(store, 10)
        backend, range = store._core.backend, IdRange("u:default:", "u:default;")
        for filter, count in (({"n": {"$gte": 2_950}}, 50), ({"n": {"$in": [3, 4]}}, 2)):
            name = store.ensure_index(["n"])
            plan = backend.plan(range, parse_query(filter))
            page = backend.find(range, plan, Fields.KEY, 1)
            shell.execute(f'DROP INDEX "{name}"')
            shell.commit()
            ids = [document.id for document in page.documents]
            while page.after is not None:
                page = backend.find(range, plan, Fields.KEY, 7, page.after)
                ids += [document.id for document in page.documents]
            assert len(ids) == len(set(ids)) == count
        assert many.explain({"n": 5})["index"] is None
        shell.close()

    def test_an_index_of_somebody_else_is_left_alone(self, store, many, tmp_path):
        shell = sqlite3.connect(tmp_path / "a.db")
        shell.execute("CREATE INDEX theirs ON agent_data_store (/* [not ours */ json_extract(value, '$.n'))")
        shell.execute('CREATE INDEX other ON agent_data_store (/* [[["n"]], null] */ key)')
        shell.commit()
        shell.close()
        assert many.explain({"n": 5})["index"] is None
        assert list(many.find({"n": 5})) == ["00005"]

    def test_a_file_with_an_index_stays_sound(self, store, many, tmp_path):
        store.ensure_index(["n"])
        store.ensure_index(["o.on", "price"], "default")
        many.update_where({"n": {"$lt": 100}}, {"$inc": {"n": 10_000}})
        many.delete_where({"n": {"$gt": 2_900}})
        many.set_many({"x": {"n": [1]}, "y": 5, "z": {"n": 0.1}})
        shell = sqlite3.connect(tmp_path / "a.db")
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        shell.close()

    def test_the_keys_of_an_index_are_those_that_are_looked_for(self):
        connection = sqlite3.connect(":memory:")

        @settings(EXAMPLES, max_examples=1_000)
        @given(st.floats(allow_nan=False, allow_infinity=False))
        def rounded(number):
            (key,) = connection.execute(
                f"SELECT {indexes.key_expression(('a',))} FROM (SELECT ? AS value)", (f'{{"a":{number!r}}}',)
            ).fetchone()
            assert key in (indexes.ANYTHING, indexes._rounded(number))

        rounded()
        connection.close()

    def test_what_the_path_of_an_index_may_be(self, store):
        for path in ('a"b', "a\\b", "a\nb", "x" * 300, ".".join("a" * 20)):
            with pytest.raises(UnsupportedError, match="an index on"):
                store.ensure_index([path])
