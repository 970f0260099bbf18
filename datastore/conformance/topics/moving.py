"""Moving: all documents are read, and written whole with their provenance."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import datastore
from datastore import AgentDataStore, DataStore, Quota, UnsupportedError
from datastore.backend import Backend, Document, Fields, Outcome, Restore
from datastore.conformance.clock import Clock
from datastore.conformance.documents import apply, at, id_of, put, read
from datastore.conformance.faults import LosesAnswers, Wrapped
from datastore.conformance.samples import METADATA, ODD_NAMES, VALUES, same
from datastore.conformance.topic import Topic, Wrapper, not_applicable
from datastore.ids import decode_id
from datastore.moving import copy, digest_of, export_records, import_records
from datastore.times import format_time
from datastore.values import encode


def mover(backend: Backend) -> Backend:
    """Return the backend. If it cannot move documents, the test does not apply."""
    for ability in ("all_documents", "restore"):
        if not backend.capabilities.supports(ability):
            not_applicable(f"the backend does not have {ability!r}")
    return backend


def document(
    key: str = "key", value: Any = 1, *, user: str = "user", namespace: str = "ns", **changes: Any
) -> Document:
    """Return a document with a history; ``changes`` set other fields of it."""
    return Document(
        id=id_of(key, namespace, user),
        created_at=at(-5_000),
        revision=f"revision of {key}",
        expires_at=None,
        value=value,
        metadata={"source": "elsewhere"},
        created_by_agent="creator",
        updated_at=at(-4_000),
        access_count=7,
        last_accessed_by_agent="reader",
        last_accessed_at=at(-3_000),
        updated_by_agent="writer",
    )._replace(**changes)


def restoring(whole: Document, if_revision: str | None = None, moment: float = 0) -> Restore:
    """Return the `Restore` of a document at a moment."""
    return Restore(whole, *decode_id(whole.id), encode(whole.value), at(moment), if_revision)


def restore(backend: Backend, documents: Sequence[Document]) -> list[Outcome]:
    """Restore documents that do not exist, as many at once as the backend accepts."""
    size = backend.capabilities.write_batch
    items = [restoring(whole) for whole in documents]
    batches = [mover(backend).restore(items[start : start + size]) for start in range(0, len(items), size)]
    return [outcome for batch in batches for outcome in batch]


def everything(backend: Backend, fields: Fields = Fields.ALL, limit: int = 100) -> Iterator[Document]:
    """Yield all documents, page by page."""
    after: str | None = None
    while True:
        page = mover(backend).all_documents(fields, limit, after)
        assert len(page.documents) <= limit
        yield from page.documents
        if page.after is None:
            return
        after = page.after


class Moving(Topic):
    """`Backend.all_documents`, `Backend.restore`."""

    def test_a_restored_document_is_read_back_field_for_field(self, backend: Backend) -> None:
        """It keeps its times, agents, counts and revision."""
        plain, bare = document(), document("bare", access_count=0, last_accessed_by_agent=None, last_accessed_at=None)
        expiring = document("expiring", metadata={}, expires_at=at(60))
        assert restore(backend, [plain, bare, expiring]) == [Outcome(True)] * 3
        found = read(backend, [plain.id, bare.id, expiring.id])
        assert found == {whole.id: whole for whole in (plain, bare, expiring)}

    def test_every_value_and_all_metadata_can_be_restored(self, backend: Backend) -> None:
        """They keep their types, as with `set`."""
        documents = [document(name, value) for name, value in VALUES.items()] + [document("m", 1, metadata=METADATA)]
        assert all(outcome.done for outcome in restore(backend, documents))
        found = read(backend, [whole.id for whole in documents])
        for whole in documents:
            assert same(found[whole.id].value, whole.value), whole.id
            assert same(found[whole.id].metadata, whole.metadata), whole.id

    def test_odd_namespaces_and_keys_can_be_restored_and_listed(self, backend: Backend) -> None:
        """This holds for all of them."""
        documents = [document(name, 1, namespace=name) for name in ODD_NAMES]
        assert all(outcome.done for outcome in restore(backend, documents))
        assert sorted(found.id for found in everything(backend, Fields.KEY)) == sorted(whole.id for whole in documents)

    def test_the_documents_of_odd_users_can_be_restored_and_listed(self, backend: Backend) -> None:
        """None is left out, in whichever order the database has."""
        documents = [document("key", 1, user=name) for name in ODD_NAMES]
        assert all(outcome.done for outcome in restore(backend, documents))
        assert sorted(found.id for found in everything(backend, Fields.KEY)) == sorted(whole.id for whole in documents)

    @pytest.mark.parametrize(
        "named", [{}, {"user_id": "a%b"}, {"user_id": "a%b", "namespace": "c:d"}, {"namespace": "c:d"}]
    )
    def test_what_lies_beside_records_is_moved_with_them(
        self, store: DataStore, backend: Backend, clock: Clock, named: dict[str, str]
    ) -> None:
        """Logs go to another store, to a file and back; accounts, leases and tokens stay where they are."""
        mover(backend)
        agent = store.agent("a%b", "writer", "c:d", quota=Quota(records=100))
        agent.log("events").append("a", "b")
        agent.log("events").append("c")
        agent.log("events").trim(before=2)
        agent.set("key", 1)
        for user, namespace in (("a%b", "other"), ("another", "c:d")):
            store.agent(user, "writer", namespace).log("events").append("other")
        store.tokens.mint("a%b", "writer")
        logs = 2 + ("namespace" not in named) + ("user_id" not in named)
        with (
            datastore.connect("memory://", clock=clock) as there,
            datastore.connect("memory://", clock=clock) as imported,
        ):
            report = copy(store, there, **named)  # type: ignore[arg-type]  # a dict of names
            assert (report.complete, report.written) == (True, 1 + logs)
            file = io.BytesIO()
            assert export_records(there, file, **named).written == 1 + logs  # type: ignore[arg-type]  # a dict of names
            assert (b'"home":"c:d"' in file.getvalue()) is (b'"area":"logs"' in file.getvalue()) is True
            file.seek(0)
            assert import_records(file, imported, **named).written == 1 + logs  # type: ignore[arg-type]  # a dict of names
            assert digest_of(imported) == digest_of(there) == digest_of(store, **named)  # type: ignore[arg-type]  # a dict of names
            log = imported.agent("a%b", "reader", "c:d").log("events")
            assert log.read() == agent.log("events").read()
            assert log.append("d") == 4
            assert copy(imported, store, **named).written == 1  # type: ignore[arg-type]  # a dict of names
            assert [entry.value for entry in agent.log("events").read()] == ["b", "c", "d"]
            assert agent.list_namespaces() == ["c:d"]

    def test_restoring_replaces_only_the_revision_that_was_seen(self, backend: Backend) -> None:
        """Neither an unexpected record nor one that has changed since is lost."""
        old = put("key", "old", revision="r1")
        apply(backend, [old])
        new = document("key", "new")
        for wrong in (None, "r0"):
            assert mover(backend).restore([restoring(new, wrong)]) == [Outcome(False, "r1")]
        assert read(backend, [new.id])[new.id].value == "old"
        assert mover(backend).restore([restoring(new, "r1")]) == [Outcome(True)]
        assert read(backend, [new.id]) == {new.id: new}

    def test_restoring_over_what_is_not_there_says_so(self, backend: Backend) -> None:
        """A missing document does not meet a precondition on a revision."""
        assert mover(backend).restore([restoring(document(), "r1")]) == [Outcome(False, None)]
        assert read(backend, [id_of("key")]) == {}

    def test_restoring_replaces_an_expired_document_whole(self, backend: Backend) -> None:
        """An expired document counts as missing."""
        apply(backend, [put("key", "old", metadata={"old": True}, expires_at=at(10), revision="r1")])
        new = document("key", "new")
        assert mover(backend).restore([restoring(new, "r1", 10)]) == [Outcome(False, None)]
        assert mover(backend).restore([restoring(new, None, 9)]) == [Outcome(False, "r1")]
        assert mover(backend).restore([restoring(new, None, 10)]) == [Outcome(True)]
        assert read(backend, [new.id]) == {new.id: new}

    def test_each_restored_document_has_an_outcome_of_its_own(self, backend: Backend) -> None:
        """The outcomes are in order. A document that may not be written does not stop the others."""
        apply(backend, [put("b", 0, revision="rb"), put("c", 0, revision="rc")])
        items = [restoring(document("a")), restoring(document("b")), restoring(document("c"), "rc")]
        assert mover(backend).restore(items) == [Outcome(True), Outcome(False, "rb"), Outcome(True)]

    def test_restoring_the_same_twice_is_harmless(self, backend: Backend) -> None:
        """The store does this if the first answer was lost."""
        whole = document()
        restore(backend, [whole])
        (outcome,) = mover(backend).restore([restoring(whole)])
        assert outcome.done or outcome.revision == whole.revision
        assert read(backend, [whole.id]) == {whole.id: whole}

    def test_a_restored_record_goes_on_as_any_other(self, data_store: AgentDataStore, backend: Backend) -> None:
        """It is listed, read, counted, changed and deleted."""
        whole = document("plan", {"step": 1}, user="user_1", namespace="default", revision="elsewhere")
        restore(backend, [whole])
        assert data_store.list_keys() == ["plan"]
        assert data_store.list_namespaces() == ["default"]
        assert data_store.get("plan") == {"step": 1}
        data_store.set("plan", 2, {"more": True}, if_revision="elsewhere")
        record = data_store.get_record("plan")
        assert record is not None
        assert (record.created_by_agent, record.access_count) == ("creator", 8)
        assert record.metadata == {"source": "elsewhere", "more": True}
        assert data_store.delete("plan")
        assert not data_store.exists("plan")

    def test_a_restored_record_expires_and_is_counted(
        self, data_store: AgentDataStore, backend: Backend, clock: Clock
    ) -> None:
        """Whatever the backend uses to find expired documents finds it."""
        moment = format_time(clock() + 60)
        restore(
            backend, [document("brief", 1, user="user_1", namespace="default", expires_at=moment), document("other")]
        )
        assert data_store.count() == 1
        clock.advance(60)
        assert data_store.count() == 0
        assert data_store.list_keys() == []
        assert data_store.list_namespaces() == []

    def test_all_documents_of_all_users_are_listed_once(self, backend: Backend) -> None:
        """This holds for pages of any size. They have one order, and can begin after any document."""
        users = ["user", "user2", "other", "é", "🔑", "a:b"]
        puts = [put(f"key {n}", n, user=user, namespace=ns) for user in users for ns in ("a", "b:c") for n in range(9)]
        apply(backend, puts)
        whole = list(everything(backend))
        assert sorted(found.id for found in whole) == sorted(write.id for write in puts)
        assert {found.id: found.value for found in whole} == {write.id: write.value for write in puts}
        assert list(everything(backend, limit=7)) == whole
        for index in (0, 50, len(whole) - 1):
            page = mover(backend).all_documents(Fields.VALUE, 200, whole[index].id)
            assert [found.id for found in page.documents] == [found.id for found in whole[index + 1 :]]

    def test_a_listing_goes_on_behind_a_document_that_is_gone(
        self, data_store: AgentDataStore, backend: Backend
    ) -> None:
        """Somebody may have deleted the last document that was seen."""
        data_store.set_many({f"key {number}": number for number in range(20)})
        whole = list(everything(backend, Fields.KEY))
        data_store.delete(decode_id(whole[9].id).key)
        page = mover(backend).all_documents(Fields.KEY, 200, whole[9].id)
        assert [found.id for found in page.documents] == [found.id for found in whole[10:]]

    def test_a_listing_of_keys_says_what_is_expired(self, backend: Backend) -> None:
        """So expired documents can be hidden."""
        apply(backend, [put("live", 1), put("brief", 1, expires_at=at(10))])
        keys = everything(backend, Fields.KEY)
        assert [decode_id(found.id).key for found in keys if not found.expires_at] == ["live"]

    def test_the_number_of_documents_is_about_right(self, backend: Backend) -> None:
        """It counts the documents of all users, and is meant for a progress bar."""
        apply(backend, [put(f"key {number}", 1, user=user) for user in ("a", "b") for number in range(20)])
        number = mover(backend).document_count()
        assert number is None or 40 <= number < 60

    def test_a_store_copied_there_and_back_is_the_same(self, store: DataStore, backend: Backend, clock: Clock) -> None:
        """It has the same values, metadata, provenance, counts and expiry, and nothing else."""
        mover(backend)
        for user in ("ann", "a:b", "é"):
            for namespace in ("default", "files:x"):
                agent = store.agent(user, "writer", namespace)
                agent.set_many(VALUES, METADATA)
                agent.set("brief", 1, ttl=60)
                agent.set("gone", 1, ttl=1)
        reader = store.agent("ann", "reader")
        reader.get_all()
        clock.advance(2)
        wanted = digest_of(store)
        with (
            datastore.connect("memory://", clock=clock) as other,
            datastore.connect("memory://", clock=clock) as third,
        ):
            there = copy(store, other)
            assert there.complete
            assert there.written == there.verified == 6 * (len(VALUES) + 1)
            assert there.digest == wanted == digest_of(other)
            copy(other, third)
            for user in ("ann", "a:b", "é"):
                for namespace in ("default", "files:x"):
                    store.agent(user, "writer", namespace).clear()
            back = copy(third, store)
            assert back.complete, back.problems
            assert back.written == back.verified == there.written
            assert digest_of(store) == wanted
            again = copy(third, store)
            assert (again.written, again.unchanged) == (0, there.written)

    def test_a_copy_survives_lost_answers(self, store: DataStore, backend: Backend, wrapped: Wrapper) -> None:
        """A write without an answer is recognised, and nothing is written twice."""
        mover(backend)
        with datastore.connect("memory://") as source:
            source.agent("ann", "writer").set_many({f"key {number}": number for number in range(50)})
            sink = wrapped(LosesRestores)
            report = copy(source, sink)
            assert report.complete
            assert report.written == report.verified == 50
            assert digest_of(sink) == digest_of(source)

    def test_without_the_ability_moving_says_so(self, store: DataStore, wrapped: Wrapper) -> None:
        """Nothing else is written instead. One user's records can still be read."""
        store.agent("ann", "writer").set("key", 1)
        without = wrapped(Wrapped)
        with datastore.connect("memory://") as other:
            for source, sink in ((other, without), (without, other)):
                with pytest.raises(UnsupportedError):
                    copy(source, sink)
            assert copy(without, other, user_id="ann").written == 1


class LosesRestores(LosesAnswers):
    """Loses the answer to the first `Backend.restore`."""

    lost = 1

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> Any:
        return mover(self.inner).all_documents(fields, limit, after)

    def document_count(self) -> int | None:
        return mover(self.inner).document_count()

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        outcomes = mover(self.inner).restore(restores)
        if self.lost:
            self.lost -= 1
            raise datastore.BackendUnavailableError("the connection was reset before the answer came")
        return outcomes
