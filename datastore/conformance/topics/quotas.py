"""Quotas: how much an agent may store, kept exactly, also by several writers at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    BatchError,
    ConfigurationError,
    DataStore,
    DataStoreError,
    Item,
    KeyExistsError,
    Quota,
    QuotaExceededError,
)
from datastore.backend import Backend, Document, Fields, Outcome, Write
from datastore.blobs.heads import PART
from datastore.conformance.clock import Clock
from datastore.conformance.faults import LosesAnswers, Untouchable, Wrapped, backend_of
from datastore.conformance.races import race
from datastore.conformance.topic import Topic, Wrapper
from datastore.ids import (
    encode_key,
    encode_name,
    home_of,
    key_range,
    namespace_range,
    system_prefix,
    system_range,
)
from datastore.quotas import KIND, MEASURED_EVERY, Usage
from datastore.values import encode

USER, AGENT = "user_1", "agent_1"
ACCOUNT = system_prefix(encode_name(USER, "user"), KIND) + encode_key(AGENT)
LARGE = "x" * 100

NEW: dict[str, Callable[[AgentDataStore], object]] = {
    "set": lambda agent: agent.set("new", 1),
    "add": lambda agent: agent.add("new", 1),
    "create": lambda agent: agent.create(1),
    "modify": lambda agent: agent.modify("new", lambda value: 1),
    "increment": lambda agent: agent.increment("new"),
    "append": lambda agent: agent.append("new", 1),
    "update": lambda agent: agent.update("new", {"a": 1}),
    "get_or_set": lambda agent: agent.get_or_set("new", lambda: 1),
    "other namespace": lambda agent: agent.use_namespace("other").set("new", 1),
    "vault": lambda agent: agent.vault.store("collection", {}),
    "key_value": lambda agent: agent.key_value.insert("new", 1),
}
"""Calls that make a record."""
LARGER: dict[str, Callable[[AgentDataStore], object]] = {
    "set": lambda agent: agent.set("object", LARGE),
    "set if_revision": lambda agent: agent.set("object", LARGE, if_revision=revision_of(agent, "object")),
    "metadata": lambda agent: agent.set("object", {"a": 1}, {"note": LARGE}),
    "modify": lambda agent: agent.modify("object", lambda value: LARGE),
    "append": lambda agent: agent.append("list", LARGE),
    "update": lambda agent: agent.update("object", {"b": LARGE}),
    "update_many": lambda agent: agent.find_one_and_update({"a": 1}, {"$set": {"b": LARGE}}),
    "vault": lambda agent: agent.vault.update(agent.namespace, "object", {"b": LARGE}),
}
"""Calls that make a record larger."""


def revision_of(agent: AgentDataStore, key: str) -> str:
    """Return the revision of a record."""
    record = agent.get_record(key)
    assert record is not None
    return record.revision


def bound(store: DataStore, **quota: int) -> AgentDataStore:
    """Return the store of an agent with a quota."""
    return store.agent(USER, AGENT, quota=Quota(**quota))


def stored(store: DataStore) -> Usage:
    """Return how much is stored of what the agent wrote last."""
    records = [one for one in store.host(USER).iter_records(namespace_prefix="") if one.updated_by_agent == AGENT]
    values = sum(len(encode(one.value).encode()) for one in records)
    return Usage(len(records), values + sum(len(encode(one.metadata).encode()) for one in records if one.metadata))


def account(backend: Backend) -> Usage:
    """Return what the account says, as the database has it."""
    value = backend.read([ACCOUNT], Fields.ALL)[ACCOUNT].value
    return Usage(value["records"], value["bytes"])


def left_of(store: DataStore, user: str) -> list[str]:
    """Return the ids of whatever the database has of a user, and of the host's reminders of what the user has."""
    backend, encoded = backend_of(store), encode_name(user, "user")
    ids = [
        document.id
        for range in (namespace_range(encoded, None), system_range(encoded))
        for document in backend.scan(range, Fields.KEY, 1_000).documents
    ]
    due = backend.scan(key_range(system_prefix("", "due")), Fields.VALUE, 1_000).documents
    return ids + [one.id for one in due if isinstance(one.value, dict) and one.value["userId"] == user]


