"""The shelf's adapter with one fault at a time, each of which was seen in a product. The kit must find them all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from datastore import BackendUnavailableError, ValueTooLargeError
from datastore.adapters.changes import Applied, Change, Late, Result
from datastore.adapters.knowledge import Known
from datastore.adapters.remembering import MARK_LENGTH
from datastore.backend import Access, Delete, Document, DocumentPage, Fields, IdRange, Outcome, Put, Write
from datastore.fences import GONE
from datastore.ids import decode_id
from datastore.values import decode, encode, merge_metadata
from tests.third_party.shelf import Row, ShelfBackend


class LosesTheCreator(ShelfBackend):
    """An overwrite makes the overwriting agent the creator."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and isinstance(change.write, Put):
            row["createdByAgent"] = change.write.agent
        return row


class CapsLists(ShelfBackend):
    """A listing ends at ten thousand, and does not say so."""

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        ids = self._shelf.list(range.start, range.end)
        page = super().scan(range, fields, limit, after, reverse)
        return page._replace(after=None) if page.after and ids.index(page.after) >= 10_000 - 1 else page


class LeavesOutTheLast(ShelfBackend):
    """A listing in order leaves out the newest of several documents: it reads an index that is built later.

    Backward it is there: otherwise nobody who adds to a list ever finds its end, and tries until the time is over.
    """

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        page = super().scan(range, fields, limit, after, reverse)
        return page if reverse or len(page.documents) < 2 else page._replace(documents=page.documents[:-1])


class KeepsTheRevision(ShelfBackend):
    """A record keeps its first revision when it is replaced."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        there = self.read([write.id for write in writes], Fields.VALUE)
        return super().write([
            write._replace(revision=there[write.id].revision) if isinstance(write, Put) and write.id in there else write
            for write in writes
        ])  # fmt: skip


class JoinsWithAColon(ShelfBackend):
    """The id is taken apart and joined again, without encoding."""

    def _place(self, id: str) -> str:
        return ":".join(decode_id(id))


class CountsByRewriting(ShelfBackend):
    """An access is counted by reading the document, and writing the whole of it back a moment later."""

    def record_access(self, accesses: Sequence[Access]) -> None:
        for access in accesses:
            known = self.load([access.id], metadata=True, value=True).get(access.id)
            if known is not None and known.created_at == access.created_at:
                time.sleep(0.0005)  # the way to a server and back
                now = self._shelf.get([access.id]).get(access.id, (None,))[0]
                count = known.access_count + access.number
                after = known._replace(access_count=count, last_accessed_at=access.at)
                after = after._replace(last_accessed_by_agent=access.agent)
                self._shelf.replace(access.id, now, self._row(Change(access, known, after, None)))


class TakesAnOutageForMissing(ShelfBackend):
    """What cannot be read is reported as not there."""

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        try:
            return super().load(ids, metadata=metadata, value=value)
        except BackendUnavailableError:
            return {}

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        try:
            return super().scan(range, fields, limit, after, reverse)
        except BackendUnavailableError:
            return DocumentPage([], None)


class MergesMetadataDeeply(ShelfBackend):
    """A nested object keeps fields that were to go."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and isinstance(change.write, Put) and change.live:
            before = decode(change.over.metadata)
            merged = {
                name: {**before[name], **value}
                if isinstance(value, dict) and isinstance(before.get(name), dict)
                else value
                for name, value in decode(row["metadata"]).items()
            }
            row["metadata"] = encode(merged)
        return row


class ReplacesMetadata(ShelfBackend):
    """What was said before is forgotten."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and isinstance(change.write, Put):
            row["metadata"] = encode(merge_metadata({}, change.write.metadata or {}))
        return row


class HandsOutItsOwnObjects(ShelfBackend):
    """What is stored is the caller's object, and so is what is read."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and change.document is not None:
            row["value"] = change.document.value
        return row

    def _value(self, row: Row) -> Any:
        return row["value"]


class ChecksBeforeItWrites(ShelfBackend):
    """A precondition is checked in one step, and the write done in another."""

    def _swap(self, change: Change) -> Result:
        name = self._place(change.id)
        if self._shelf.get([name]).get(name, (None,))[0] != change.token:
            return Late()
        time.sleep(0.0005)  # the way to a server and back
        now = self._shelf.get([name]).get(name, (None,))[0]
        version = self._shelf.replace(name, now, self._row(change))
        return Late() if version is None else Applied(version)


class BringsBackTheDeleted(ShelfBackend):
    """Counting is an upsert."""

    def record_access(self, accesses: Sequence[Access]) -> None:
        found = self.load([access.id for access in accesses], metadata=False, value=False)
        for access in accesses:
            if access.id not in found:
                name = decode_id(access.id)
                self.write(
                    [Put(access.id, *name, None, "null", None, access.agent, access.created_at, "counted", None)]
                )
        super().record_access(accesses)


