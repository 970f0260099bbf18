"""Bringing documents into a sink: compare with what is there, write what is missing, read it back, compare again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datastore.backend import Backend, Document, Fields, Restore
from datastore.blobs.heads import MARK
from datastore.blobs.uploads import GRACE
from datastore.core import Core
from datastore.documents import Sound, check_all_moved
from datastore.errors import DamagedRecordError, UnsupportedError
from datastore.ids import area_of, home_of
from datastore.memory.changes import Changes
from datastore.memory.vectors import AREA, VECTOR
from datastore.moving.digests import add, digest
from datastore.moving.pages import core_of
from datastore.moving.reports import Report
from datastore.reminders import remind
from datastore.scope import Scope
from datastore.store import DataStore


class Sink:
    """The store that documents are brought into.

    Args:
        store: The store.
        report: Collects the numbers and the problems.
        overwrite: Whether to replace a record even if it is newer in the sink.
        verify: Whether to read back what was written.
        tell: Called with a record of the sink that differs from the one that comes; returns whether the report names
            it.
        keep_counts: Whether a replaced record keeps its count of accesses if that is larger, and its last access if
            that is later.

    Raises:
        UnsupportedError: If the adapter cannot write whole documents.
    """

    def __init__(
        self,
        store: DataStore,
        report: Report,
        *,
        overwrite: bool = False,
        verify: bool = True,
        tell: Callable[[Document], bool] = lambda _: False,
        keep_counts: bool = False,
    ) -> None:
        self.report = report
        self._core: Core = core_of(store)
        self._core.check_open()
        backend: Backend = self._core.backend
        if not backend.capabilities.supports("restore"):
            raise UnsupportedError(
                "this adapter cannot write records with their provenance; move them elsewhere",
                backend=backend.name,
            )
        self._overwrite = overwrite
        self._verify = verify
        self._tell = tell
        self._keep_counts = keep_counts
        self._told = set[tuple[str, str, str]]()
        self.on_failed: Callable[[str, str], None] | None = None
        """Called with the id of each document that did not arrive, and the reason."""
        self.last: str | None = None
        """The id of the last document that was brought into the sink."""

    def settle(
        self,
        documents: Sequence[Document],
        names: Sequence[tuple[str, str, str]] | None = None,
        *,
        parsed: bool = False,
    ) -> None:
        """Bring some whole live documents, with distinct ids, into the sink, and note in the report what was done.

        Documents that would be damaged records in the sink are not brought there.

        Args:
            documents: The documents.
            names: The names in their ids, if they have been decoded.
            parsed: Whether their values were parsed (`datastore.backend.Capabilities.parsed_values`).

        Requests: a read of the same documents, a write of what is missing, and a read of what was written. For each
        namespace with vectors among them 1 or 2 more.
        """
        sound, broken = check_all_moved(documents, names, parsed=parsed)
        for error in broken:
            self._fail(str(error.id), error.message)
        self.settle_sound(sound)
        self.last = documents[-1].id if documents else self.last

    def settle_sound(self, sound: Sequence[Sound]) -> None:
        """Do what `settle` does with documents that have been checked."""
        if not sound:
            return
        report = self.report
        ids = [one.document.id for one in sound]
        expected = {one.document.id: digest(one.document) for one in sound}
        there, damaged = self._read(ids)
        for id in damaged:
            self._fail(id, "the record in the sink is damaged; remove it, and repeat the move")
            del expected[id]
        restores, now = list[Restore](), self._core.now()
        for comes, name, json in sound:
            id = comes.id
            if id in damaged:
                continue
            report.bytes += len(json) if json.isascii() else len(json.encode())
            old = there.get(id)
            if old is None:
                restores.append(Restore(comes, *name, json, now))
                continue
            document = comes
            if self._keep_counts:
                document = _with_larger_counts(comes, old)
                expected[id] = digest(document)
            if digest(old) == expected[id]:
                report.unchanged += 1
                report.verified += 1
            elif not self._overwrite and _is_newer(old, document):
                report.kept += 1
                if self._tell(old):
                    report.note("doubled", id, "a newer record is in the sink already; that one was kept")
            else:
                if self._tell(old):
                    report.note("doubled", id, "an older record was in the sink already; it was replaced")
                restores.append(Restore(document, *name, json, now, old.revision))
        report.digest = add(report.digest, expected.values())
        self._remind(sound)
        written = self._write(restores)
        self._tell_of_vectors(sound, written)
        if self._verify and written:
            self._read_back(written, expected)
        self.last = ids[-1]

    def _read(self, ids: Sequence[str]) -> tuple[dict[str, Document], set[str]]:
        return read_sound(self._core, ids, Fields.ALL)

    def _fail(self, id: str, text: str) -> None:
        self.report.note("failed", id, text)
        if self.on_failed is not None:
            self.on_failed(id, text)

    def holds(self, id: str) -> bool:
        """Return whether a document is there."""
        return self._core.read_one(id, Fields.KEY) is not None

    def _write(self, restores: Sequence[Restore]) -> list[Document]:
        written = []
        for restore, outcome in zip(restores, self._core.restore(restores), strict=True):
            if outcome.error is not None:
                self._fail(restore.id, outcome.error.message)
            elif outcome.done or outcome.revision == restore.document.revision:  # the latter if an answer was lost
                self.report.written += 1
                self.report.replaced += restore.if_revision is not None
                written.append(restore.document)
            else:
                self.report.kept += 1  # somebody else has written it since it was read
        return written

    def _remind(self, sound: Sequence[Sound]) -> None:
        """Remind the sink's host of what is to be removed there, before it is written."""
        places = {(area_of(one.document.id), *one.name) for one in sound if home_of(one.document.id) is not None}
        of_marks = {
            (area, user_id, name)
            for area, user_id, name, key in places
            if area == AREA or (area == "blobs" and key.startswith(MARK))
        }
        for area, user_id, name in sorted(of_marks):
            scope = Scope(self._core, user_id, None, name.partition(":")[2]).area(area)
            remind(scope, self._core.clock() + GRACE)

    def _tell_of_vectors(self, sound: Sequence[Sound], written: Sequence[Document]) -> None:
        """Let those who have vectors of a namespace in memory know of those that have come.

        Once in a run also if none was written: an earlier run may have been interrupted before it told. A change that
        says that the index of its own database has all vectors is not true of this one.
        """
        new = {one.id for one in written}
        for one in sound:
            if home_of(one.document.id) is None or area_of(one.document.id) != AREA:
                continue
            user_id, name, key = one.name
            value = one.document.value
            tells = key.startswith(VECTOR) or (isinstance(value, dict) and bool(value.get("native")))
            place = user_id, name.partition(":")[2], key[:1]
            if tells and (one.document.id in new or place not in self._told):
                self._told.add(place)
                new -= {other.document.id for other in sound if other.name[:2] == one.name[:2]}
                Changes(Scope(self._core, user_id, None, place[1]).area(AREA), {}).tell_of_all()

    def _read_back(self, written: Sequence[Document], expected: dict[str, bytes]) -> None:
        there, damaged = self._read([document.id for document in written])
        now = self._core.now()
        for document in written:
            found = there.get(document.id)
            if document.id in damaged:
                self.report.note("differs", document.id, "is damaged when read back")
                continue
            if found is None and document.expires_at is not None and document.expires_at <= now:
                continue  # it has expired meanwhile
            if found is not None and digest(found) == expected[document.id]:
                self.report.verified += 1
            elif found is None:
                self.report.note("differs", document.id, "is missing when read back")
            elif not _was_used(found, document):
                fields = ", ".join(_differences(document, found))
                self.report.note("differs", document.id, f"differs when read back, in {fields}")


