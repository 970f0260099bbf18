"""Transient failures: when a network makes single calls fail, they are repeated, but applied only once."""

from __future__ import annotations

from typing import TypeVar

import pytest

from datastore import (
    AgentDataStore,
    BackendUnavailableError,
    BatchError,
    ConflictError,
    DataStore,
    KeyExistsError,
    ThrottledError,
)
from datastore.backend import Backend
from datastore.conformance.calls import CALLS, Call
from datastore.conformance.faults import LosesAnswers, Throttles, Unsteady, backend_of
from datastore.conformance.topic import Topic, Wrapper
from datastore.conformance.topics.records import record_of

T = TypeVar("T", bound=Backend)


def through(store: DataStore, kind: type[T]) -> tuple[T, AgentDataStore]:
    """Return the wrapper that a store works through, and an agent's store."""
    wrapper = backend_of(store)
    assert isinstance(wrapper, kind)
    return wrapper, store.agent("user_1", "agent_1")


class Retries(Topic):
    """The real backend behind a network that fails now and then."""

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
    def test_a_call_gets_over_a_short_failure(self, wrapped: Wrapper, call: Call) -> None:
        """Its first request is refused, and its second one is not."""
        unsteady, data_store = through(wrapped(Unsteady), Unsteady)
        data_store.set_many({"key": 1, "other": 2, "list": [], "object": {}})
        unsteady.failures = 1
        call(data_store)
        assert unsteady.failures == 0, "the call made no request"

    def test_a_failure_that_lasts_is_reported(self, wrapped: Wrapper) -> None:
        """The error comes after the allowed time, and says what was attempted and where."""
        unsteady, data_store = through(wrapped(Unsteady, retry_seconds=0), Unsteady)
        unsteady.failures = 1
        with pytest.raises(BackendUnavailableError, match="key") as caught:
            data_store.get("key")
        assert caught.value.retryable
        assert caught.value.backend == unsteady.name

    def test_add_recognises_its_own_record(self, wrapped: Wrapper) -> None:
        """The record was written and the answer was lost. This is not a ``KeyExistsError``."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        loses.lost = 1
        revision = data_store.add("key", 1)
        assert record_of(data_store).revision == revision
        with pytest.raises(KeyExistsError):
            data_store.add("key", 2)

    def test_a_conditional_set_recognises_its_own_write(self, wrapped: Wrapper) -> None:
        """It does not conflict with itself, but it still conflicts with others."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        old = data_store.set("key", 1)
        loses.lost = 1
        revision = data_store.set("key", 2, if_revision=old)
        assert record_of(data_store).revision == revision
        loses.lost = 1
        with pytest.raises(ConflictError) as caught:
            data_store.set("key", 3, if_revision=old)
        assert caught.value.revision == revision

    def test_increment_adds_once(self, wrapped: Wrapper) -> None:
        """It does so however often its answers are lost, and so does ``append``."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        for expected in (1, 2, 3):
            loses.lost = 2
            assert data_store.increment("key") == expected
            loses.lost = 1
            assert data_store.append("list", expected) == list(range(1, expected + 1))
        assert data_store.get("key") == 3

    def test_a_set_whose_answer_is_lost_stands(self, wrapped: Wrapper) -> None:
        """It is stored once, with its metadata, both alone and in a batch."""
        loses, data_store = through(wrapped(LosesAnswers), LosesAnswers)
        loses.lost = 1
        data_store.set("key", 1, {"a": 1, "b": None})
        loses.lost = 1
        assert data_store.set_many({"key": 2, "other": 2}, {"c": 3}) == 2
        assert data_store.get_all() == {"key": 2, "other": 2}
        assert record_of(data_store).metadata == {"a": 1, "c": 3}

    def test_a_throttled_batch_completes(self, wrapped: Wrapper) -> None:
        """Only the writes that were refused are sent again."""
        items = {f"key {number}": number for number in range(60)}
        throttled = [f"key {number}" for number in range(0, 60, 3)]
        store = wrapped(Throttles.each(throttled, times=2))
        data_store = store.agent("user_1", "agent_1")
        assert data_store.set_many(items) == 60
        assert data_store.get_many(items) == items

    def test_a_throttled_write_completes(self, wrapped: Wrapper) -> None:
        """This holds for a single write too."""
        data_store = wrapped(Throttles.each(["key"], times=2)).agent("user_1", "agent_1")
        data_store.set("key", 1)
        assert data_store.get("key") == 1

    def test_a_batch_that_is_throttled_for_ever_names_what_is_not_done(self, wrapped: Wrapper) -> None:
        """Each key has an outcome, and the other records are stored."""
        items = {f"key {number}": number for number in range(60)}
        throttled = [f"key {number}" for number in range(0, 60, 3)]
        data_store = wrapped(Throttles.each(throttled), retry_seconds=0.05).agent("user_1", "agent_1")
        with pytest.raises(BatchError) as caught:
            data_store.set_many(items)
        assert set(caught.value.outcomes) == set(items)
        assert list(caught.value.failed) == throttled
        assert all(isinstance(error, ThrottledError) for error in caught.value.failed.values())
        done = {key: number for key, number in items.items() if key not in throttled}
        assert caught.value.succeeded == list(done)
        assert data_store.get_all() == dict(sorted(done.items()))

    def test_a_write_that_is_throttled_for_ever_says_so(self, wrapped: Wrapper) -> None:
        """The error says so, and the write is not done."""
        data_store = wrapped(Throttles.each(["key"]), retry_seconds=0.05).agent("user_1", "agent_1")
        with pytest.raises(ThrottledError):
            data_store.set("key", 1)
        assert not data_store.exists("key")

    def test_a_batch_that_breaks_off_names_what_is_not_done(self, wrapped: Wrapper) -> None:
        """The database goes away between two requests of one call."""

        class BreaksOff(Unsteady):
            requests = 0

            def _check(self) -> None:
                self.requests += 1
                if self.requests > 1:
                    raise BackendUnavailableError("the connection was refused")

        size = wrapped(Unsteady).capabilities.write_batch
        items = {f"key {number}": number for number in range(size + 2)}
        data_store = wrapped(BreaksOff, retry_seconds=0).agent("user_1", "agent_1")
        with pytest.raises(BatchError) as caught:
            data_store.set_many(items)
        assert caught.value.succeeded == list(items)[:size]
        assert list(caught.value.failed) == list(items)[size:]
        assert wrapped(Unsteady).agent("user_1", "agent_1").count() == size