class KnowsTheLastWriteAlone(ShelfBackend):
    """A write whose answer was lost is done again if another one has come in between."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        return row and row | {"recentWrites": row["recentWrites"][:MARK_LENGTH]}


class KeepsTheExpired(ShelfBackend):
    """Writing over an expired document goes on with its creator, its metadata and its count."""

    def _known(self, version: int, row: Row) -> Known:
        return super()._known(version, row)._replace(expires_at=None)


class ScansFromTheCursor(ShelfBackend):
    """A page begins with the document that the page before it ended with."""

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        page = super().scan(range, fields, limit, after, reverse)
        if after is None or not self.read([after], fields):
            return page
        again = self.read([after], fields)[after]
        return page._replace(documents=[again, *page.documents])


class ListsForwardAlways(ShelfBackend):
    """The direction of a listing is not looked at."""

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        return super().scan(range, fields, limit, after)


class ReversesPages(ShelfBackend):
    """A page is read forward and then turned around."""

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        page = super().scan(range, fields, limit, after)
        return page._replace(documents=page.documents[::-1]) if reverse else page


class TurnsFloatsIntoIntegers(ShelfBackend):
    """Numbers go through JavaScript."""

    def _value(self, row: Row) -> Any:
        return _through_javascript(super()._value(row))


class LosesPrototypes(ShelfBackend):
    """Maps are kept as JavaScript's objects."""

    def _value(self, row: Row) -> Any:
        return _without_prototypes(super()._value(row))


class ReportsAFailureAsDone(ShelfBackend):
    """The outcome of each item is not looked at."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = super().write(writes)
        return [Outcome(True) if isinstance(outcome.error, ValueTooLargeError) else outcome for outcome in outcomes]


class CountsForTheSuccessor(ShelfBackend):
    """Accesses are counted for whatever document stands under the id now."""

    def record_access(self, accesses: Sequence[Access]) -> None:
        found = self.load([access.id for access in accesses], metadata=False, value=False)
        super().record_access(
            [access._replace(created_at=found[access.id].created_at) for access in accesses if access.id in found]
        )


class ForgetsCountsOnOverwrite(ShelfBackend):
    """An overwrite is a new document, but for its creation."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and isinstance(change.write, Put):
            row |= {"accessCount": 0, "lastAccessedByAgent": None, "lastAccessedAt": None}
        return row


class CountsAreNewRevisions(ShelfBackend):
    """Counting an access changes the revision."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        if row is not None and isinstance(change.write, Access):
            row["revision"] += "'"
        return row


class CountsExpiredAsDeleted(ShelfBackend):
    """An expired document counts as removed when it is deleted."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        there = self.load([one.id for one in writes], metadata=False, value=False)
        return [
            Outcome(one.id in there) if isinstance(one, Delete) and one.if_revision is None else outcome
            for one, outcome in zip(writes, super().write(writes), strict=True)
        ]


class HoldsNoLargeValues(ShelfBackend):
    """Values beyond the database's own limit are cut off."""

    def _document(self, row: Row) -> Document:
        document = super()._document(row)
        cut = isinstance(document.value, str) and len(document.value) > 400_000
        return document._replace(value=document.value[:400_000]) if cut else document


def _through_javascript(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_through_javascript(item) for item in value]
    if isinstance(value, dict):
        return {key: _through_javascript(item) for key, item in value.items()}
    return value


def _without_prototypes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_prototypes(item) for name, item in value.items() if name != "__proto__"}
    return [_without_prototypes(item) for item in value] if isinstance(value, list) else value


class IgnoresLeases(ShelfBackend):
    """A write under a lease is a write like any other."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return super().write([write._replace(fence=None) for write in writes])


class ForgetsLeases(ShelfBackend):
    """A plain write takes away what a record remembers of leases."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        return row and row | {"fences": row["fences"] if change.fence is not None else ""}


class RemembersOneLease(ShelfBackend):
    """A record remembers the lease that wrote it last, and no other."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        return row and row | {"fences": row["fences"].partition(" ")[0]}


class LosesTheEndOfALargeBatch(ShelfBackend):
    """What is more than 2 MB of a batch is not stored, and reported as stored."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        room, fitting = 2_000_000, list[Write]()
        for write in writes:
            room -= len(write.json) if isinstance(write, Put) else 0
            if room > 0 or not fitting:
                fitting.append(write)
        return [*super().write(fitting), *[Outcome(True)] * (len(writes) - len(fitting))]


class HandsOverSomeOfMuch(ShelfBackend):
    """A read hands over 2 MB, and leaves out the rest, as if it were not there."""

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        room, found = 2_000_000, dict[str, Document]()
        for id, document in super().read(ids, fields).items():
            if room > 0:
                found[id] = document
            room -= len(encode(document.value)) if fields is not Fields.KEY else 0
        return found


class ComparesLeases(ShelfBackend):
    """The numbers of all leases are compared with each other."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return super().write(
            [
                write if write.fence is None else write._replace(fence=write.fence._replace(lease="0" * 16))
                for write in writes
            ]
        )


class ForgetsDeleted(ShelfBackend):
    """A record that is deleted under a lease is removed, with what it remembers."""

    def _row(self, change: Change) -> Row | None:
        row = super()._row(change)
        return None if row is not None and row["expiresAt"] == GONE else row


class ChecksLeasesBeforeItWrites(ShelfBackend):
    """It looks at what the record remembers, and then writes without the condition."""

    def _swap(self, change: Change) -> Result:
        time.sleep(0.0005)  # the way to a server and back
        found = self._shelf.get([change.id]).get(change.id, (None,))[0]
        version = self._shelf.replace(change.id, found, self._row(change))
        return Late() if version is None else Applied(version)
