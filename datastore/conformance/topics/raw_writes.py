"""The contract of `Backend.write`, tested on the adapter itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from datastore.backend import Backend, Delete, Outcome
from datastore.conformance.documents import apply, at, id_of, is_stored, put, read, stored
from datastore.conformance.samples import METADATA, VALUES, same
from datastore.conformance.topic import Topic, not_applicable
from datastore.errors import ValueTooLargeError


def all_done(outcomes: list[Outcome]) -> bool:
    """Return whether every write was done."""
    return all(outcome.done and outcome.error is None for outcome in outcomes)


class RawWrites(Topic):
    """`Put` and `Delete`, with and without a precondition."""

    def test_each_write_has_an_outcome_in_order(self, backend: Backend) -> None:
        """The batch mixes all kinds of writes."""
        apply(backend, [put("there", 1), put("gone", 1), put("kept", 1, revision="current")])
        outcomes = apply(
            backend,
            [
                put("new", 2),
                Delete(id_of("gone"), at(1)),
                put("kept", 2, if_revision="stale"),
                Delete(id_of("missing"), at(1)),
                put("there", 2, if_absent=True),
                put("there too", 2, if_absent=True),
            ],
        )
        assert [outcome.done for outcome in outcomes] == [True, True, False, False, False, True]
        assert [outcome.error for outcome in outcomes] == [None] * 6
        assert outcomes[2].revision == "current"
        assert [is_stored(backend, key) for key in ("new", "gone", "there too")] == [True, False, True]
        assert (stored(backend, "there").value, stored(backend, "kept").value) == (1, 1)

    def test_a_batch_is_as_large_as_declared(self, backend: Backend) -> None:
        """One call takes ``capabilities.write_batch`` writes: of new documents, of known ones, and deletes."""
        number = backend.capabilities.write_batch
        for value in (1, 2):
            outcomes = backend.write([put(f"key {n}", value, metadata={"v": value}) for n in range(number)])
            assert all_done(outcomes)
            assert len(outcomes) == number
        found = read(backend, [id_of(f"key {n}") for n in range(number)])
        assert {(document.value, document.created_at) for document in found.values()} == {(2, at(0))}
        assert len(found) == number
        outcomes = backend.write([Delete(id_of(f"key {n}"), at(1)) for n in range(number)])
        assert [outcome.done for outcome in outcomes] == [True] * number

    def test_a_put_over_a_live_document_keeps_its_creation_and_accesses(self, backend: Backend) -> None:
        """It replaces the value, the expiry, the revision and the time of the update."""
        apply(backend, [put("key", 1, agent="creator", metadata={"a": 1}, expires_at=at(60))])
        again = put("key", 2, agent="changer", metadata={"b": 2}, at=at(10), expires_at=at(90))
        assert all_done(apply(backend, [again]))
        document = stored(backend, "key")
        assert (document.created_by_agent, document.created_at) == ("creator", at(0))
        assert (document.value, document.metadata) == (2, {"a": 1, "b": 2})
        assert (document.updated_at, document.expires_at, document.revision) == (at(10), at(90), again.revision)

    @pytest.mark.parametrize("expired", [60, 10], ids=["long-ago", "at-this-moment"])
    def test_a_put_over_an_expired_document_replaces_it_whole(self, backend: Backend, expired: int) -> None:
        """It is as if there had been no document. One that expires at the moment of the write has expired."""
        conditions: list[dict[str, Any]] = [{}, {"if_absent": True}]
        for number, condition in enumerate(conditions):
            key = f"key {number}"
            apply(backend, [put(key, 1, agent="old", metadata={"a": 1}, expires_at=at(10))])
            again = put(key, 2, agent="new", metadata={"b": 2}, at=at(expired), **condition)
            assert all_done(apply(backend, [again]))
            document = stored(backend, key)
            assert (document.created_by_agent, document.created_at) == ("new", at(expired))
            assert (document.value, document.metadata, document.expires_at) == (2, {"b": 2}, None)

    def test_a_put_over_an_expired_document_in_a_batch_replaces_it_whole(self, backend: Backend) -> None:
        """Live and new documents are in the same batch."""
        apply(backend, [put(key, 1, agent="old", metadata={"a": 1}, expires_at=at(10)) for key in ("x", "y")])
        apply(backend, [put("live", 1, agent="old", metadata={"a": 1})])
        outcomes = apply(backend, [put(key, 2, agent="new", at=at(20)) for key in ("new", "x", "live", "y")])
        assert all_done(outcomes)
        for key, agent, metadata in (("x", "new", {}), ("y", "new", {}), ("new", "new", {}), ("live", "old", {"a": 1})):
            document = stored(backend, key)
            assert (document.value, document.created_by_agent, document.metadata or {}) == (2, agent, metadata), key

    def test_a_put_that_needs_absence_leaves_a_live_document(self, backend: Backend) -> None:
        """The outcome has its revision."""
        first = put("key", 1)
        apply(backend, [first])
        before = stored(backend, "key")
        assert apply(backend, [put("key", 2, metadata={"a": 1}, if_absent=True)]) == [Outcome(False, first.revision)]
        assert stored(backend, "key") == before

    def test_a_put_at_a_revision_needs_that_revision(self, backend: Backend) -> None:
        """The document must be live: a missing or expired one has no revision."""
        first = put("key", 1)
        apply(backend, [first, put("expired", 1, revision="stale", expires_at=at(10))])
        assert apply(backend, [put("key", 2, if_revision="stale")]) == [Outcome(False, first.revision)]
        assert apply(backend, [put("missing", 2, if_revision="stale")]) == [Outcome(False, None)]
        assert apply(backend, [put("expired", 2, at=at(10), if_revision="stale")]) == [Outcome(False, None)]
        assert stored(backend, "key").value == 1
        assert not is_stored(backend, "missing")
        second = put("key", 2, metadata={"a": 1}, at=at(1), if_revision=first.revision)
        assert all_done(apply(backend, [second]))
        document = stored(backend, "key")
        assert (document.value, document.metadata, document.revision) == (2, {"a": 1}, second.revision)
        assert (document.created_at, document.updated_at) == (at(0), at(1))

    def test_the_same_put_twice_is_harmless(self, backend: Backend) -> None:
        """The store repeats it if an answer was lost. A failed precondition then names the write's own revision."""
        apply(backend, [put("at revision", 0, revision="first")])
        writes = [
            put("plain", 1, metadata={"a": 1, "b": None}),
            put("new", 1, if_absent=True),
            put("at revision", 1, if_revision="first"),
        ]
        for one in writes:
            assert all_done(apply(backend, [one]))
            before = stored(backend, one.key)
            (outcome,) = apply(backend, [one])
            assert outcome.done or outcome.revision == one.revision, one.key
            assert stored(backend, one.key) == before

    @pytest.mark.parametrize("kind", ["plain", "new", "at revision"])
    def test_a_repeated_put_knows_itself_after_others_have_written(self, backend: Backend, kind: str) -> None:
        """Fewer than ``remembered_writes`` writes may come in between. Their values stay, and the put is done."""
        remembered = backend.capabilities.remembered_writes
        if not remembered:
            not_applicable("answers of this database cannot be lost")
        assert remembered >= 8
        conditions: dict[str, dict[str, Any]] = {
            "plain": {"metadata": {"a": 1}},
            "new": {"if_absent": True},
            "at revision": {"if_revision": "first"},
        }
        if kind != "new":
            apply(backend, [put("key", 0, revision="first")])
        mine = put("key", "mine", **conditions[kind])
        assert all_done(apply(backend, [mine]))
        for number in range(remembered - 1):
            assert all_done(apply(backend, [put("key", number, metadata={"b": number}, at=at(number))]))
            before = stored(backend, "key")
            assert all_done(apply(backend, [mine]))
            assert stored(backend, "key") == before

    def test_a_put_that_was_refused_is_not_taken_for_done(self, backend: Backend) -> None:
        """However often it is sent, and whether it needs another revision or the absence of a record."""
        apply(backend, [put("key", 0, revision="first")])
        late, never = put("key", 1, if_revision="other"), put("key", 1, if_absent=True)
        for _ in range(3):
            for write in (late, never):
                (outcome,) = apply(backend, [write])
                assert not outcome.done
            apply(backend, [put("key", 2)])
        assert stored(backend, "key").value == 2

    def test_a_new_record_knows_nothing_of_the_one_before(self, backend: Backend) -> None:
        """A record that was deleted or has expired loses its memory, so that the same put is then a new write."""
        one = put("key", 1, expires_at=at(10))
        apply(backend, [one])
        apply(backend, [Delete(one.id, at(5))])
        assert all_done(apply(backend, [one._replace(at=at(6))]))
        assert stored(backend, "key").value == 1
        assert all_done(apply(backend, [put("key", 2, at=at(10))]))
        assert stored(backend, "key").value == 2

    def test_a_delete_says_whether_it_removed_a_live_document(self, backend: Backend) -> None:
        """It also removes an expired document, which does not count."""
        apply(backend, [put("live", 1, expires_at=at(20)), put("expired", 1, expires_at=at(10))])
        outcomes = apply(backend, [Delete(id_of(key), at(10)) for key in ("live", "expired", "missing")])
        assert [outcome.done for outcome in outcomes] == [True, False, False]
        assert [outcome.error for outcome in outcomes] == [None] * 3
        assert not is_stored(backend, "live")
        assert not is_stored(backend, "expired")

    def test_a_delete_at_a_revision_needs_that_revision(self, backend: Backend) -> None:
        """The document must be live."""
        apply(backend, [put("key", 1, revision="current"), put("expired", 1, revision="stale", expires_at=at(10))])
        assert apply(backend, [Delete(id_of("key"), at(10), "stale")]) == [Outcome(False, "current")]
        assert apply(backend, [Delete(id_of("expired"), at(10), "stale")]) == [Outcome(False, None)]
        assert apply(backend, [Delete(id_of("missing"), at(10), "stale")]) == [Outcome(False, None)]
        assert stored(backend, "key").value == 1
        assert all_done(apply(backend, [Delete(id_of("key"), at(10), "current")]))
        assert not is_stored(backend, "key")

    def test_a_write_changes_nothing_that_it_was_given(self, backend: Backend) -> None:
        """The data belongs to the caller."""
        value, metadata = copy.deepcopy(VALUES), copy.deepcopy(METADATA)
        one = put("key", value, metadata=metadata)
        apply(backend, [one])
        apply(backend, [one._replace(metadata={"source": None})])
        assert same(value, VALUES)
        assert same(metadata, METADATA)

    def test_a_write_keeps_nothing_that_it_was_given(self, backend: Backend) -> None:
        """If the caller changes the data later, what is stored does not change."""
        value, metadata = {"a": [1]}, {"tags": ["a"]}
        apply(backend, [put("key", value, metadata=metadata)])
        value["a"].append(2)
        metadata["tags"].append("b")
        document = stored(backend, "key")
        assert (document.value, document.metadata) == ({"a": [1]}, {"tags": ["a"]})

    def test_tuples_are_stored_as_arrays(self, backend: Backend) -> None:
        """A checked value may still hold tuples, at any depth."""
        apply(backend, [put("key", (1, {"a": (2, ())}), metadata={"t": (1, (2,))})])
        document = stored(backend, "key")
        assert same(document.value, [1, {"a": [2, []]}])
        assert same(document.metadata, {"t": [1, [2]]})

    def test_a_result_of_merged_metadata_that_is_too_large_fails_its_write_alone(self, backend: Backend) -> None:
        """Its outcome has an error that is not retryable. The other writes are done."""
        apply(backend, [put("full", 1, metadata={"a": "x" * 10_000})])
        writes = [put(key, 2, metadata={"b": "x" * 10_000}) for key in ("before", "full", "behind")]
        before, full, behind = apply(backend, writes)
        assert before.done
        assert behind.done
        assert not full.done
        assert isinstance(full.error, ValueTooLargeError)
        assert not full.error.retryable
        assert (stored(backend, "full").value, stored(backend, "full").metadata) == (1, {"a": "x" * 10_000})
