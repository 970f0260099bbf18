"""Moving records from a database in the legacy format into a store."""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

from datastore.administration import LegacyPage, LegacySource
from datastore.backend import Delete, Document, Fields
from datastore.errors import ConfigurationError, DataStoreError
from datastore.moving.checkpoints import Checkpoint, Position
from datastore.moving.digests import add, digest
from datastore.moving.legacy_format import (
    CHANGED,
    IMPORTED,
    Name,
    UnreadableError,
    id_of,
    name_of,
    other_readings,
    to_record,
    where,
)
from datastore.moving.pages import PAGE, core_of, pages
from datastore.moving.rejects import Rejects, RejectsFile
from datastore.moving.reports import OnProgress, Report
from datastore.moving.rules import Rules
from datastore.moving.settling import Sink, read_sound
from datastore.retry import Backoff
from datastore.store import DataStore
from datastore.times import format_time

_RETRY_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 30.0, 0.1, 5.0
_AS_THEY_ARE = Rules()


def import_legacy(
    source: LegacySource,
    sink: DataStore | None,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    zone: tzinfo = UTC,
    rules: Rules = _AS_THEY_ARE,
    rejects: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    prune: bool = False,
    verify: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Import the documents of a database in the legacy format into a store, by their fields and not by their ids.

    Provenance and counts are kept. A document always becomes the same record, so an import can be repeated: a record
    that is there already is not written again, one that agents have changed since is kept, and the larger of two counts
    of accesses stays. The source is never written to. It is read twice: the first time for the names in it.

    A document's id may also be the id of a record of another user and namespace. If both are in the source, the value
    may be that user's: such a document is held back, unless the rules say otherwise.

    Args:
        source: What `datastore.connecting.connect_legacy` opened, or a `datastore.moving.rejects.RejectsFile`.
        sink: The store that gets the records; ``None`` for a dry run, which reads and converts everything and counts
            in ``ready`` the records that it could write.
        user_id: Import only this user's documents.
        namespace: Import only the documents of this namespace.
        zone: The time zone of times that were stored without one.
        rules: How to change what cannot be moved as it is.
        rejects: A file for what is not moved, with the reasons; it can be the source of a later run, with rules.
        overwrite: Also replace records that are newer in the sink.
        prune: Remove from the sink the records that an earlier run imported, that nobody has changed since, and that
            the source no longer has. Without it the report names them.
        verify: Read back what was written, and compare.
        checkpoint: A file that lets the next run continue where this one was interrupted; see `datastore.moving.copy`.
        on_progress: Called after each page with the progress.

    Returns:
        What was done. Its problems are of the kinds ``mismatched``, ``changed`` and ``filled``
        (`datastore.moving.legacy_format.to_record`), ``collided`` (the value may be another user's), ``doubled``
        (another record of the same user, namespace and key was in the sink already), ``gone`` (only in the sink, from
        an earlier run), ``failed`` (a document could not become a record, or could not be written) and ``differs``.

    Raises:
        ConfigurationError: If source and sink are the same database, if one of the files cannot be written, or if
            ``prune`` is given with a file of rejects, a dry run or an empty source.
        UnsupportedError: If the sink's adapter cannot write whole records.
        BackendUnavailableError: If a database does not answer. What has been imported so far stays.

    Requests: in the source the pages of two listings; in the sink, for each page, a read, a write of what is missing,
    and a read of what was written; at the end the pages of a listing of the keys, and a read of those that only the
    sink has.
    """
    if sink is not None and source.place is not None and source.place == core_of(sink).place:
        raise ConfigurationError("source and sink are the same database; name another database as the sink")
    of = {
        "legacy": source.name,
        "place": repr(source.place),
        "user_id": user_id,
        "namespace": namespace,
        "zone": str(zone),
    }
    if prune and (isinstance(source, RejectsFile) or sink is None):
        raise ConfigurationError("pruning needs a whole database as the source, and cannot be a dry run")
    survey = _Survey(source)
    if prune and not survey.found:
        raise ConfigurationError("the source is empty: pruning would remove every record that came from there")
    move = _Move(source, sink, survey, rules, zone, (user_id, namespace))
    position = Checkpoint(checkpoint if sink is not None else None, {**of, "rules": repr(rules)})
    after, report = None, Report()
    receiver: Sink | None = None
    if sink is not None:
        receiver = Sink(sink, report, overwrite=overwrite, verify=verify, tell=survey.is_another, keep_counts=True)
        started = position.load()
        if started is not None and started.last is not None and receiver.holds(started.last):
            after, receiver.report, receiver.last = started.after, started.report, started.last
            report = receiver.report
            report.resumed = report.read
    kept = Rejects(rejects if sink is not None else None, of, report.rejected)
    try:
        move.begin(report, receiver, kept)
        expected = source.count()
        while True:
            page = _patiently(partial(source.documents, PAGE, after), source.name)
            for raw in page.documents:
                report.read += 1
                move.take(raw)
            move.settle()
            if page.after is not None and receiver is not None:
                kept.flush()
                position.save(Position(page.after, receiver.last, report))
            if on_progress is not None:
                on_progress(report.read, expected)
            if page.after is None:
                break
            after = page.after
    finally:
        kept.close()
    if sink is not None and not isinstance(source, RejectsFile):
        _look_for_gone(sink, survey, report, user_id, namespace, prune=prune)
    position.clear()
    return report


class _Survey:
    """The users, the namespaces and the records of a source."""

    def __init__(self, source: LegacySource) -> None:
        self.found = False
        self._users = set[str]()
        self._namespaces = set[str]()
        self._ids = array("Q")  # 64 bits for each; if two ids share them, it goes unnoticed that one of them is gone
        self._later = set[int]()
        after = None
        while True:
            page = _patiently(partial(source.names, PAGE, after), source.name)
            for raw in page.documents:
                self.found = True
                try:
                    name = name_of(raw)
                except UnreadableError:
                    continue
                self._users.add(name.user_id)
                self._namespaces.add(name.namespace)
                with suppress(UnreadableError):  # no record of the sink can have this name
                    self._ids.append(_mark(id_of(name)))
            after = page.after
            if after is None:
                break
        self._ids = array("Q", sorted(self._ids))

    def note(self, name: Name) -> None:
        """Note a record that may be new in the source since the survey."""
        with suppress(UnreadableError):
            if not self.holds(id_of(name)):
                self._later.add(_mark(id_of(name)))

    def holds(self, id: str) -> bool:
        """Return whether a record is in the source."""
        return self._number_of(id) > 0 or _mark(id) in self._later

    def is_another(self, there: Document) -> bool:
        """Return whether a record of the sink comes from somewhere else than the document of the same name."""
        return not there.revision.startswith((IMPORTED, CHANGED)) or self._number_of(there.id) > 1

    def _number_of(self, id: str) -> int:
        mark = _mark(id)
        return bisect_right(self._ids, mark) - bisect_left(self._ids, mark)

    def knows(self, name: Name) -> bool:
        """Return whether a user and a namespace are both in the source, not necessarily together."""
        return name.user_id in self._users and name.namespace in self._namespaces


class _Move:
    """Turns documents into records, one after another, and brings them into the sink."""

    def __init__(
        self,
        source: LegacySource,
        sink: DataStore | None,
        survey: _Survey,
        rules: Rules,
        zone: tzinfo,
        filters: tuple[str | None, str | None],
    ) -> None:
        self._survey = survey
        self._rules = rules
        self._zone = zone
        self._filters = filters
        self._now: Callable[[], str] = _now if sink is None else core_of(sink).now
        self._batch: dict[str, tuple[Document, Mapping[str, Any]]] = {}

    def begin(self, report: Report, receiver: Sink | None, rejects: Rejects) -> None:
        self._report = report
        self._receiver = receiver
        self._rejects = rejects
        if receiver is not None:
            receiver.on_failed = self._failed

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take a document; `settle` settles those that were taken."""
        try:
            name = name_of(raw)
            self._survey.note(name)
            user_id, namespace = self._filters
            if user_id not in (None, name.user_id) or namespace not in (None, name.namespace):
                self._report.left_out += 1
                return
            decided = self._decide(raw, name)
            if decided is None:
                return
            records = [
                (*to_record(part, self._zone, None if by == name and part is raw else by), by)
                for by, part in self._rules.pieces(self._rules.name(decided), raw)
            ]
        except UnreadableError as error:
            self._reject(raw, "failed", error.message)
            return
        for document, notes, by in records:
            if document.expires_at is not None and document.expires_at <= self._now():
                self._report.expired += 1
                continue
            for note in notes:
                self._report.note(note.kind, where(raw), note.text)
            if by != name:
                self._report.note("changed", where(raw), f"moved by a rule to {tuple(by)!r:.300}")
            if document.id in self._batch:
                self.settle()
            self._batch[document.id] = document, raw

    def settle(self) -> None:
        """Bring into the sink the documents that were taken."""
        documents = [document for document, _ in self._batch.values()]
        if self._receiver is not None:
            self._receiver.settle(documents)
        else:
            self._report.ready += len(documents)
            self._report.digest = add(self._report.digest, map(digest, documents))
        self._batch.clear()

    def _decide(self, raw: Mapping[str, Any], name: Name) -> Name | None:
        """Return the name of a document's record; hold it back and return ``None`` if nobody can tell whose it is."""
        others = [other for other in other_readings(raw, name) if self._survey.knows(other)]
        if not others:
            return name
        policy: Literal["hold", "fields", "other"] = self._rules.collided
        their = " or ".join(f"user {other.user_id!r} namespace {other.namespace!r}" for other in others)
        text = (
            f"its fields name user {name.user_id!r} namespace {name.namespace!r}, but its id is also that of "
            f"{their:.500}. Whoever wrote second changed only the value, which may be the other user's"
        )
        if policy == "fields":
            self._report.note("collided", where(raw), f"{text}; moved to the user that the fields name, as requested")
            return name
        if policy == "other" and len(others) == 1:
            self._report.note("collided", where(raw), f"{text}; moved to the other user, as requested")
            return others[0]
        self._reject(raw, "collided", f"{text}; held back", others)
        return None

    def _reject(self, raw: Mapping[str, Any], kind: str, text: str, others: list[Name] | None = None) -> None:
        self._report.note(kind, where(raw), text)
        self._report.rejected += 1
        self._rejects.add(raw, kind, text, others or ())

    def _failed(self, id: str, text: str) -> None:
        """Keep a document that could not be written to the sink."""
        _, raw = self._batch[id]
        self._report.rejected += 1
        self._rejects.add(raw, "failed", text)


def _look_for_gone(
    sink: DataStore, survey: _Survey, report: Report, user_id: str | None, namespace: str | None, *, prune: bool
) -> None:
    """Report, or remove, the records that came from an earlier run and are no longer in the source.

    A record that an agent has created or changed in the sink is not among them: its revision shows that.
    """
    core = core_of(sink)
    for ids in _only_there(sink, survey, user_id, namespace):
        found, _ = read_sound(core, ids, Fields.VALUE)  # the smallest choice that includes the revision
        gone = [document for document in found.values() if document.revision.startswith(IMPORTED)]
        if not prune:
            for document in gone:
                report.note("gone", document.id, "came from an earlier run, and the source no longer has it")
            continue
        outcomes = core.write([Delete(document.id, core.now(), document.revision) for document in gone])
        for document, outcome in zip(gone, outcomes, strict=True):
            if outcome.error is not None:
                report.note("failed", document.id, f"could not be pruned: {outcome.error.message}")
            elif outcome.done:
                report.pruned += 1


def _only_there(sink: DataStore, survey: _Survey, user_id: str | None, namespace: str | None) -> Iterator[list[str]]:
    """Yield the ids that are only in the sink, a page at a time."""
    for page in pages(sink, user_id, namespace, fields=Fields.KEY):
        ids = [document.id for document in page.documents if not survey.holds(document.id)]
        for start in range(0, len(ids), PAGE):
            yield ids[start : start + PAGE]


def _patiently(read: Callable[[], LegacyPage], name: str) -> LegacyPage:
    """Read a page, and try again after a transient failure of the database."""
    try:
        return Backoff(_RETRY_SECONDS, _FIRST_DELAY, _LONGEST_DELAY).repeat(read)
    except DataStoreError as error:
        raise error.during("reading documents", name) from error.__cause__


def _mark(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest())


def _now() -> str:
    return format_time(time.time())