def read_sound(core: Core, ids: Sequence[str], fields: Fields) -> tuple[dict[str, Document], set[str]]:
    """Return the documents that exist and can be read, and the ids of the damaged ones."""
    damaged = set[str]()
    while True:
        try:
            return core.read([id for id in ids if id not in damaged], fields), damaged
        except DamagedRecordError as error:
            if error.id is None or error.id in damaged or error.id not in ids:
                raise
            damaged.add(error.id)


def _with_larger_counts(document: Document, old: Document) -> Document:
    """Return a document with the count and the last access of the one that it replaces, if larger or later."""
    document = document._replace(access_count=max(document.access_count, old.access_count))
    if (old.last_accessed_at or "") <= (document.last_accessed_at or ""):
        return document
    return document._replace(last_accessed_at=old.last_accessed_at, last_accessed_by_agent=old.last_accessed_by_agent)


def _is_newer(there: Document, comes: Document) -> bool:
    """Return whether the document in the sink was changed or read later than the one that comes."""
    return there.updated_at > comes.updated_at or _was_used(there, comes)


def _was_used(found: Document, document: Document) -> bool:
    """Return whether agents have changed or read ``found`` since it was equal to ``document``."""
    if found.updated_at != document.updated_at:
        return found.updated_at > document.updated_at
    accessed = found.last_accessed_at or ""
    same = document._replace(
        access_count=found.access_count,
        last_accessed_at=found.last_accessed_at,
        last_accessed_by_agent=found.last_accessed_by_agent,
    )
    more = found.access_count > document.access_count and accessed >= (document.last_accessed_at or "")
    return more and digest(found) == digest(same)


def _differences(document: Document, found: Document) -> list[str]:
    plain = document._replace(value=None, metadata=None), found._replace(value=None, metadata=None)
    names = [name for name, a, b in zip(document._fields, *plain, strict=True) if a != b]
    for name in ("value", "metadata"):
        changes = {"value": None, "metadata": None} | {name: getattr(found, name)}
        if digest(found._replace(**changes)) != digest(found._replace(**(changes | {name: getattr(document, name)}))):
            names.append(name)
    return names
