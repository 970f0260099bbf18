"""One holder at a time, and what a holder without its lease may not write: ``lease``, ``lock``, fencing numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    BackendUnavailableError,
    DataStore,
    InvalidNameError,
    InvalidValueError,
    Lease,
    LeaseHeldError,
    LeaseLostError,
    PermissionDeniedError,
    Quota,
    QuotaExceededError,
    ReentrantCallError,
)
from datastore.backend import Backend, Delete, Document, Fence, Fields, Outcome, Put, Touch, Write
from datastore.conformance.calls import CALLS, WRITES
from datastore.conformance.clock import DAY, Clock
from datastore.conformance.documents import apply, at, id_of, put, read, stored
from datastore.conformance.faults import LosesAnswers, Unsteady, Untouchable, Wrapped
from datastore.conformance.harness import Harness
from datastore.conformance.races import ROUNDS, race
from datastore.conformance.stopped import CAN_STOP, stopped_holder
from datastore.conformance.topic import Opener, Topic, Wrapper, not_applicable
from datastore.conformance.topics.claims import several
from datastore.conformance.topics.retries import through
from datastore.fences import MOST_FENCES
from datastore.moving import copy
from datastore.scope import scope_of

_LEASE, _OTHER = "0123456789abcdef", "fedcba9876543210"
_RECORDS = {"key": 1, "other": 2, "list": [], "object": {"a": 1}}
_NEW = frozenset({"add", "add_many", "get_or_set"})
"""The calls that make a record where there is none."""
# An entry is a record that nobody has written before, as with `create`; and there is nothing to trim in these tests.
_REFUSED = sorted(WRITES - {"create", "purge_expired", "lease", "lock", "log_append", "log_trim"})
"""The calls that write to records that somebody else may have written."""


def fence(number: int, lease: str = _LEASE) -> Fence:
    """Return what a write carries under a lease."""
    return Fence(lease, number)


def is_refused(outcome: Outcome) -> bool:
    """Return whether a write was refused because of its lease."""
    return not outcome.done and isinstance(outcome.error, LeaseLostError)


class Late:
    """Two holders at once, because the clock of the second one is two days ahead."""

    def __init__(self, first: DataStore, second: DataStore) -> None:
        self.first = first.agent("user_1", "first").lease("work", DAY, renew=False)
        self.second = second.agent("user_1", "second").lease("work", DAY, renew=False)

    def late_again(self) -> AgentDataStore:
        """Return the store of the first one, which has forgotten that its lease is over."""
        scope_of(self.first.data_store).core.holding._over = None  # type: ignore[attr-defined]  # it is a `FencedCore`
        return self.stale

    @property
    def stale(self) -> AgentDataStore:
        """The store of the first one, which takes the lease for its own."""
        assert self.first.is_held
        return self.first.data_store

    @property
    def current(self) -> AgentDataStore:
        """The store of the second one, which has taken the lease over."""
        return self.second.data_store


def _ahead(clock: Clock) -> Callable[[], float]:
    return lambda: clock() + 2 * DAY


def _two_stores(store: DataStore, open_store: Opener, wrapped: Wrapper, **options: Any) -> DataStore:
    """Return another store on the same database: of a connection of its own, where several can work on it at once."""
    return open_store(**options) if store.capabilities.shared else wrapped(Wrapped, **options)


class Leases(Topic):
    """Taking, renewing and releasing leases; writing under them; and what the database refuses."""

    @pytest.fixture
    def late(self, store: DataStore, open_store: Opener, wrapped: Wrapper, clock: Clock) -> Late:
        """Return two holders at once."""
        return Late(store, _two_stores(store, open_store, wrapped, clock=_ahead(clock)))

    # ------------------------------------------------------------------------------------------------- the lease

    def test_one_holder_at_a_time_has_a_lease(self, store: DataStore, open_store: Opener) -> None:
        """The error says who has it. In another namespace, under another name and for another user it is another."""
        first, second, *_ = several(store, open_store)
        with first.lease("work") as lease:
            with pytest.raises(LeaseHeldError, match="agent 0") as caught:
                second.lease("work")
            assert caught.value.holder == "agent 0"
            assert (lease.name, lease.is_held) == ("work", True)
            second.lease("other").release()
            second.use_namespace("other").lease("work").release()
            store.agent("another", "agent").lease("work").release()

    def test_a_released_lease_can_be_taken_at_once(self, data_store: AgentDataStore) -> None:
        """Also by whoever has released it. Releasing once more says that it was not held."""
        lease = data_store.lease("work")
        assert lease.release() is True
        assert lease.release() is False
        assert not lease.is_held
        data_store.lease("work").release()

    def test_a_lease_is_released_at_the_end_of_its_block(self, data_store: AgentDataStore) -> None:
        """It is, too, if the block raises."""
        with pytest.raises(ZeroDivisionError), data_store.lease("work") as lease:
            raise ZeroDivisionError
        assert not lease.is_held
        data_store.lease("work").release()

    def test_numbers_grow(self, data_store: AgentDataStore, clock: Clock) -> None:
        """After a release, after an expiry, and when the record of the lease has expired and was removed."""
        numbers = []
        for pause in (0, 0, 60, 40 * DAY, 0):
            clock.advance(pause)
            with suppress(Exception):
                data_store.purge_expired()
            lease = data_store.lease("work", renew=False)
            numbers.append(lease.number)
            if pause:
                clock.advance(60)
            else:
                lease.release()
        assert numbers == sorted(set(numbers))

    def test_an_expired_lease_is_taken_over(self, store: DataStore, open_store: Opener, clock: Clock) -> None:
        """It is so a tenth of its time after its end, and not before: clocks may differ by as much."""
        first, second, *_ = several(store, open_store)
        lease = first.lease("work", 100, renew=False)
        clock.advance(109)
        with pytest.raises(LeaseHeldError):
            second.lease("work")
        clock.advance(2)
        assert second.lease("work").number > lease.number
        assert not lease.is_held

    @pytest.mark.parametrize("ahead", [-9.9, 9.9])
    def test_clocks_that_differ_by_less_than_a_tenth_do_no_harm(
        self, store: DataStore, open_store: Opener, wrapped: Wrapper, clock: Clock, ahead: float
    ) -> None:
        """Of the time of a lease: two holders never believe at once that they have it."""
        other = _two_stores(store, open_store, wrapped, clock=lambda: clock() + ahead)
        agents = [one.agent("user_1", "agent_1") for one in (store, other)]
        leases = [agents[0].lease("work", 100, renew=False)]
        for moment in range(450):
            clock.advance(1)
            with suppress(LeaseHeldError):
                leases.append(agents[moment % 2].lease("work", 100, renew=False))
                assert sum(lease.is_held for lease in leases) == 1
        assert len(leases) > 3

    def test_a_lease_that_is_renewed_by_hand_goes_on(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It does for as long as it was taken for."""
        lease = data_store.lease("work", timedelta(seconds=100), renew=False)
        for _ in range(5):
            clock.advance(90)
            before = lease.expires_at
            lease.renew()
            assert lease.expires_at > before
        assert lease.expires_at == pytest.approx(datetime.fromtimestamp(clock() + 100, UTC), abs=timedelta(seconds=1))
        lease.data_store.set("key", 1)

    def test_a_lease_that_is_over_stays_over(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Renewing does not bring it back, although nobody else has taken it, and nothing more is written under it."""
        lease = data_store.lease("work", 100, renew=False)
        clock.advance(100)
        for call in (lease.renew, lambda: lease.data_store.set("key", 1)):
            with pytest.raises(LeaseLostError, match="'work'"):
                call()
        clock.advance(-50)
        assert not lease.is_held
        assert data_store.get("key") is None

    def test_nothing_is_asked_of_the_database_without_the_lease(self, wrapped: Wrapper, clock: Clock) -> None:
        """A holder that knows that its lease is over does not try."""

        class Ends(Wrapped):
            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                assert not over, "the database was written to"
                return super().write(writes)

        over = False
        lease = wrapped(Ends).agent("user_1", "agent_1").lease("work", 100, renew=False)
        clock.advance(100)
        over = True
        for name in _REFUSED:
            if name not in _NEW | {"get_or_set", "claim", "find_one_and_update", "update_where", "delete_where", "pop"}:
                with suppress(Exception):
                    CALLS[name](lease.data_store)
        with pytest.raises(LeaseLostError):
            lease.data_store.set("key", 1)
        with pytest.raises(LeaseLostError):
            lease.data_store.set_many({"key": 1})

    def test_renewing_a_lease_that_was_taken_over_says_so(self, late: Late) -> None:
        """From then on the holder knows."""
        with pytest.raises(LeaseLostError, match="another holder"):
            late.first.renew()
        assert not late.first.is_held
        assert late.second.is_held
        late.second.renew()
        assert late.first.release() is False
        assert late.second.release() is True

    def test_releasing_a_lease_that_was_taken_over_leaves_it(self, late: Late, store: DataStore) -> None:
        """It is the other one's."""
        assert late.first.release() is False
        late.second.renew()
        with pytest.raises(LeaseHeldError):
            store.agent("user_1", "third").lease("work")

    def test_of_many_that_take_a_lease_one_gets_it(self, store: DataStore, open_store: Opener) -> None:
        """They come at once, from several stores, round by round; each number is a new one."""
        stores = several(store, open_store)

        def take(data_store: AgentDataStore) -> Lease[AgentDataStore] | None:
            with suppress(LeaseHeldError):
                return data_store.lease("work")
            return None

        numbers = []
        for _ in range(4):
            taken = [lease for lease in race(*[lambda one=one: take(one) for one in stores]) if lease is not None]
            assert len(taken) <= 1
            for lease in taken:
                numbers.append(lease.number)
                lease.release()
        assert numbers == sorted(set(numbers))

    def test_a_lock_waits_for_the_holder(self, store: DataStore, open_store: Opener) -> None:
        """Of those that wait one at a time is in the block, so no increment is lost that is made without conditions."""
        stores = several(store, open_store)

        def count(data_store: AgentDataStore) -> None:
            for _ in range(3):
                with data_store.lock("count", timeout=600) as lease:
                    lease.data_store.set("number", data_store.get("number", 0) + 1)

        race(*[lambda one=one: count(one) for one in stores])
        assert stores[0].get("number") == 3 * len(stores)

    def test_a_lock_waits_within_its_bound(self, data_store: AgentDataStore) -> None:
        """Then it raises, and the block does not begin."""
        with data_store.lease("work"):
            for timeout in (0, 0.05, timedelta(milliseconds=10)):
                with pytest.raises(LeaseHeldError), data_store.lock("work", timeout=timeout):
                    raise AssertionError("the block began")
        with data_store.lock("work", timeout=0) as lease:
            assert lease.is_held

    def test_a_lock_is_for_one_block(self, data_store: AgentDataStore) -> None:
        """It can be used again when the block has ended, but not within it."""
        lock = data_store.lock("work")
        for _ in range(2):
            with lock as lease:
                assert lease.is_held
                with pytest.raises(ReentrantCallError):
                    lock.__enter__()
            assert not lease.is_held

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("",), InvalidNameError),
            (("n" * 513,), InvalidNameError),
            ((1,), InvalidNameError),
            (("\ud800",), InvalidNameError),
            (("work", 0), InvalidValueError),
            (("work", -1), InvalidValueError),
            (("work", float("nan")), InvalidValueError),
            (("work", "soon"), InvalidValueError),
            (("work", DAY + 1), InvalidValueError),
            (("work", None), InvalidValueError),
        ],
    )
    def test_bad_arguments_are_refused(self, wrapped: Wrapper, arguments: tuple[Any, ...], error: type) -> None:
        """They are before any request, and so is a waiting time that is none."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(error, match="name" if error is InvalidNameError else "ttl"):
            data_store.lease(*arguments)
        name, *ttl = arguments
        with pytest.raises(error):
            data_store.lock(name, **({"ttl": ttl[0]} if ttl else {}))
        with pytest.raises(InvalidValueError, match="timeout"):
            data_store.lock("work", timeout=-1)
        with pytest.raises(InvalidValueError, match="renew"):
            data_store.lease("work", renew="yes")  # type: ignore[arg-type]  # that is what is refused

    def test_leases_are_not_records(self, data_store: AgentDataStore) -> None:
        """No listing shows them, and clearing a namespace ends none."""
        with data_store.lease("work") as lease:
            assert data_store.list_namespaces() == []
            assert data_store.count() == data_store.clear() == 0
            lease.renew()

    def test_an_agent_without_a_grant_takes_no_lease(self, store: DataStore) -> None:
        """A lease is for writing, so it needs the grant to write."""
        agent = store.agent("user_1", "limited", grants={"mine": "write", "shared": "read"}, namespace="mine")
        agent.lease("work").release()
        for call in (
            agent.use_namespace("shared").lease,
            lambda name: agent.use_namespace("shared").lock(name).__enter__(),
        ):
            with pytest.raises(PermissionDeniedError):
                call("work")

    def test_the_store_of_a_lease_has_the_same_limits(self, store: DataStore) -> None:
        """Grants and quota of the agent hold for what it writes under a lease."""
        grants = {"mine": "write", "shared": "read"}
        agent = store.agent("user_1", "limited", grants=grants, namespace="mine", quota=Quota(records=2))  # type: ignore[arg-type]  # a Grant is a literal
        with agent.lease("work") as lease:
            lease.data_store.set_many({"a": 1, "b": 2})
            with pytest.raises(QuotaExceededError):
                lease.data_store.set("c", 3)
            assert lease.data_store.delete("a")
            lease.data_store.set("c", 3)
            assert lease.data_store.clear() == 2
            with pytest.raises(PermissionDeniedError):
                lease.data_store.use_namespace("shared").set("a", 1)
            assert (lease.data_store.user_id, lease.data_store.agent) == ("user_1", "limited")

    # ----------------------------------------------------------------------------------------- what is not written

    @pytest.mark.parametrize("name", _REFUSED)
    def test_a_late_holder_changes_nothing(self, late: Late, name: str) -> None:
        """Each call that writes is refused where the next holder has written, and nothing has changed."""
        current = late.current
        current.set_many(_RECORDS)
        current.set("new", 1)
        if name in _NEW:
            current.delete_many(["new", "key"])
        before = current.get_all()
        with pytest.raises(LeaseLostError):
            CALLS[name](late.stale)
        assert current.get_all() == before
        assert not late.first.is_held

    def test_a_late_holder_changes_nothing_in_other_namespaces(self, late: Late) -> None:
        """``use_namespace``, ``vault`` and ``key_value`` of the store write under the lease as well."""
        calls: list[Callable[[AgentDataStore], object]] = [
            lambda one: one.use_namespace("other").set("key", one.agent),
            lambda one: one.vault.store("books", {"by": one.agent}, "key"),
            lambda one: one.key_value.insert("key", one.agent),
        ]
        for call in calls:
            call(late.current)
        for call in calls:
            with pytest.raises(LeaseLostError):
                call(late.late_again())
        assert late.current.use_namespace("other").get("key") == "second"
        assert (late.current.vault.retrieve("books", "key") or {})["by"] == "second"
        assert late.current.key_value.retrieve("key") == "second"

    def test_a_late_holder_may_write_what_nobody_else_has(self, late: Late) -> None:
        """A record is guarded by those that wrote it: one that the next holder has not touched is not."""
        late.stale.set("untouched", 1)
        late.current.set("untouched", 2)
        with pytest.raises(LeaseLostError):
            late.stale.set("untouched", 3)
        assert late.current.get("untouched") == 2

    @pytest.mark.parametrize("between", ["nothing", "others", "a trim", "all trimmed", "several"])
    def test_a_late_holder_appends_to_no_log_that_the_next_one_has_appended_to(
        self, late: Late, data_store: AgentDataStore, between: str
    ) -> None:
        """A new entry has nothing to compare; but each one remembers what the ones before it did."""
        late.stale.log("log").append("first")
        late.current.log("log").append(*(["second"] if between != "several" else ["second", "third"]))
        if between == "others":
            for number in range(3):
                data_store.log("log").append(number)
        elif between != "nothing":
            data_store.log("log").trim(before=3 if between == "all trimmed" else 2)
        kept = data_store.log("log").read()
        with pytest.raises(LeaseLostError):
            late.stale.log("log").append("late")
        assert not late.first.is_held
        with pytest.raises(LeaseLostError):
            late.late_again().log("log").append("late", "and more")
        with pytest.raises(LeaseLostError):
            late.late_again().log("log").trim(before=100)
        assert data_store.log("log").read() == kept
        number = late.current.log("log").append("goes on")
        assert number == 3 + 3 * (between == "others") + (between == "several")
        with data_store.lease("other") as other:
            assert other.data_store.log("log").append("another lease") == number + 1
        with pytest.raises(LeaseLostError):
            late.late_again().log("log").append("late")

    def test_a_late_holder_neither_replaces_nor_deletes_a_blob_of_the_next_one(self, late: Late) -> None:
        """The head is fenced, as any record; what was put in vain is no blob."""
        stale = late.stale
        stale.blobs.put("blob", b"first")
        late.current.blobs.put("blob", b"second")
        with pytest.raises(LeaseLostError):
            stale.blobs.put("blob", b"late")
        with pytest.raises(LeaseLostError) as known:
            stale.blobs.put("blob", b"later")
        assert known.value.message.count("Take the lease again") == 1
        with pytest.raises(LeaseLostError):
            late.late_again().blobs.delete("blob")
        assert late.current.blobs.get("blob") == b"second"
        assert late.current.blobs.delete("blob")
        with pytest.raises(LeaseLostError):
            late.late_again().blobs.put("blob", b"late")
        assert late.current.blobs.list() == []

    def test_a_late_holder_appends_to_a_log_that_nobody_else_has(self, late: Late) -> None:
        """As it may write a record; the next holder goes on after that."""
        late.stale.log("log").append("first")
        assert late.current.log("log").append("second") == 2
        assert [entry.value for entry in late.current.log("log").read()] == ["first", "second"]

    def test_other_leases_do_not_matter(self, data_store: AgentDataStore) -> None:
        """Numbers of two leases are not compared, and neither forgets the other's."""
        for _ in range(5):
            data_store.lease("second").release()  # so that its number is higher
        with data_store.lease("first") as first, data_store.lease("second") as second:
            for _ in range(2):
                first.data_store.set("key", 1)
                second.data_store.set("key", 2)
        assert data_store.get("key") == 2

    def test_a_plain_write_keeps_what_a_record_remembers(self, late: Late, data_store: AgentDataStore) -> None:
        """It is never refused itself, and does not let a late holder in."""
        late.current.set("key", 1)
        data_store.set("key", 2, {"a": 1})
        data_store.touch("key", ttl=60)
        data_store.increment("key")
        data_store.set("key", 4, if_revision=data_store.get_record("key").revision)  # type: ignore[union-attr]  # it is there
        with pytest.raises(LeaseLostError):
            late.stale.set("key", 5)
        assert data_store.get("key") == 4

    def test_an_expired_record_remembers(self, late: Late, data_store: AgentDataStore, clock: Clock) -> None:
        """So does the one that is written in its place."""
        late.current.set("key", 1, ttl=3 * DAY)
        data_store.touch("key", ttl=10)
        clock.advance(10)
        with pytest.raises(LeaseLostError):
            late.stale.add("key", 2)
        data_store.add("key", 3)
        with pytest.raises(LeaseLostError):
            late.late_again().set("key", 4)
        assert data_store.get("key") == 3

    def test_a_deleted_record_remembers(self, late: Late, data_store: AgentDataStore) -> None:
        """One that was deleted under a lease is gone for everybody, and yet a late holder cannot make it anew."""
        removals: list[Callable[[AgentDataStore], object]] = [
            lambda one: one.delete("key"),
            lambda one: one.pop("key") == 1,
            lambda one: one.delete_many(["key", "missing"]) == 1,
            lambda one: one.clear() == 1,
        ]
        for remove in removals:
            late.current.set("key", 1, {"secret": True}, ttl=60)
            assert remove(late.current)
            assert not late.current.delete("key")
            assert data_store.get("key") is None
            assert data_store.get_record("key") is None
            assert data_store.count() == 0
            assert data_store.list_namespaces() == []
        with pytest.raises(LeaseLostError):
            late.stale.set("key", 2)
        revision = data_store.add("key", 3)
        record = data_store.get_record("key")
        assert record is not None
        assert (record.value, record.metadata, record.revision) == (3, {}, revision)
        assert (record.created_by_agent, record.access_count) == ("agent_1", 0)

    def test_of_a_batch_a_late_holder_is_told_at_once(self, late: Late) -> None:
        """It raises `LeaseLostError`, and not an outcome for each record."""
        late.current.set("b", 1)
        with pytest.raises(LeaseLostError):
            late.stale.set_many({"a": 0, "b": 0, "c": 0})
        assert late.current.get("b") == 1

    # ------------------------------------------------------------------------------------------------ in between

    def test_a_holder_that_is_overtaken_in_the_middle_of_a_write_is_refused(
        self, store: DataStore, wrapped: Wrapper, clock: Clock
    ) -> None:
        """The check is one step with the write: what is written between the two by the next holder counts."""
        overtakes: list[Callable[[], object]] = []

        class Overtaken(Wrapped):
            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                if overtakes:
                    overtakes.pop()()
                return super().write(writes)

        current = wrapped(Wrapped, clock=_ahead(clock)).agent("user_1", "second")
        stale = wrapped(Overtaken).agent("user_1", "first")
        store.agent("user_1", "third").set("key", 0)
        lease = stale.lease("work", DAY, renew=False)
        lease.data_store.set("key", 1)
        overtakes.append(lambda: current.lease("work", DAY, renew=False).data_store.set("key", 2))
        with pytest.raises(LeaseLostError):
            lease.data_store.increment("key")
        assert current.get("key") == 2

    def test_a_lost_answer_loses_no_lease(self, wrapped: Wrapper) -> None:
        """Taking, renewing, writing and releasing recognise themselves when they are sent again."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        loses.lost = 1
        lease = data_store.lease("work", renew=False)
        for call in (
            lambda: lease.data_store.set("key", 1),
            lambda: lease.data_store.set("key", 2),
            lease.renew,
            lambda: lease.data_store.increment("key"),
            lambda: lease.data_store.touch("key", ttl=60),
        ):
            loses.lost = 1
            call()
        assert data_store.get("key") == 3
        loses.lost = 1
        lease.release()
        data_store.lease("work").release()

    def test_an_outage_is_not_the_end_of_a_lease(self, wrapped: Wrapper) -> None:
        """A renewal that fails is an outage, and the next one succeeds."""
        unsteady, data_store = through(wrapped(Unsteady, retry_seconds=0), Unsteady)
        lease = data_store.lease("work", renew=False)
        unsteady.failures = 1
        with pytest.raises(BackendUnavailableError):
            lease.renew()
        assert lease.is_held
        lease.renew()

    def test_a_lease_is_renewed_in_the_background(self, store: DataStore, wrapped: Wrapper) -> None:
        """All leases of a store are, by one thread, which ends with the store; closing it releases them."""
        renewed = threading.Semaphore(0)

        class Notes(Wrapped):
            def write(self, writes: Sequence[Write]) -> list[Outcome]:
                outcomes = super().write(writes)
                for write in writes:
                    if isinstance(write, Put) and write.namespace == "leases" and write.if_revision:
                        renewed.release()
                return outcomes

        holding = wrapped(Notes)
        leases = [holding.agent("user_1", "agent_1").lease(f"work {number}", 2.0) for number in range(3)]
        for _ in range(6):
            assert renewed.acquire(timeout=60)
        holding.close()
        assert not any(lease.is_held for lease in leases)
        for lease in leases:
            store.agent("user_1", "other").lease(lease.name).release()

    def test_a_stopped_process_is_refused_when_it_goes_on(self, store: DataStore, harness: Harness) -> None:
        """Its lease has expired meanwhile, and another holder has written: nothing of that is written over."""
        if not store.capabilities.shared:
            not_applicable("shared is not declared")
        if not CAN_STOP:
            not_applicable("this system has no SIGSTOP")
        with harness.open() as other, stopped_holder(harness.open, 0.5) as holder:
            said = holder.round(other.agent("user_1", "next"))
        assert (said.error, said.overwritten) == ("LeaseLostError", False)
        assert said.numbers[0] < said.numbers[1]

    # --------------------------------------------------------------------------------------------- the contract

    def test_of_two_numbers_that_write_at_once_the_higher_one_stands(self, backend: Backend) -> None:
        """Whichever comes first: the check is one step with the write."""
        for number in range(1, 2 * ROUNDS, 2):

            def write(number: int) -> list[Outcome]:
                return backend.write([put("key", number)._replace(fence=fence(number))])

            lower, higher = race(*[lambda one=one: write(one) for one in (number, number + 1)])
            assert lower[0].done or is_refused(lower[0])
            assert higher[0].done
            assert stored(backend, "key").value == number + 1

    def test_the_database_refuses_lower_numbers(self, backend: Backend) -> None:
        """Of the same lease, whatever the write; and takes equal and higher ones, and those of other leases."""
        apply(backend, [put("key", 1)._replace(fence=fence(5))])
        for write in (
            put("key", 2)._replace(fence=fence(4)),
            put("key", 2, metadata={"a": 1})._replace(fence=fence(4)),
            put("key", 2, if_absent=True)._replace(fence=fence(4)),
            put("key", 2)._replace(fence=fence(4), keep_expiry=True),
            put("key", 2)._replace(fence=fence(4), if_revision=stored(backend, "key").revision),
            Touch(id_of("key"), at(1), at(60), fence=fence(4)),
            Delete(id_of("key"), at(1), fence=fence(4)),
            Delete(id_of("key"), at(1), if_revision=stored(backend, "key").revision, fence=fence(4)),
        ):
            (outcome,) = backend.write([write])
            assert is_refused(outcome), write
            assert stored(backend, "key").value == 1
        apply(backend, [put("key", 3)._replace(fence=fence(5))])
        apply(backend, [put("key", 4)._replace(fence=fence(1, _OTHER))])
        apply(backend, [put("key", 5)._replace(fence=fence(6))])
        assert is_refused(backend.write([put("key", 6)._replace(fence=fence(0, _OTHER))])[0])
        assert is_refused(backend.write([put("key", 6)._replace(fence=fence(5))])[0])
        assert stored(backend, "key").value == 5

    def test_in_a_batch_each_write_is_refused_alone(self, backend: Backend) -> None:
        """The others are done."""
        apply(backend, [put("a", 1)._replace(fence=fence(5)), put("b", 1), put("gone", 1)._replace(fence=fence(5))])
        outcomes = backend.write(
            [
                put("a", 2)._replace(fence=fence(4)),
                put("b", 2)._replace(fence=fence(4)),
                put("c", 2)._replace(fence=fence(4)),
                Delete(id_of("gone"), at(1), fence=fence(4)),
                put("plain", 2),
            ]
        )
        assert [outcome.done for outcome in outcomes] == [False, True, True, False, True]
        assert [is_refused(outcome) for outcome in outcomes] == [True, False, False, True, False]
        assert (stored(backend, "a").value, stored(backend, "b").value, stored(backend, "gone").value) == (1, 2, 1)

    def test_a_touch_is_remembered(self, backend: Backend) -> None:
        """It changes no revision, and raises the number all the same."""
        apply(backend, [put("key", 1)._replace(fence=fence(1))])
        apply(backend, [Touch(id_of("key"), at(1), at(3_600), fence=fence(3))])
        assert is_refused(backend.write([put("key", 2)._replace(fence=fence(2))])[0])
        apply(backend, [Touch(id_of("key"), at(1), at(3_600), fence=fence(4))])  # the same expiry
        assert is_refused(backend.write([put("key", 2)._replace(fence=fence(3))])[0])

    def test_a_record_remembers_several_leases(self, backend: Backend) -> None:
        """As many as the contract says; the one that wrote longest ago is forgotten for the next."""
        leases = [f"{number:016x}" for number in range(MOST_FENCES + 1)]
        for lease in leases[:-1]:
            apply(backend, [put("key", 1)._replace(fence=fence(5, lease))])
        for lease in leases[:-1]:
            assert is_refused(backend.write([put("key", 2)._replace(fence=fence(4, lease))])[0])
        apply(backend, [put("key", 3)._replace(fence=fence(5, leases[-1]))])
        for lease in leases[1:]:
            assert is_refused(backend.write([put("key", 2)._replace(fence=fence(4, lease))])[0])
        apply(backend, [put("key", 4)._replace(fence=fence(4, leases[0]))])

    def test_a_deleted_document_has_expired_and_holds_nothing(self, backend: Backend) -> None:
        """Its value and its metadata are gone, and it is reclaimed like any that has expired."""
        apply(backend, [put("key", {"secret": 1}, metadata={"secret": 1})._replace(fence=fence(5))])
        apply(backend, [Delete(id_of("key"), at(1), fence=fence(5))])
        found: Document | None = read(backend, [id_of("key")], Fields.ALL).get(id_of("key"))
        if found is not None:
            assert (found.value, found.metadata) == (None, {})
            assert found.expires_at is not None
            assert found.expires_at < at(-DAY * 10_000)
        (outcome,) = backend.write([Delete(id_of("key"), at(2), fence=fence(6))])
        assert (outcome.done, outcome.error) == (False, None)
        if backend.capabilities.supports("purge"):
            assert backend.purge(at(2)) == 1
            assert read(backend, [id_of("key")]) == {}

    def test_a_move_keeps_no_numbers(self, late: Late, store: DataStore, tmp_path: Any) -> None:
        """No holder of the one store can write to the other, so there is nobody whom they would keep out."""
        import datastore

        if not store.capabilities.supports("all_documents"):
            not_applicable("the backend does not have 'all_documents'")
        late.current.set("key", 1)
        with datastore.connect("memory://") as target:
            assert copy(store, target).written == 1
            target.agent("user_1", "agent").lease("work").data_store.set("key", 2)

    def test_a_move_leaves_out_what_was_deleted_under_a_lease(self, late: Late, store: DataStore) -> None:
        """What remembers the number is a sound record that has expired: no copy takes it for a damaged one."""
        import datastore

        if not store.capabilities.supports("all_documents"):
            not_applicable("the backend does not have 'all_documents'")
        late.current.set("key", 1)
        late.current.delete("key")
        with datastore.connect("memory://") as target:
            report = copy(store, target)
            assert (report.complete, report.written, report.problems) == (True, 0, [])