def keep_of_each_kind(store: DataStore, user: str) -> None:
    """Let a user have of everything: what is live, what waits to be removed, and what calls leave for others."""
    agent = store.agent(user, AGENT, quota=Quota(records=1_000))
    with agent.lease("released") as lease:
        lease.data_store.set("gone", 1)
        lease.data_store.delete("gone")
    agent.lease("held", renew=False)
    agent.log("events").append(1, 2)
    agent.log("events").append(3)
    agent.log("events").clear()
    agent.blobs.put("blob", bytes(PART + 1))
    agent.blobs.put("blob", b"new", grace=60)
    with agent.runs.start("done") as run:
        run.finish(run.step("step", lambda: 1))
    with agent.runs.start("waits") as run:
        run.state["a"] = 1
        run.wait_for("answer", timeout=60)
    agent.runs.start("held").branch(2)
    agent.runs.signal("waits", "other", 1)


class Counts(Wrapped):
    """Notes what is asked of the database."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.asked = list[str]()

    def read(self, *args: Any, **kwargs: Any) -> dict[str, Document]:
        self.asked.append("read")
        return super().read(*args, **kwargs)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self.asked.append("write")
        return super().write(writes)


class IsFarAway(Wrapped):
    """Lets other threads run between what is read and what is written."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        time.sleep(0.0005)  # the way to a server
        return super().write(writes)


class LetsOthersIn(Wrapped):
    """Does something else before the next write that comes."""

    first: Callable[[], object] | None = None

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        first, self.first = self.first, None
        if first is not None:
            first()
        return super().write(writes)


