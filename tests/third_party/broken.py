"""The shelf's adapter with one fault each, every one of them seen in a product. The kit must find them all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from datastore import BackendUnavailableError, ValueTooLargeError
from datastore.backend import Access, Delete, Document, DocumentPage, Fields, IdRange, Outcome, Put, Write
from datastore.ids import decode_id
from tests.third_party.shelf import Row, ShelfBackend


class LosesTheCreator(ShelfBackend):
    """An overwrite makes the overwriting agent the creator."""

    def _put(self, rows: dict[str, Row], put: Put) -> Outcome:
        outcome = super()._put(rows, put)
        if outcome.done:
            rows[self._place(put.id)]["createdByAgent"] = put.agent
        return outcome


class CapsLists(ShelfBackend):
    """A listing ends at ten thousand, and does not say so."""

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        with self._transaction() as rows:
            ids = sorted(row["_id"] for row in rows.values() if range.start <= row["_id"] < range.end)
        page = super().scan(range, fields, limit, after)
        return page._replace(after=None) if page.after and ids.index(page.after) >= 10_000 - 1 else page


class JoinsWithAColon(ShelfBackend):
    """The id is taken apart and joined again, without encoding."""

    def _place(self, id: str) -> str:
        return ":".join(decode_id(id))


class CountsByRewriting(ShelfBackend):
    """An access is counted by reading the document, and writing the whole of it back a moment later."""

    def record_access(self, accesses: Sequence[Access]) -> None:
        for access in accesses:
            with self._transaction() as rows:
                row = dict(rows.get(self._place(access.id)) or {})
            if row and row["createdAt"] == access.created_at:
                self._count(row, access)
                time.sleep(0.0005)  # the way to a server and back
                with self._transaction() as rows:
                    rows[self._place(access.id)] = row


class TakesAnOutageForMissing(ShelfBackend):
    """What cannot be read is reported as not there."""

    @contextmanager
    def _transaction(self) -> Iterator[dict[str, Row]]:
        try:
            with super()._transaction() as rows:
                yield rows
        except BackendUnavailableError:
            yield {}


class MergesMetadataDeeply(ShelfBackend):
    """A nested object keeps fields that were to go."""

    def _merge(self, current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        merged = {
            name: {**current[name], **value}
            if isinstance(value, dict) and isinstance(current.get(name), dict)
            else value
            for name, value in changes.items()
        }
        return super()._merge(current, merged)


class ReplacesMetadata(ShelfBackend):
    """What was said before is forgotten."""

    def _merge(self, current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return super()._merge({}, changes)


class HandsOutItsOwnObjects(ShelfBackend):
    """What is stored is the caller's object, and so is what is read."""

    def _stored(self, put: Put) -> Any:
        return put.value

    def _value(self, row: Row) -> Any:
        return row["value"]


class ChecksBeforeItWrites(ShelfBackend):
    """A precondition is checked in one step, and the write done in another."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = []
        for one in writes:
            with self._transaction() as rows:
                checked = self._put(dict(rows), one) if isinstance(one, Put) else self._delete(dict(rows), one)
            if checked.done:
                time.sleep(0.0005)  # the way to a server and back
                if isinstance(one, Put):
                    one = one._replace(if_absent=False, if_revision=None)
                outcomes += super().write([one])
            else:
                outcomes.append(checked)
        return outcomes


class BringsBackTheDeleted(ShelfBackend):
    """Counting is an upsert."""

    def record_access(self, accesses: Sequence[Access]) -> None:
        with self._transaction() as rows:
            for access in accesses:
                if self._place(access.id) not in rows:
                    name = decode_id(access.id)
                    put = Put(access.id, *name, None, "null", None, access.agent, access.created_at, "counted", None)
                    self._put(rows, put)
        super().record_access(accesses)


class KnowsTheLastWriteAlone(ShelfBackend):
    """A write whose answer was lost is done again if another one has come in between."""

    def _knows(self, row: Row, put: Put) -> bool:
        return bool(row["revision"] == put.revision)


class KeepsTheExpired(ShelfBackend):
    """Writing over an expired document goes on with its creator, its metadata and its count."""

    def _put(self, rows: dict[str, Row], put: Put) -> Outcome:
        place = self._place(put.id)
        expired = place in rows and self._live(rows, put.id, put.at) is None
        if expired and put.if_revision is None:
            rows[place] = {**rows[place], "expiresAt": None}
            put = put._replace(if_absent=False)
        return super()._put(rows, put)


class ScansFromTheCursor(ShelfBackend):
    """A page begins with the document that the page before it ended with."""

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        page = super().scan(range, fields, limit, after)
        if after is None or not self.read([after], fields):
            return page
        again = self.read([after], fields)[after]
        return page._replace(documents=[again, *page.documents])


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
        with self._transaction() as rows:
            now = {access.id: rows[access.id]["createdAt"] for access in accesses if access.id in rows}
        super().record_access(
            [access._replace(created_at=now.get(access.id, access.created_at)) for access in accesses]
        )


class ForgetsCountsOnOverwrite(ShelfBackend):
    """An overwrite is a new document, but for its creation."""

    def _put(self, rows: dict[str, Row], put: Put) -> Outcome:
        outcome = super()._put(rows, put)
        if outcome.done:
            rows[self._place(put.id)] |= {"accessCount": 0, "lastAccessedByAgent": None, "lastAccessedAt": None}
        return outcome


class CountsAreNewRevisions(ShelfBackend):
    """Counting an access changes the revision."""

    def _count(self, row: Row, access: Access) -> None:
        super()._count(row, access)
        row["revision"] += "'"


class CountsExpiredAsDeleted(ShelfBackend):
    """An expired document counts as removed when it is deleted."""

    def _delete(self, rows: dict[str, Row], delete: Delete) -> Outcome:
        there = self._place(delete.id) in rows
        outcome = super()._delete(rows, delete)
        return Outcome(there) if delete.if_revision is None else outcome


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
