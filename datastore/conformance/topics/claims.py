"""Of many callers one takes it: ``pop``, ``touch``, ``find_one_and_update``, ``claim``, ``get_or_set``."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from datastore import AgentDataStore, ConflictError, DataStore, InvalidValueError, OutcomeUnknownError, QueryError
from datastore.backend import Delete, Outcome
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped
from datastore.conformance.races import race
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.records import record_of


class _Certain(Wrapped):
    """Notes the deletes."""

    deletes: list[Delete]

    def write(self, writes: Any) -> list[Outcome]:
        self.deletes = [write for write in writes if isinstance(write, Delete)]
        return super().write(writes)


def several(store: DataStore, open_store: Opener, number: int = 3) -> list[AgentDataStore]:
    """Return agents' stores on one database: each of its own connection, where several can work on it at once."""
    shared = store.capabilities.shared
    stores = [store, *(open_store() if shared else store for _ in range(number - 1))]
    return [one.agent("user", f"agent {place}") for place, one in enumerate(stores)]


class Claims(Topic):
    """Taking and changing what others want to take, too."""

    def test_pop_removes_and_returns(self, data_store: AgentDataStore) -> None:
        """A stored null is a value; the default is for what is not there."""
        data_store.set("key", {"a": 1})
        data_store.set("null", None)
        assert data_store.pop("key") == {"a": 1}
        assert data_store.pop("key") is None
        assert data_store.pop("key", "missing") == "missing"
        assert data_store.pop("null", "missing") is None
        assert data_store.list_keys() == []

    def test_an_expired_record_cannot_be_popped(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It is as good as gone."""
        data_store.set("key", 1, ttl=10)
        clock.advance(10)
        assert data_store.pop("key", "missing") == "missing"

    def test_of_many_that_pop_one_gets_it(self, store: DataStore, open_store: Opener) -> None:
        """From several stores at once, record by record."""
        stores = several(store, open_store)
        keys = [f"key {number}" for number in range(15)]
        stores[0].set_many(dict.fromkeys(keys, 1))

        def pop_all(data_store: AgentDataStore) -> list[str]:
            return [key for key in keys if data_store.pop(key) == 1]

        got = race(*[lambda one=one: pop_all(one) for one in stores])
        assert sorted(key for one in got for key in one) == sorted(keys)

    def test_pop_begins_again_after_a_change(self, store: DataStore, wrapped: Wrapper) -> None:
        """It returns the value that it removed, not one that it had read before."""
        other = store.agent("user", "other")

        class Interrupts(Wrapped):
            changes = 3

            def write(self, writes: Any) -> list[Outcome]:
                if self.changes:
                    self.changes -= 1
                    other.set("key", self.changes)
                return super().write(writes)

        other.set("key", "first")
        assert wrapped(Interrupts).agent("user", "agent").pop("key") == 0
        assert not other.exists("key")

    def test_pop_asks_for_a_certain_removal(self, wrapped: Wrapper) -> None:
        """And where that cannot be told it says so, and is not repeated."""
        noting: list[_Certain] = []

        def note(inner: Any) -> Wrapped:
            noting.append(_Certain(inner))
            return noting[-1]

        data_store = wrapped(note).agent("user", "agent")
        revision = data_store.set("key", 1)
        data_store.pop("key")
        ((delete,),) = (one.deletes for one in noting)
        assert (delete.certain, delete.if_revision) == (True, revision)

        class Doubtful(Wrapped):
            attempts = 0

            def write(self, writes: Any) -> list[Outcome]:
                if isinstance(writes[0], Delete):
                    Doubtful.attempts += 1
                    return [Outcome(False, error=OutcomeUnknownError("the answer was lost"))]
                return super().write(writes)

        data_store.set("key", 1)
        with pytest.raises(OutcomeUnknownError):
            wrapped(Doubtful).agent("user", "agent").pop("key")
        assert Doubtful.attempts == 1

    def test_touch_moves_the_expiry(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It says whether there is a record. It is no change, so the revision stays."""
        data_store.set("key", 1, ttl=10)
        before = record_of(data_store)
        clock.advance(9)
        assert data_store.touch("key", ttl=10) is True
        clock.advance(9)
        assert record_of(data_store).revision == before.revision
        assert record_of(data_store).updated_at == before.updated_at
        assert data_store.touch("key", ttl=None) is True
        clock.advance(1_000)
        assert data_store.get("key") == 1
        assert data_store.touch("missing", ttl=10) is False
        data_store.touch("key", ttl=10)
        clock.advance(10)
        assert data_store.touch("key", ttl=10) is False
        assert not data_store.exists("key")

    def test_a_touch_disturbs_nobody_who_writes_at_a_revision(self, data_store: AgentDataStore) -> None:
        """And a write at the revision before it keeps standing."""
        revision = data_store.set("key", 1, ttl=10)
        data_store.touch("key", ttl=100)
        data_store.set("key", 2, if_revision=revision)
        with pytest.raises(ConflictError):
            data_store.set("key", 3, if_revision=revision)

    def test_a_read_can_touch(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It returns the value, counts an access, and the record lives on."""
        data_store.set("key", [1], ttl=10)
        for _ in range(3):
            clock.advance(9)
            assert data_store.get("key", touch=10) == [1]
            assert data_store.get("key", type=list[int], touch=10) == [1]
        assert record_of(data_store).access_count == 6
        assert data_store.get("missing", "default", touch=10) == "default"
        for ttl in (0, -1, float("nan")):
            with pytest.raises(InvalidValueError, match="ttl"):
                data_store.get("key", touch=ttl)
        clock.advance(10)
        assert data_store.get("key", "gone", touch=10) == "gone"

    def test_a_whole_record_can_be_read_as_an_access(self, data_store: AgentDataStore) -> None:
        """What is returned is the record before."""
        data_store.set("key", 1)
        record = data_store.get_record("key", count=True)
        assert record is not None
        assert record.access_count == 0
        assert record_of(data_store).access_count == 1
        assert data_store.get_record("missing", count=True) is None

    def test_find_one_and_update_changes_the_first_that_matches(self, data_store: AgentDataStore) -> None:
        """It returns the record as it is then, with its expiry and metadata, or None."""
        data_store.set_many({key: {"n": number} for number, key in enumerate("abc")}, {"source": "web"}, ttl=60)
        assert data_store.find_one_and_update({"n": 7}, {"n": 8}) is None
        record = data_store.find_one_and_update({"n": {"$gte": 1}}, {"$inc": {"n": 10}}, sort="-n")
        assert record == record_of(data_store, "c")
        assert (record.value, record.metadata) == ({"n": 12}, {"source": "web"})
        record = data_store.find_one_and_update(None, {"seen": True}, prefix="b")
        assert record is not None
        assert (record.key, record.value) == ("b", {"n": 1, "seen": True})
        with pytest.raises(QueryError):
            data_store.find_one_and_update({"n": {"$near": 1}}, {"n": 1})
        with pytest.raises(InvalidValueError, match="'a'"):
            data_store.find_one_and_update({"n": 0}, {"$push": {"n": 1}})

    def test_callers_that_come_at_once_change_different_records(self, store: DataStore, open_store: Opener) -> None:
        """Each record is changed once."""
        stores = several(store, open_store)
        stores[0].set_many({f"job {number:02}": {"done": False} for number in range(12)})

        def take(data_store: AgentDataStore) -> list[str]:
            taken = []
            while (record := data_store.find_one_and_update({"done": False}, {"done": True})) is not None:
                taken.append(record.key)
            return taken

        taken = race(*[lambda one=one: take(one) for one in stores])
        assert sorted(key for one in taken for key in one) == [f"job {number:02}" for number in range(12)]

    def test_a_job_goes_to_one_worker_and_comes_back_when_its_claim_expires(
        self, store: DataStore, clock: Clock
    ) -> None:
        """Attempts are counted, and who holds it can be read."""
        first, second = store.agent("user", "first"), store.agent("user", "second")
        first.set_many({"a": {"kind": "mail"}, "b": {"kind": "mail"}, "c": {"kind": "other"}})
        one, two = first.claim({"kind": "mail"}, ttl=30), second.claim({"kind": "mail"}, ttl=60)
        assert one is not None
        assert two is not None
        assert [one.key, two.key] == ["a", "b"]
        assert (one.value["claim"]["by"], one.value["claim"]["attempts"]) == ("first", 1)
        assert first.claim({"kind": "mail"}, ttl=30) is None
        clock.advance(30)
        again = second.claim({"kind": "mail"}, ttl=60)
        assert again is not None
        assert (again.key, again.value["claim"]["by"], again.value["claim"]["attempts"]) == ("a", "second", 2)
        with pytest.raises(ConflictError):
            first.delete("a", if_revision=one.revision)
        assert second.delete("a", if_revision=again.revision) is True
        clock.advance(60)
        tired = {"kind": "mail", "claim.attempts": {"$not": {"$gte": 1}}}
        assert first.claim(tired, ttl=60) is None
        last = first.claim(ttl=60, sort="-kind")
        assert last is not None
        assert last.key == "c"

    def test_each_of_many_workers_gets_another_job(self, store: DataStore, open_store: Opener) -> None:
        """Until there is none left."""
        workers = several(store, open_store)
        workers[0].set_many({f"job {number:02}": {"n": number} for number in range(12)})

        def work(data_store: AgentDataStore) -> list[str]:
            done = []
            while (job := data_store.claim(ttl=600)) is not None:
                done.append(job.key)
            return done

        done = race(*[lambda one=one: work(one) for one in workers])
        assert sorted(key for one in done for key in one) == [f"job {number:02}" for number in range(12)]

    def test_a_claim_is_for_some_time(self, data_store: AgentDataStore) -> None:
        """And only an object can hold it."""
        data_store.set("key", {"a": 1})
        for ttl in (0, -1, None):
            with pytest.raises(InvalidValueError, match="ttl"):
                data_store.claim(ttl=ttl)  # type: ignore[arg-type]  # this is what is tested
        data_store.set("array", [1])
        with pytest.raises(InvalidValueError, match="'array'"):
            data_store.claim(ttl=60, prefix="arr")

    def test_get_or_set_computes_what_is_not_there(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Once, until it has expired. What is there is counted as an access, what is computed is not."""
        computed: list[int] = []

        def compute() -> dict[str, int]:
            computed.append(1)
            return {"n": len(computed)}

        assert data_store.get_or_set("key", compute, ttl=60, metadata={"source": "web"}) == {"n": 1}
        assert data_store.get_or_set("key", compute, ttl=60) == {"n": 1}
        record = record_of(data_store)
        assert (record.access_count, record.metadata) == (1, {"source": "web"})
        clock.advance(60)
        assert data_store.get_or_set("key", compute) == {"n": 2}
        assert record_of(data_store).expires_at is None
        data_store.set("null", None)
        assert data_store.get_or_set("null", compute) is None
        assert len(computed) == 2

    def test_what_a_function_raises_reaches_the_caller(self, data_store: AgentDataStore) -> None:
        """Nothing is stored, and the next caller computes at once."""

        def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            data_store.get_or_set("key", fail)
        with pytest.raises(InvalidValueError, match="result"):
            data_store.get_or_set("key", lambda: {1})
        assert not data_store.exists("key")
        assert data_store.get_or_set("key", lambda: 1) == 1

    def test_of_many_that_ask_one_computes(self, store: DataStore, open_store: Opener) -> None:
        """The others wait, in other threads and in other stores, and get the same."""
        stores = several(store, open_store)
        computed: list[int] = []

        def compute() -> int:
            computed.append(1)
            threading.Event().wait(0.05)
            return len(computed)

        assert race(*[lambda one=one: one.get_or_set("key", compute) for one in stores]) == [1, 1, 1]
        assert len(computed) == 1

    def test_an_old_value_is_good_while_one_computes_the_new_one(
        self, store: DataStore, open_store: Opener, clock: Clock
    ) -> None:
        """In the last part of its life; before that nobody computes."""
        one, other = several(store, open_store, 2)
        assert one.get_or_set("key", lambda: "old", ttl=60, refresh=10) == "old"
        clock.advance(49)
        assert one.get_or_set("key", lambda: "new", ttl=60, refresh=10) == "old"
        clock.advance(2)
        seen = []

        def compute() -> str:
            seen.append(other.get_or_set("key", lambda: "third", ttl=60, refresh=10))
            return "new"

        assert one.get_or_set("key", compute, ttl=60, refresh=10) == "new"
        assert seen == ["old"]
        assert other.get_or_set("key", lambda: "third", ttl=60, refresh=10) == "new"

    def test_who_computes_for_too_long_is_overtaken(self, store: DataStore, open_store: Opener, clock: Clock) -> None:
        """A lease expires; whoever stores first has it, and both get that value."""
        one, other = several(store, open_store, 2)

        def compute() -> str:
            clock.advance(30)
            assert other.get_or_set("key", lambda: "theirs", lease=30) == "theirs"
            return "mine"

        assert one.get_or_set("key", compute, lease=30) == "theirs"

    def test_leases_are_in_no_agents_way(self, store: DataStore) -> None:
        """They are in no listing, under no key, and are forgotten with the user."""
        data_store = store.agent("user", "agent")

        def look() -> list[object]:
            return [
                data_store.list_namespaces(),
                list(store.users()),
                list(data_store.iter_records(namespace_prefix="")),
            ]

        assert data_store.get_or_set("key", look) == [[], [], []]
        assert data_store.list_namespaces() == ["default"]
        if store.capabilities.supports("all_documents"):
            assert [record.key for record in store.records()] == ["key"]
        assert store.forget("user") == (1, 0)