class Quotas(Topic):
    """``DataStore.agent(quota=...)``."""

    def test_an_agent_stores_so_many_records(self, store: DataStore) -> None:
        """One more is refused, and nothing changes. What it has can be overwritten and deleted, which makes room."""
        agent = bound(store, records=3)
        for key in ("a", "b", "c"):
            agent.set(key, key)
        with pytest.raises(QuotaExceededError, match="3 records") as refused:
            agent.set("d", 1)
        assert (refused.value.unit, refused.value.limit, refused.value.needed) == ("records", 3, 4)
        assert not refused.value.retryable
        for number in range(5):
            agent.set("a", number)
        assert agent.get_all() == {"a": 4, "b": "b", "c": "c"}
        assert agent.delete("b")
        agent.set("d", 1)
        with pytest.raises(QuotaExceededError):
            agent.set("b", 1)

    def test_an_agent_stores_so_many_bytes(self, store: DataStore) -> None:
        """Those of values and metadata count, in UTF-8. What gets smaller is never refused."""
        agent = bound(store, bytes=60)
        agent.set("a", "é" * 10)  # 22
        agent.set("b", "x" * 10, {"note": "y" * 10})  # 12 and 21
        with pytest.raises(QuotaExceededError, match="60 bytes") as refused:
            agent.set("c", "x" * 4)
        assert (refused.value.unit, refused.value.limit, refused.value.needed) == ("bytes", 60, 61)
        with pytest.raises(QuotaExceededError):
            agent.set("a", "é" * 13)
        agent.set("c", "x" * 3)
        agent.set("b", "x" * 10, {"note": None})
        agent.set("d", "x" * 19)
        assert stored(store) == Usage(4, 60)
        smaller = bound(store, bytes=10)
        smaller.set("a", "é")
        with pytest.raises(QuotaExceededError):
            smaller.set("c", "x" * 4)

    def test_what_never_fits_is_refused_before_any_request(self, wrapped: Wrapper) -> None:
        """A value that is larger than all there may be, and any record where there may be no record."""
        store = wrapped(Untouchable)
        for agent, value in ((bound(store, bytes=10), LARGE), (bound(store, records=0), 1)):
            with pytest.raises(QuotaExceededError):
                agent.set("key", value)
            with pytest.raises(BatchError) as caught:
                agent.set_many({"key": value, "other": value})
            assert all(isinstance(error, QuotaExceededError) for error in caught.value.failed.values())

    @pytest.mark.parametrize("call", NEW.values(), ids=NEW.keys())
    def test_every_call_that_makes_a_record_is_held_to_it(
        self, store: DataStore, call: Callable[[AgentDataStore], object]
    ) -> None:
        """Also through the other interfaces, and in another namespace."""
        agent = bound(store, records=4)
        agent.set_many({"a": 1, "b": 2, "c": 3})
        agent.add("d", 4)
        with pytest.raises(QuotaExceededError):
            call(agent)
        assert stored(store).records == 4
        call(bound(store, records=5))
        assert stored(store).records == 5

    @pytest.mark.parametrize("call", LARGER.values(), ids=LARGER.keys())
    def test_every_call_that_makes_a_record_larger_is_held_to_it(
        self, store: DataStore, call: Callable[[AgentDataStore], object]
    ) -> None:
        """Whether or not it reads the record first."""
        agent = bound(store, bytes=100)
        agent.set_many({"object": {"a": 1}, "list": []})
        before = stored(store)
        with pytest.raises(QuotaExceededError):
            call(agent)
        assert stored(store) == before
        call(bound(store, bytes=200))
        assert 100 < stored(store).bytes <= 200

    def test_of_a_batch_as_much_is_stored_as_fits(self, store: DataStore, backend: Backend) -> None:
        """The first ones, and the outcome of each of the others is the error."""
        agent = bound(store, records=1_500)
        with pytest.raises(BatchError) as caught:
            agent.set_many({f"key {number:04}": number for number in range(2_100)})
        assert len(caught.value.succeeded) == 1_500
        assert list(caught.value.failed) == [f"key {number:04}" for number in range(1_500, 2_100)]
        assert all(isinstance(error, QuotaExceededError) for error in caught.value.failed.values())
        assert agent.count() == 1_500
        assert agent.delete_many([f"key {number:04}" for number in range(1_200)]) == 1_200
        assert agent.set_many([Item(f"key {number}", number, namespace="other") for number in range(1_200)]) == 1_200
        assert agent.clear() == 300
        assert agent.add_many({f"key {number}": number for number in range(300)}) == 300
        assert account(backend).records == stored(store).records == 1_500

    def test_an_agent_has_one_account_for_a_user(self, store: DataStore, wrapped: Wrapper) -> None:
        """In all namespaces, however often it is bound, in every process; other agents and users have their own."""
        other_process = wrapped(Wrapped)
        bound(store, records=3).set("a", 1)
        bound(store, records=3).use_namespace("other").set("b", 1)
        bound(other_process, records=3).set("c", 1)
        for one in (store, other_process):
            with pytest.raises(QuotaExceededError):
                bound(one, records=3).set("d", 1)
            one.agent(USER, "agent_2", quota=Quota(records=3)).set("d", 1)
            one.agent("user_2", AGENT, quota=Quota(records=3)).set("d", 1)
        store.agent(USER, AGENT).set("without a quota", 1)
        store.host(USER).set("by the host", 1)

    def test_a_record_counts_for_who_wrote_it_last(self, store: DataStore, clock: Clock) -> None:
        """To overwrite another's record takes room; what another overwrites or removes gives it back."""
        other = store.agent(USER, "agent_2")
        other.set_many({"theirs": 1, "too": 1})
        agent = bound(store, records=2)
        agent.set("mine", 1)
        agent.set("theirs", 2)
        with pytest.raises(QuotaExceededError):
            agent.set("too", 2)
        assert agent.delete("too")
        with pytest.raises(QuotaExceededError):
            agent.set("new", 1)
        other.set("mine", 2)
        clock.advance(MEASURED_EVERY)
        agent.set("new", 1)
        store.host(USER).delete("theirs")
        clock.advance(MEASURED_EVERY)
        agent.set("last", 1)
        assert stored(store) == Usage(2, 2)

    def test_what_has_expired_makes_room(self, store: DataStore, clock: Clock) -> None:
        """A full account is measured before a write is refused, and not again for some seconds."""
        agent = bound(store, records=2)
        agent.set_many({"a": 1, "b": 1}, ttl=MEASURED_EVERY + 1)
        clock.advance(MEASURED_EVERY)
        with pytest.raises(QuotaExceededError):
            agent.set("c", 1)
        clock.advance(2)
        with pytest.raises(QuotaExceededError):
            agent.set("c", 1)
        clock.advance(MEASURED_EVERY)
        agent.set_many({"c": 1, "d": 1})
        agent.set("c", 1, ttl=1)
        clock.advance(MEASURED_EVERY)
        agent.set("c", 2)
        with pytest.raises(QuotaExceededError):
            agent.set("e", 1)

    def test_a_clock_that_is_put_back_refuses_nobody(self, store: DataStore, clock: Clock) -> None:
        """When the account was measured last is not known then, so it is measured: there is room."""
        agent = bound(store, records=1)
        agent.set("a", 1)
        with pytest.raises(QuotaExceededError):
            agent.set("b", 1)
        assert store.agent(USER, "another").delete("a")
        clock.advance(-3_600)
        agent.set("b", 1)

    def test_what_was_there_before_counts(self, store: DataStore) -> None:
        """An agent that gets a quota later has stored what it has stored, and may overwrite it."""
        store.agent(USER, AGENT).set_many(dict.fromkeys("abcde", 1))
        agent = bound(store, records=3)
        with pytest.raises(QuotaExceededError):
            agent.set("f", 1)
        agent.set("a", 2)
        assert agent.delete_many(["a", "b", "c"]) == 3
        agent.set("f", 1)
        with pytest.raises(QuotaExceededError):
            agent.set("g", 1)

    def test_a_write_under_a_quota_makes_one_request_more(self, wrapped: Wrapper) -> None:
        """It reads what it replaces, together with the account, and writes both together. Without a quota, nothing."""
        store = wrapped(Counts)
        counts = backend_of(store)
        assert isinstance(counts, Counts)
        agent, plain = bound(store, records=100, bytes=1_000), store.agent(USER, "agent_2", "other")
        agent.set("first", 1)
        calls: list[tuple[Callable[[AgentDataStore], object], list[str]]] = [
            (lambda agent: agent.set("key", 1), ["write"]),
            (lambda agent: agent.set("key", 2), ["write"]),
            (lambda agent: agent.add("new", 2), ["write"]),
            (lambda agent: agent.set_many({"key": 1, "more": 2}), ["write"]),
            (lambda agent: agent.increment("key"), ["read", "write"]),
            (lambda agent: agent.delete_many(["new", "more"]), ["write"]),
            (lambda agent: agent.delete("key"), ["write"]),
            (lambda agent: agent.get("key"), ["read"]),
        ]
        for call, expected in calls:
            counts.asked.clear()
            call(plain)
            assert counts.asked == expected
            counts.asked.clear()
            call(agent)
            one_more = [*expected[:-1], "read", "write"] if "write" in expected else expected
            assert counts.asked == one_more

    def test_no_listing_shows_the_account(self, store: DataStore) -> None:
        """It is the store's own record. To forget a user is to forget it, too."""
        agent = bound(store, records=2)
        agent.set_many({"a": 1, "b": 1})
        for one in (agent, store.host(USER)):
            assert one.list_namespaces() == ["default"]
            assert [record.key for record in one.iter_records(namespace_prefix="")] == ["a", "b"]
            assert len(one.find_in("")) == one.count() == 2
        assert list(store.users()) == [USER]
        store.forget(USER)
        agent.set_many({"c": 1, "d": 1})

    def test_what_lies_beside_records_counts(self, store: DataStore, clock: Clock) -> None:
        """Records of logs, of blobs with their parts, and of runs, each as one; no lease, reminder or account."""
        store.agent(USER, AGENT).set("key", 1)
        keep_of_each_kind(store, USER)
        counted = 1 + sum(home_of(id) is not None for id in left_of(store, USER))
        assert counted > 15
        clock.advance(MEASURED_EVERY)
        with pytest.raises(QuotaExceededError) as refused:
            bound(store, records=counted).set("new", 1)
        assert refused.value.needed == counted + 1
        bound(store, records=counted + 1).set("new", 1)

    def test_to_forget_leaves_nothing(self, store: DataStore) -> None:
        """No account, mark, reminder, record of a lease, end of a log or journal; another user keeps all of it."""
        for user in (USER, "user_2"):
            keep_of_each_kind(store, user)
        others = left_of(store, "user_2")
        assert len(left_of(store, USER)) == len(others) > 20
        store.forget(USER)
        assert left_of(store, USER) == []
        assert left_of(store, "user_2") == others
        agent = store.agent(USER, AGENT)
        assert (agent.list_logs(), agent.blobs.list(), agent.runs.list(), agent.runs.due()) == ([], [], [], [])
        assert agent.log("events").append("first") == 1
        with agent.lease("held") as lease, agent.runs.start("done"):
            assert lease.is_held

    def test_several_threads_store_no_more(self, store: DataStore, backend: Backend, wrapped: Wrapper) -> None:
        """Exactly as much as there may be, whoever comes first."""
        agent = bound(wrapped(IsFarAway), records=30)

        def fill(number: int) -> int:
            done = 0
            for round in range(8):
                try:
                    agent.add(f"key {number} {round}", 1)
                    done += 1
                except QuotaExceededError:
                    pass
            return done

        assert sum(race(*(partial(fill, number) for number in range(6)))) == 30
        assert account(backend) == stored(store) == Usage(30, 30)

    def test_several_processes_exceed_it_by_what_is_under_way(
        self, store: DataStore, backend: Backend, wrapped: Wrapper
    ) -> None:
        """That is one call of each of the others. The account then says what there is, and nothing more is stored."""
        stores = [store, wrapped(Wrapped), wrapped(Wrapped)]
        agents = [bound(one, records=20) for one in stores]

        def fill(number: int) -> None:
            for round in range(12):
                try:
                    agents[number].set(f"key {number} {round}", round)
                    if round % 3 == 0:
                        agents[number].delete(f"key {number} {round}")
                except QuotaExceededError:
                    pass

        race(*(partial(fill, number) for number in range(3)))
        there = stored(store).records
        assert there <= 20 + len(stores) - 1
        assert account(backend).records >= there
        if there >= 20:
            for agent in agents:
                with pytest.raises(QuotaExceededError):
                    agent.set("one more", 1)

    def test_what_another_process_adds_meanwhile_is_added(
        self, store: DataStore, backend: Backend, wrapped: Wrapper
    ) -> None:
        """Who finds the account changed writes its own part after it."""
        between = wrapped(LetsOthersIn)
        lets_in = backend_of(between)
        assert isinstance(lets_in, LetsOthersIn)
        agent, other = bound(between, records=10), bound(store, records=10)
        agent.set("first", 1)
        lets_in.first = lambda: other.set_many({"a": 1, "b": 22})
        agent.set("second", 333)
        assert account(backend) == stored(store) == Usage(4, 7)

    def test_what_another_process_changes_meanwhile_is_known(
        self, store: DataStore, backend: Backend, wrapped: Wrapper
    ) -> None:
        """A write replaces what it has read, or reads again; so the account says how much was replaced."""
        between = wrapped(LetsOthersIn)
        lets_in = backend_of(between)
        assert isinstance(lets_in, LetsOthersIn)
        agent, other = bound(between, bytes=1_000), bound(store, bytes=1_000)
        agent.set_many({"key": 1, "gone": 1})
        lets_in.first = lambda: other.set("key", LARGE)
        agent.set("key", 22)
        lets_in.first = lambda: other.set("gone", LARGE)
        assert agent.delete("gone")
        lets_in.first = lambda: other.delete("key")
        agent.set("key", 333)
        lets_in.first = lambda: other.set("new", 1)
        agent.set("new", 4_444)
        agent.set("last", 1)
        other.set("more", 1)
        assert account(backend) == stored(store) == Usage(4, 9)

    def test_what_was_removed_makes_room_once(self, store: DataStore, wrapped: Wrapper, clock: Clock) -> None:
        """Not again after another process has measured the account without it."""
        agent, other = bound(store, records=4), bound(wrapped(Wrapped), records=4)
        agent.set_many(dict.fromkeys("abcd", 1))
        assert agent.delete_many(["a", "b"]) == 2
        clock.advance(MEASURED_EVERY)
        other.set_many({"e": 1, "f": 1})
        with pytest.raises(QuotaExceededError):
            agent.set("g", 1)
        assert agent.delete_many(["c", "d"]) == 2
        clock.advance(MEASURED_EVERY)
        other.set_many({"g": 1, "h": 1})
        assert agent.delete("e")
        agent.set("i", 1)
        with pytest.raises(QuotaExceededError):
            agent.set("j", 1)
        assert stored(store).records == 4

    def test_what_is_added_while_another_process_measures_is_in_the_account(
        self, store: DataStore, backend: Backend, wrapped: Wrapper
    ) -> None:
        """Also if as much was removed before, so that the account need not grow."""
        between = wrapped(LetsOthersIn)
        lets_in = backend_of(between)
        assert isinstance(lets_in, LetsOthersIn)
        agent, other = bound(between, records=4), bound(store, records=4)
        other.set_many(dict.fromkeys("abcd", 1))
        assert other.delete_many(["a", "b"]) == 2
        lets_in.first = lambda: other.set("f", 1)
        agent.set("e", 1)
        assert stored(store).records == 4
        assert account(backend).records >= 4
        with pytest.raises(QuotaExceededError):
            agent.set("g", 1)

    def test_a_write_whose_answer_was_lost_counts_once(self, store: DataStore, wrapped: Wrapper) -> None:
        """It is done once, and the account says so."""
        losing = wrapped(LosesAnswers)
        loses = backend_of(losing)
        assert isinstance(loses, LosesAnswers)
        agent = bound(losing, records=3)
        agent.set("a", 1)
        for write in (partial(agent.set, "b", 1), partial(agent.add, "c", 1), partial(agent.set, "c", 2)):
            loses.lost = 1
            write()
        assert account(loses) == stored(store) == Usage(3, 3)
        with pytest.raises(QuotaExceededError):
            agent.set("d", 1)
        with pytest.raises(KeyExistsError):
            agent.add("c", 1)

    def test_an_account_of_a_call_that_failed_is_measured(self, store: DataStore, wrapped: Wrapper) -> None:
        """Nobody knows what of it was done; the next write finds out."""
        losing = wrapped(LosesAnswers, retry_seconds=0)
        loses = backend_of(losing)
        assert isinstance(loses, LosesAnswers)
        agent = bound(losing, records=3)
        agent.set_many({"a": 1, "b": 1})
        loses.lost = 1
        with pytest.raises(DataStoreError):
            agent.set("c", 1)
        with pytest.raises(QuotaExceededError):
            agent.set("d", 1)
        loses.lost = 1
        with pytest.raises(DataStoreError):
            agent.delete("c")
        agent.set("d", 1)
        assert stored(store) == Usage(3, 3)

    @pytest.mark.parametrize("quota", [None, Quota()])
    def test_no_quota_is_no_account(self, store: DataStore, backend: Backend, quota: Quota | None) -> None:
        """Nothing is stored beside the records."""
        store.agent(USER, AGENT, quota=quota).set_many(dict.fromkeys("abc", 1))
        assert backend.read([ACCOUNT], Fields.ALL) == {}

    @pytest.mark.parametrize("wrong", [-1, 1.5, "10", True, [1]])
    def test_what_is_no_quota_is_refused(self, store: DataStore, wrong: Any) -> None:
        """When it is made, or when the agent is bound."""
        for name in ("records", "bytes"):
            with pytest.raises(ConfigurationError, match=name):
                Quota(**{name: wrong})
        with pytest.raises(ConfigurationError, match="quota"):
            store.agent(USER, AGENT, quota=wrong)
