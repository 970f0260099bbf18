"""Finding on PostgreSQL: what the reference finds, and each trap by name."""

import pytest

from datastore.backend import Fields, IdRange
from datastore.queries.language import parse_query
from datastore_postgresql import reading
from tests.adapters.finding import AgainstTheReference, Sorting, Traps, pages
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

    def test_a_page_of_records_is_read_from_where_the_one_before_ended(self, agent, stranger, wire):
        agent.set_many({f"k{number:03}": {"n": number % 50} for number in range(200)})
        agent.set("array", {"n": [7]})
        first = agent.find_records(sort="-n", limit=10)
        for one in (agent, stranger):  # another process has remembered nothing
            wire.rows = 0
            assert wire.of(lambda one=one: one.find_records(sort="-n", limit=10, cursor=first.cursor)) == 1
            assert wire.rows == 10 + 1 + 1, "one more says whether there is another page"
        assert [one.key for one in pages(agent, sort="-n", limit=10)] == list(agent.find({}, sort="-n"))

    def test_more_than_a_page_is_sorted_by_the_store(self, agent, monkeypatch):
        agent.set_many({f"k{number}": {"n": [number], "t": number} for number in range(9)})
        monkeypatch.setattr("datastore_postgresql.reading.MOST_UNPLACED", 8)
        assert agent.explain({}, sort="n", limit=2)["sorted_here"], "nine arrays"
        assert not agent.explain({}, sort="t", limit=2)["sorted_here"]
        monkeypatch.setattr("datastore_postgresql.reading.PAGE_BYTES", 60)
        assert not agent.explain({}, sort="t", limit=2)["sorted_here"]
        assert agent.explain({}, sort="t", limit=4)["sorted_here"], "20 bytes each"
        assert list(agent.find({}, sort="-t", limit=4)) == ["k8", "k7", "k6", "k5"]


class TestFewByAnIndex:
    """What an index finds, without a page: `Reader.few`. It is asked for from the third question of a kind on."""

    RANGE = IdRange("u:default:", "u:default;")

    @pytest.fixture
    def asked(self, store, agent, wire):
        """Asks for the values of a group twice, so that the third one is answered by `Reader.few`."""
        agent.set_many({f"k{number:03}": {"g": f"g{number % 40}", "n": number} for number in range(400)})
        store.ensure_index(["g"])
        for _ in range(2):
            agent.find({"g": "g0"})
        wire.requests.clear()
        return agent

    def test_it_is_one_request_and_the_same(self, asked, wire):
        for group in range(40):
            found = asked.find({"g": f"g{group}"})
            assert found == {f"k{n:03}": {"g": f"g{group}", "n": n} for n in range(group, 400, 40)}
            assert list(found) == sorted(found)
        assert asked.find({"g": "g1"}, limit=3) == dict(list(asked.find({"g": "g1"}).items())[:3])
        assert asked.count({"g": "g7"}) == 10
        assert asked.find({"g": "nobody"}) == {}
        assert list(asked.find({"g": "g7"}, prefix="k1")) == ["k127", "k167"]
        assert len(wire.requests) == 45
        assert not [one for one in wire.requests if "OVER" in one], "no sizes are added up"

    def test_arrays_and_what_is_kept_as_text_are_found(self, asked, wire):
        for other in ({"g": ["x", "g1"]}, {"g": "g1", "big": 2**70}):
            asked.set("other", other)
            assert asked.count({"g": "g1"}) == len(asked.find({"g": "g1"})) == 11
            assert asked.find({"g": "g1"})["other"] == other
        assert len(asked.find({"g": "g2"})) == 10

    def test_what_is_too_much_costs_one_request_more_once(self, asked, wire):
        asked.set_many({f"more{number}": {"g": "g1"} for number in range(reading.MOST_FEW)})
        assert wire.of(lambda: asked.find({"g": "g2"})) == 1
        assert wire.of(lambda: asked.find({"g": "g1"}, limit=5)) == 1
        assert wire.of(lambda: asked.find({"g": "g1"})) == 2
        assert wire.of(lambda: asked.find({"g": "g1"})) == 1
        assert len(asked.find({"g": "g1"})) == reading.MOST_FEW + 10

    def test_a_large_value_is_not_handed_over_twice(self, asked, backend, wire):
        asked.set("large", {"g": "g1", "text": "x" * 900_000})
        query = parse_query({"g": "g1"})
        assert backend.find_few(self.RANGE, query, Fields.KEY, 100) is not None, "no value is asked for"
        assert backend.find_few(self.RANGE, query, Fields.VALUE, 100) is None
        assert len(asked.find({"g": "g1"})) == 11

    def test_what_expired_is_left_out_and_others_take_its_place(self, asked):
        asked.set("a", {"g": "g1"}, ttl=1e-6)
        assert list(asked.find({"g": "g1"}, limit=2)) == ["k001", "k041"]

    @pytest.mark.parametrize("change", ['"revision" = NULL', '"createdAt" = NULL', '"value" = NULL'])
    def test_what_is_damaged_hides_nothing(self, asked, sql, change):
        sql(f"""UPDATE agent_data_store SET {change} WHERE "key" = 'k001'""")
        assert len(asked.find({"g": "g1"})) == 9 + (change == '"createdAt" = NULL')

    def test_escaped_revisions(self, asked, sql):
        sql("""UPDATE agent_data_store SET "revision" = E'\\x01a\\\\x00' WHERE "key" = 'k001'""")
        assert len(asked.find({"g": "g1"})) == 10
