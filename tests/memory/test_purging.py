"""A purge of vectors costs what is due, and goes on where one of them, or its record, cannot be read, and says so."""

import logging

import pytest

import datastore
from datastore import DamagedRecordError, DataStore
from datastore.backend import Fields
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped, backend_of
from datastore.conformance.topics.memory import WORDS, kept
from datastore.memory.changes import GRACE
from datastore.memory.vectors import AREA
from datastore.scope import scope_of


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    with datastore.connect("sqlite://:memory:", embedder=WORDS, clock=clock) as store:
        yield store


def spoil(scope, key, value):
    """Write a value into the area as another program may."""
    put = scope.put(key, value, scope.moment())
    assert scope.core.write_one(put).done


def test_an_unreadable_vector_keeps_no_other(store, clock, caplog):
    agent, other = store.agent("user_1", "a"), store.agent("user_1", "a", "other")
    agent.memory.add_many({"a": "cat", "b": "dog", "c": "bird"})
    other.memory.add_many({"d": "cow"})
    revision = agent.get_record("b").revision
    area = scope_of(agent).area(AREA)
    spoil(area, f"v{revision}", {"format": 1, "key": "b", "vector": "?"})
    agent.delete_many(["a", "b"])
    other.delete("d")
    clock.advance(GRACE + 1)
    with caplog.at_level(logging.WARNING, "datastore"):
        assert store.purge_expired() == 2
    assert {one.value["key"] for one in kept(store)} == {"b", "c"}, "what cannot be read stays"
    assert kept(store, "other") == []
    (said,) = [record.getMessage() for record in caplog.records]
    assert "damaged" in said
    assert "?" not in said


def test_an_unreadable_list_of_changes_keeps_no_other_namespace(store, clock, caplog):
    agent, other = store.agent("user_1", "a"), store.agent("user_1", "a", "other")
    agent.memory.add("cat", key="a")
    other.memory.add("cow", key="d")
    spoil(scope_of(agent).area(AREA), "w0000000000000099", "no change")
    agent.delete("a")
    other.delete("d")
    clock.advance(GRACE + 1)
    with caplog.at_level(logging.WARNING, "datastore"):
        store.purge_expired()
    assert kept(store) == kept(store, "other") == []
    assert any("damaged" in record.getMessage() for record in caplog.records)
    clock.advance(GRACE + 1)
    assert store.purge_expired() == 0, "it is looked at again"


def test_an_edit_mends_a_vector_that_cannot_be_read(store):
    agent = store.agent("user_1", "a")
    agent.memory.add_many({"a": "cat", "b": "dog"})
    spoil(scope_of(agent).area(AREA), f"v{agent.get_record('a').revision}", {"format": 7})
    scope_of(agent).core.root.spaces = None  # as in another process
    with pytest.raises(DamagedRecordError, match=r"memory\.edit"):
        agent.memory.search("cat")
    assert agent.memory.edit("a", "cat")
    assert [one.key for one in agent.memory.search("cat", 1)] == ["a"]
    assert len(kept(store)) == 2


class Looks(Wrapped):
    """Counts the vectors that are looked at, in small pages."""

    looked = 0

    def scan(self, range, fields, limit, after=None, reverse=False):
        page = super().scan(range, fields, min(limit, 250), after, reverse)
        if fields is Fields.VALUE:
            self.looked += sum(":vectors" in one.id for one in page.documents)
        return page


@pytest.fixture
def large(store, clock):
    """A namespace of 8,000 vectors that were written an hour ago, and who counts what is looked at."""
    looks = Looks(backend_of(store))
    agent = DataStore(looks, clock=clock, tracking="off").agent("user_1", "a")
    agent.memory.add_many({f"k{number:04}": "x" for number in range(8_000)}, vectors=[[1.0, 2.0]] * 8_000)
    clock.advance(GRACE + 1)
    return agent, looks


def test_a_purge_of_little_looks_at_little_and_comes_around(large, clock):
    agent, looks = large
    agent.delete_many([f"k{number * 100:04}" for number in range(16)])
    looked, removed = [], 0
    for _ in range(60):
        before = looks.looked
        removed += agent.purge_expired()
        looked.append(looks.looked - before)
        clock.advance(24 * GRACE)  # whoever purges once a day meets all of them, too
    assert max(looked) < 2_000
    assert removed == 16


def test_a_purge_of_much_removes_all_at_once(large):
    agent, _ = large
    agent.delete_many([f"k{number:04}" for number in range(0, 8_000, 10)])
    assert agent.purge_expired() == 800
