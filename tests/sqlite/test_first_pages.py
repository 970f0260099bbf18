"""Records with certain keys, read in the short way: what it finds is what the long way and plain Python find."""

from __future__ import annotations

import logging
import sqlite3

import pytest

import datastore
from datastore.conformance.samples import same
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from datastore_sqlite import codec, finding, selecting
from tests.adapters.finding import in_order, small_pages
from tests.sqlite.files import connect
from tests.sqlite.queries import statements_of

ODD = [
    None, True, False, 0, 1, -1, 1.0, 1.5, -0.0, 2**20, 2**20 + 0.5, 2**44 + 1, float(2**44 + 1), 2**45, 2**53 + 1,
    2**63, 2**70, 1e300, 0.1, 0.1 + 2**-50, 1 - 1e-13, "", "1", "a", "A", "a\0b", "a" * 199, "a" * 200, "a" * 201, "é",
    [], [1], [[1]], ["a", 1], [None], {}, {"b": 1}, [{"b": 1}], {"b": [1, "a"]},
]  # fmt: skip
"""Values that SQL and Python compare in different ways, or that indexes hold coarsely, and plain ones."""
DOCUMENTS = {
    **{f"n{number:02}": {"n": value, "kind": "odd"} for number, value in enumerate(ODD)},
    **{f"k{number:02}": {"n": 1, "kind": value} for number, value in enumerate(ODD)},
    "none": {"kind": "odd"},
    "scalar": 1,
    "array": [{"n": 1, "kind": "a"}],
}
ASKED = [None, True, False, 0, 1, -1, 1.0, 1.5, 0.1, 2**20, 2**20 + 0.5, 2**44 + 1, float(2**44 + 1), "", "1", "a",
         "odd", "a" * 199, "a" * 200, "a" * 201]  # fmt: skip


@pytest.fixture(scope="module", params=["file", "memory"])
def agent(request, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('odd')}/a.db" if request.param == "file" else "sqlite://:memory:"
    with datastore.connect(url, tracking="off") as store:
        store.ensure_index(["n"])
        store.ensure_index(["kind", "n"])
        store.ensure_index(["n.b"])
        agent = store.agent("u", "a")
        agent.set_many(DOCUMENTS)
        yield agent


def of_one_kind(make):
    """Return filters, those with constants of one kind after another: all but the first meet a known plan."""
    return [make(value) for value in sorted(ASKED, key=lambda value: type(value).__name__)]


@pytest.mark.parametrize(
    "filters",
    [
        of_one_kind(lambda value: {"n": value}),
        of_one_kind(lambda value: {"n.b": value}),
        of_one_kind(lambda value: {"n": {"$in": [value, 1, "a"]}}),
        of_one_kind(lambda value: {"n": {"$in": [value, value, None]}}),
        of_one_kind(lambda value: {"kind": value, "n": 1}),
        of_one_kind(lambda value: {"kind": "odd", "n": value}),
        of_one_kind(lambda value: {"kind": {"$in": ["odd", value]}, "n": {"$in": [1, value]}}),
        of_one_kind(lambda value: {"n": {"$eq": value, "$gte": 0}}),
        of_one_kind(lambda value: {"n": {"$gte": value}}),
        of_one_kind(lambda value: {"n": {"$gt": value, "$lt": 2}}),
        of_one_kind(lambda value: {"n": {"$gte": value, "$lte": value}}),
        of_one_kind(lambda value: {"n": {"$gte": 0, "$lte": value, "$lt": 2**44}}),
        of_one_kind(lambda value: {"kind": "odd", "n": {"$lte": value}}),
        of_one_kind(lambda value: {"kind": {"$in": ["odd", value, None]}, "n": {"$lt": value}}),
        of_one_kind(lambda value: {"kind": {"$in": ["odd", value, 1, 2, 3, "b", "c"]}, "n": {"$gte": 1}}),
        of_one_kind(lambda value: {"kind": {"$gte": value}}),
        [{"n": {"$in": list(range(start, start + 12))}} for start in (-5, 0, 2)],
        [{"n": {"$in": [start + 0.1 * step for step in range(11)]}} for start in (0, 1, 2**20)],
    ],
    ids=[
        "equal",
        "nested",
        "one of three",
        "some twice",
        "the first",
        "the second",
        "both",
        "with a range",
        "from",
        "above and below 2",
        "from and to",
        "three bounds",
        "a range after a key",
        "a range after one of three",
        "a range after one of many",
        "a range of the first",
        "12",
        "11",
    ],
)
def test_it_finds_what_matches(filters, agent):
    for filter in filters:
        matches = compile_filter(parse(filter))
        expected = in_order({key: value for key, value in DOCUMENTS.items() if matches(value)})
        for _ in range(2):
            found = agent.find(filter)
            assert same(found, expected), filter
            assert list(found) == list(expected), filter
        assert agent.count(filter) == len(expected), filter


