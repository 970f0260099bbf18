"""Declared indexes on SQLite: a query uses them where `explain` says so, and loses nothing."""

import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore.backend import Fields, IdRange
from datastore.errors import UnsupportedError
from datastore.ids import encode_key
from datastore.queries.language import parse, parse_query
from datastore.queries.matcher import compile_filter
from datastore_sqlite import indexes
from tests.adapters.finding import examples, in_order, small_pages
from tests.sqlite.queries import steps_of

MANY = 3_000


@pytest.fixture
def many(agent):
    agent.set_many(
        {
            f"{number:05}": {
                "n": number,
                "group": f"g{number % 600}",
                "price": number / 100,
                "o": {"on": number < 9},
            }
            for number in range(MANY)
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
def test_an_index_is_used(store, many, fields, filter, results, namespace):
    name = store.ensure_index(fields, namespace)
    matches = compile_filter(parse(filter))
    expected = in_order({key: value for key, value in many.get_all().items() if matches(value)})
    shown = many.explain(filter)
    assert shown["index"] == name
    assert shown["checked_here"] == {}
    assert shown["documents_read"] == shown["documents_returned"] == len(expected)
    for step in steps_of(store, lambda: many.find(filter)):
        assert f"USING INDEX {name} (userId=? AND namespace=? AND <expr>" in step, step
    assert list(many.find(filter)) == list(expected)


def test_of_several_indexes_the_one_with_equality_in_front_is_used(store, many):
    """Whatever their names are: after "price" or "a_price" was declared a filter took a hundred times as long."""
    name = store.ensure_index(["group"])
    for other in (["price"], ["n"], ["price", "group"]):
        store.ensure_index(other)
    shown = many.explain({"group": "g7", "price": {"$gte": 0}, "n": {"$gte": 0}})
    assert (shown["index"], shown["documents_read"]) == (name, 5)
    both = store.ensure_index(["group", "price"])
    assert many.explain({"group": "g7", "price": {"$gte": 0}, "n": {"$gte": 0}})["index"] == both


def test_without_an_index_the_ids_are_read_in_order(store, many):
    for call in (lambda: many.find({"n": 5}), lambda: many.count({"n": {"$gt": 5}})):
        for step in steps_of(store, call):
            assert "SEARCH agent_data_store USING INDEX sqlite_autoindex_agent_data_store_1" in step, step


def test_what_an_index_cannot_hold_is_found_all_the_same(store, many):
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


def test_a_limit_ends_the_reading(store, many):
    store.ensure_index(["o.on"])
    shown = many.explain({"o.on": False}, limit=3)
    assert shown["documents_read"] <= 8
    assert shown["sorted_here"] is False
    found = in_order({f"{number:05}": None for number in range(9, MANY)})
    assert list(many.find({"o.on": False}, limit=3, skip=1)) == list(found)[1:4]


@pytest.mark.parametrize(("groups", "merged"), [(1, True), (11, True), (12, False), (40, False)])
def test_the_rows_of_few_keys_are_merged_in_the_order_of_their_ids(store, many, groups, merged):
    """Twelve keys at most, the one for what no index can hold included: each is read up to a page for every page."""
    store.ensure_index(["group"])
    names = [f"g{number}" for number in range(groups)]
    place = IdRange("u:default:", "u:default;")
    plan = store.backend.plan(place, parse_query({"group": {"$in": names}}))
    page = store.backend.find(place, plan, Fields.VALUE, 5)
    found = [document.id for document in page.documents]
    expected = [f"u:default:{encode_key(key)}" for key, value in many.get_all().items() if value["group"] in names]
    assert plan.in_order is merged
    assert (found == sorted(expected)[:5]) is merged
    while page.after is not None:
        page = store.backend.find(place, plan, Fields.VALUE, 5, page.after)
        found += [document.id for document in page.documents]
    assert sorted(found) == sorted(expected)
    assert (found == sorted(found)) is merged


@pytest.mark.parametrize(
    "filter",
    [{"o.on": False}, {"n": {"$gt": 50}}, {"group": {"$gte": "g1"}}, {"group": "g7"}, {"n": {"$exists": True}}],
)
def test_pages_behind_pages(store, many, filter):
    for fields in (["o.on"], ["n"], ["group", "price"], ["group", "nothing", "n"]):
        store.ensure_index(fields)
    small_pages(store, 7)
    matches = compile_filter(parse(filter))
    expected = list(in_order({key: value for key, value in many.get_all().items() if matches(value)}))
    assert many.explain(filter)["index"] is not None
    assert list(many.find(filter)) == expected
    assert many.count(filter) == len(expected)


def test_other_namespaces_and_users(store, many):
    name = store.ensure_index(["n"], "it's \0 other")
    other = many.use_namespace("it's \0 other")
    other.set("k", {"n": 5})
    store.agent("v", "a", "it's \0 other").set("k", {"n": 5})
    assert other.explain({"n": 5})["index"] == name
    assert other.find({"n": 5}) == {"k": {"n": 5}}
    assert many.explain({"n": 5})["index"] is None
    assert list(many.find({"n": 5})) == ["00005"]


def test_numbers_and_texts_can_be_looked_for_together(store, agent):
    agent.set_many({"a": {"n": 1}, "b": {"n": "1"}, "c": {"n": 2}, "d": {"n": 1.5}, "e": {"n": None}})
    index = store.ensure_index(["n"])
    for among, found in ([[1, "1"], "ab"], [[2, 1.5], "cd"], [[2, None], "ce"], [["1", None, 1.5], "bde"]):
        assert agent.explain({"n": {"$in": among}})["index"] == index
        assert "".join(agent.find({"n": {"$in": among}})) == found


@pytest.mark.parametrize(
    ("fields", "namespace", "name"),
    [
        (["n"], None, "agent_data_store_by_n_1323357d5702"),
        (["title", "price.eur"], "books:1", "agent_data_store_by_title_price_eur_d11a8929b7e8"),
    ],
)
def test_an_index_of_an_earlier_version_is_still_used(store, fields, namespace, name):
    """Its name says what its keys are. If they change, no file's indexes are used until they are declared again."""
    assert store.ensure_index(fields, namespace) == name


def test_it_is_declared_once(store, tmp_path):
    name = store.ensure_index(["a", "b.c"])
    assert store.ensure_index(["a", "b.c"]) == name
    assert name.startswith("agent_data_store_by_a_b_c_")
    assert len({name, store.ensure_index(["a", "b.c"], "x"), store.ensure_index(["b.c", "a"])}) == 3
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as again:
        assert again.ensure_index(["a", "b.c"]) == name
        assert again.agent("u", "a").explain({"a": 1})["index"] == name


def test_by_many_at_once(tmp_path):
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


def test_another_process_makes_and_removes_it(store, many, tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as other:
        name = other.ensure_index(["n"])
    assert many.explain({"n": 5})["index"] == name
    shell = sqlite3.connect(tmp_path / "a.db")
    small_pages(store, 10)
    backend, range = store.backend, IdRange("u:default:", "u:default;")
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


def test_an_index_of_somebody_else_is_left_alone(store, many, tmp_path):
    shell = sqlite3.connect(tmp_path / "a.db")
    shell.execute("CREATE INDEX theirs ON agent_data_store (/* [not ours */ json_extract(value, '$.n'))")
    shell.execute('CREATE INDEX other ON agent_data_store (/* [[["n"]], null] */ key)')
    shell.commit()
    shell.close()
    assert many.explain({"n": 5})["index"] is None
    assert list(many.find({"n": 5})) == ["00005"]


def test_a_file_with_an_index_stays_sound(store, many, tmp_path):
    store.ensure_index(["n"])
    store.ensure_index(["o.on", "price"], "default")
    many.update_where({"n": {"$lt": 100}}, {"$inc": {"n": 10_000}})
    many.delete_where({"n": {"$gt": 2_900}})
    many.set_many({"x": {"n": [1]}, "y": 5, "z": {"n": 0.1}})
    shell = sqlite3.connect(tmp_path / "a.db")
    assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    shell.close()


def test_what_an_update_moves_within_an_index_is_changed_once_and_hides_nothing_that_comes_later(store, many):
    """What the first page has changed stands on the next one again, before what has not been seen."""
    index = store.ensure_index(["n"])
    assert many.explain({"n": {"$gte": 0}})["index"] == index
    assert many.update_where({"n": {"$gte": 0}}, {"$inc": {"n": 1_500}}) == MANY
    assert [value["n"] for value in many.get_all().values()] == [number + 1_500 for number in range(MANY)]


def test_the_keys_of_an_index_are_those_that_are_looked_for():
    connection = sqlite3.connect(":memory:")

    @examples(1_000)
    @given(st.floats(allow_nan=False, allow_infinity=False))
    def rounded(number):
        (key,) = connection.execute(
            f"SELECT {indexes.key_expression(('a',))} FROM (SELECT ? AS value)", (f'{{"a":{number!r}}}',)
        ).fetchone()
        assert key in (indexes.ANYTHING, indexes._rounded(number))

    rounded()
    connection.close()


def test_what_the_path_of_an_index_may_be(store):
    for path in ('a"b', "a\\b", "a\nb", "x" * 300, ".".join("a" * 20)):
        with pytest.raises(UnsupportedError, match="an index on"):
            store.ensure_index([path])
