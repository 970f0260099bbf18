"""Finding on PostgreSQL: what the reference finds, and each trap by name."""

import pytest

from tests.adapters.finding import AgainstTheReference, Sorting, Traps
from tests.full import times

pytestmark = pytest.mark.server("postgresql")


class TestAgainstTheReference(AgainstTheReference):
    examples = times(3, 50)


class TestTraps(Traps):
    pass


class TestSorting(Sorting):
    examples = times(4, 60)

    def test_one_request_hands_over_what_comes_first_and_what_has_no_place(self, agent, wire):
        agent.set_many({f"k{number:03}": {"n": number} for number in range(200)})
        agent.set_many({"array": {"n": [5]}, "big": {"n": 2**70}})
        for options in ({}, {"filter": {"n": {"$gte": 3}}}, {"filter": {"n": {"$gte": 3}}, "skip": 5}):
            wire.rows = 0
            assert wire.of(lambda options=options: agent.find(sort="-n", limit=10, **options)) == 1
            assert wire.rows == 10 + options.get("skip", 0) + 2

    def test_more_than_a_page_is_sorted_by_the_store(self, agent, monkeypatch):
        agent.set_many({f"k{number}": {"n": [number], "t": number} for number in range(9)})
        monkeypatch.setattr("datastore_postgresql.reading.MOST_UNPLACED", 8)
        assert agent.explain({}, sort="n", limit=2)["sorted_here"], "nine arrays"
        assert not agent.explain({}, sort="t", limit=2)["sorted_here"]
        monkeypatch.setattr("datastore_postgresql.reading.PAGE_BYTES", 60)
        assert not agent.explain({}, sort="t", limit=2)["sorted_here"]
        assert agent.explain({}, sort="t", limit=4)["sorted_here"], "20 bytes each"
        assert list(agent.find({}, sort="-t", limit=4)) == ["k8", "k7", "k6", "k5"]