@pytest.mark.parametrize(
    "filters",
    [
        [{"n": value} for value in (1, 0, -1, 2)],
        [{"n": value} for value in ("a", "b", "a" * 200)],
        [{"n": value} for value in (None, None)],
        [{"kind": "odd", "n": {"$in": [value, "a", None]}} for value in (1, 2, 1)],
        [{"n": {"$gte": value, "$lt": 2}} for value in (0, 1, 0)],
        [{"kind": "odd", "n": {"$lt": value}} for value in ("a", "b", "")],
    ],
    ids=["numbers", "texts", "nothing", "one of three", "a range", "a range after a key"],
)
def test_every_call_finds_it(filters, agent):
    for filter in filters:
        matches = compile_filter(parse(filter))
        expected = list(in_order({key: value for key, value in DOCUMENTS.items() if matches(value)}))
        assert list(agent.find(filter)) == expected
        assert list(agent.find(filter, sort="-$key")) == expected[::-1]
        assert list(agent.find(filter, limit=2, skip=1)) == expected[1:3]
        assert list(agent.find(filter, skip=1)) == expected[1:]
        assert list(agent.find(filter, prefix="n")) == [key for key in expected if key.startswith("n")]
        assert list(agent.find(filter, sort="kind", limit=100)) == list(agent.find(filter, sort="kind"))
        assert [record.key for record in agent.find_records(filter).records] == expected
        assert agent.count(filter, meta={"createdByAgent": "a"}) == len(expected)
        assert agent.find(filter, meta={"createdByAgent": "b"}) == {}
        assert agent.explain(filter)["documents_returned"] == len(expected)


@pytest.fixture
def some(path):
    """A store with an index and twelve records, ten of them of one kind, whose plan is known."""
    with connect(path, tracking="off") as store:
        store.ensure_index(["kind"])
        store.ensure_index(["n"])
        agent = store.agent("u", "a")
        agent.set_many(
            {f"k{number:02}": {"kind": "one" if number < 10 else "other", "n": number} for number in range(12)}
        )
        assert len(agent.find({"kind": "other"})) == agent.count({"kind": "other"}) == 2
        yield store


ONE = [f"k{number:02}" for number in range(10)]


def edit(path, change, *parameters):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints=1")
    assert connection.execute(change, parameters).rowcount == 1
    connection.close()


def test_several_pages_are_read_one_after_another(some):
    small_pages(some, 3)
    agent = some.agent("u", "a")
    assert list(agent.find({"kind": "one"})) == ONE
    assert agent.count({"kind": "one"}) == 10
    assert list(agent.find({"kind": "one"}, sort="-$key")) == ONE[::-1]
    assert list(agent.find({"kind": "one"}, skip=2, limit=5)) == ONE[2:7]


@pytest.mark.parametrize("size", [1, 3, 5, 9, 10, 11])
def test_a_range_goes_on_after_its_first_page(size, some, path):
    edit(path, """UPDATE agent_data_store SET value = '{"kind":"one","n":[4,50]}' WHERE key = 'k04'""")
    small_pages(some, size)
    agent = some.agent("u", "a")
    assert agent.explain({"n": {"$gte": 0, "$lt": 10}})["index"] is not None
    for _ in range(2):
        assert list(agent.find({"n": {"$gte": 0, "$lt": 10}})) == ONE
        assert agent.count({"n": {"$gte": 0, "$lt": 10}}) == 10
    assert list(agent.find({"n": {"$gte": 0, "$lt": 10}}, skip=2, limit=5)) == ONE[2:7]


@pytest.mark.parametrize("known", [False, True], ids=["a new plan", "a known plan"])
@pytest.mark.parametrize("size", [4, 10])
@pytest.mark.parametrize(
    "change",
    ["DELETE FROM agent_data_store", """UPDATE agent_data_store SET value = '{"kind":"one","n":9}'"""],
    ids=["removed", "moved"],
)
def test_a_range_goes_on_whatever_happens_to_the_last_record_of_its_first_page(
    change, size, known, some, path, monkeypatch
):
    agent, range = some.agent("u", "a"), {"n": {"$gte": 0, "$lt": 10}}
    if known:
        assert agent.count(range) == 10
    small_pages(some, size)
    read_keys, changed = finding._Reader._keys, []

    def change_first(*arguments):
        if not changed:
            changed.append(size)
            edit(path, f"{change} WHERE key = 'k{size - 1:02}'")
        return read_keys(*arguments)

    monkeypatch.setattr(finding._Reader, "_keys", change_first)
    assert list(agent.find(range)) == ONE
    assert changed


def test_the_first_page_of_a_range_ends_when_its_values_are_large(some, monkeypatch):
    monkeypatch.setattr(codec, "PAGE_BYTES", 70)
    agent = some.agent("u", "a")
    assert list(agent.find({"n": {"$gte": 0, "$lt": 10}})) == ONE
    assert len(statements_of(some, lambda: agent.find({"n": {"$gte": 0, "$lt": 10}}))) > 2


def test_a_page_ends_when_its_values_are_large(some, monkeypatch):
    monkeypatch.setattr(codec, "PAGE_BYTES", 70)  # some three values, but so many are read at first
    agent = some.agent("u", "a")
    assert list(agent.find({"kind": "one"})) == ONE
    assert len(statements_of(some, lambda: agent.find({"kind": "one"}))) == 2
    assert list(agent.find({"kind": "one"}, sort="-$key")) == ONE[::-1]


def test_what_has_expired_is_left_out(some, path):
    agent = some.agent("u", "a")
    edit(path, "UPDATE agent_data_store SET expiresAt = '2001-01-01T00:00:00.000000Z' WHERE key = 'k03'")
    edit(path, "UPDATE agent_data_store SET expiresAt = '2999-01-01T00:00:00.000000Z' WHERE key = 'k04'")
    expected = [key for key in ONE if key != "k03"]
    assert list(agent.find({"kind": "one"})) == expected
    assert agent.count({"kind": "one"}) == 9
    assert list(agent.find({"kind": "one"}, limit=9)) == expected
    assert list(agent.find({"kind": "one"}, limit=4)) == expected[:4]
    assert agent.explain({"kind": "one"}, limit=4)["documents_read"] == 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("value = CAST(x'7b226b696e64223a226f6e65222c2273223a22ff227d' AS TEXT)", False),
        ("expiresAt = x'07'", False),
        ("_id = 'u:default:' || x'ff'", False),
        ("_id = 'u:default:!'", False),
        ("_id = 'u:default:a:b'", False),
        ("revision = CAST(x'ff' AS TEXT)", True),
    ],
    ids=["value not UTF-8", "no time", "id not UTF-8", "no key", "a colon too many", "revision not UTF-8"],
)
def test_a_damaged_record_is_left_out_and_named(change, found, some, path, caplog):
    """As far as it is looked into: a revision is not part of what is returned."""
    edit(path, f"UPDATE agent_data_store SET {change} WHERE key = 'k03'")
    expected = [key for key in ONE if found or key != "k03"]
    messages = []
    with connect(path, tracking="off") as other:  # it knows no plan yet
        for store in (some, other):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert list(store.agent("u", "a").find({"kind": "one"})) == expected
            messages.append([record.getMessage() for record in caplog.records])
    assert messages[0] == messages[1]
    assert ("damaged record" in str(messages)) is not found


@pytest.mark.parametrize("size", [1, 3, 11, 12, 13])
def test_a_range_goes_on_after_a_key_that_is_not_utf8(size, some, path):
    edit(path, "UPDATE agent_data_store SET value = CAST(x'7b226b696e64223a22ff227d' AS TEXT) WHERE key = 'k03'")
    small_pages(some, size)
    agent = some.agent("u", "a")
    for _ in range(3):  # the first time, its plan is not known
        assert agent.count({"kind": {"$gte": "a"}}) == 12
        assert len(agent.find({"kind": {"$gte": "a"}})) == 11


def test_a_user_and_a_namespace_may_have_any_letters(some):
    for user, namespace in (("é", "ü:%"), ("u", "日本")):
        agent = some.agent(user, "a", namespace)
        agent.set("k", {"kind": "one"})
        for _ in range(2):
            assert agent.find({"kind": "one"}) == {"k": {"kind": "one"}}


@pytest.mark.parametrize("filter", [{"kind": "one"}, {"n": {"$gt": 3, "$lt": 5}}], ids=["a key", "a range"])
def test_it_is_one_statement(filter, some):
    agent = some.agent("u", "a")
    for call in (agent.find, agent.count):
        for _ in range(2):
            assert len(statements_of(some, lambda call=call: call(filter))) == 1
    assert agent.explain(filter)["index"] is not None


def test_only_parameters_are_replaced_by_their_places():
    quoted = "SELECT ':p0', ':p0''', \"x:p1\", ':p1'''"
    found = selecting._by_place(f"{quoted} || :p1, :p0, :p10", ["p1", "p0", "p10"])
    assert found == f"{quoted} || ?1, ?2, ?3"


def test_a_colon_in_a_path_is_no_parameter(path):
    with connect(path, tracking="off") as store:
        store.ensure_index(["a:p0 'x' b"])
        agent = store.agent("u", "a")
        agent.set_many({str(number): {"a:p0 'x' b": number} for number in range(3)})
        for number in range(3):
            assert list(agent.find({"a:p0 'x' b": number})) == [str(number)]
