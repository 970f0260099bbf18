"""Moving in: from a database in the seed's format to a store."""

from __future__ import annotations

import time
from datetime import UTC, tzinfo
from pathlib import Path

from datastore.administration import LegacyPage, LegacySource
from datastore.backend import Document
from datastore.errors import DataStoreError
from datastore.ids import decode
from datastore.moving.checkpoints import Checkpoint, Position
from datastore.moving.digests import add, digest
from datastore.moving.pages import PAGE, core_of
from datastore.moving.reports import OnProgress, Report
from datastore.moving.seed import UnreadableError, to_record, where
from datastore.moving.settling import Target
from datastore.retry import Backoff
from datastore.store import DataStore
from datastore.times import format_time

_RETRY_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 30.0, 0.1, 5.0


def import_legacy(
    source: LegacySource,
    target: DataStore | None,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    zone: tzinfo = UTC,
    overwrite: bool = False,
    verify: bool = True,
    checkpoint: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Bring the documents of a database in the seed's format into a store, by their fields and not by their ids.

    Provenance and counts are kept. A document always becomes the same record, so an import can be repeated: what is
    there already is not written, and what agents have changed since is kept. The source is only read.

    Args:
        source: What `datastore.connecting.connect_legacy` opened.
        target: Where the records are to be; ``None`` for a dry run, which reads and converts everything and says in
            ``ready`` how many records there would be.
        user_id: Only this user's.
        namespace: Only those of this namespace.
        zone: Where the clock stood that wrote times without a zone.
        overwrite: Replace newer records of the target, too.
        verify: Read back what was written, and compare.
        checkpoint: A file that lets the next run go on where this one is killed; see `datastore.moving.copy`.
        on_progress: Is told after each page how far it is.

    Returns:
        What was done. Its problems are of the kinds ``ambiguous``, ``mismatched``, ``changed`` and ``filled``
        (`datastore.moving.seed.to_record`), ``doubled`` (another record of the same user, namespace and key was in the
        target already), ``failed`` (no record could be made of a document) and ``differs``.

    Raises:
        UnsupportedError: If the target's adapter cannot write whole records.
        BackendUnavailableError: If a database does not answer. What is imported so far stays.

    Requests: the pages of a listing in the source; in the target for each page a read, a write of what is missing, and
    a read of that.
    """
    of = {"legacy": source.name, "user_id": user_id, "namespace": namespace, "zone": str(zone)}
    position = Checkpoint(checkpoint if target is not None else None, of)
    report, after = Report(), None
    receiver: Target | None = None
    if target is not None:
        receiver = Target(target, report, overwrite=overwrite, verify=verify, tell=True)
        started = position.load()
        if started is not None and started.last is not None and receiver.holds(started.last):
            after, receiver.report, receiver.last = started.after, started.report, started.last
            report = receiver.report
            report.resumed = report.read
    now = None if target is None else core_of(target).now
    expected = source.count()
    while True:
        page = _read(source, after)
        batch: dict[str, Document] = {}
        for raw in page.documents:
            report.read += 1
            try:
                document, notes = to_record(raw, zone)
            except UnreadableError as error:
                report.note("failed", where(raw), error.message)
                continue
            name = decode(document.id)
            if user_id not in (None, name.user_id) or namespace not in (None, name.namespace):
                report.left_out += 1
                continue
            if document.expires_at is not None and document.expires_at <= (now() if now else _now()):
                report.expired += 1
                continue
            for note in notes:
                report.note(note.kind, where(raw), note.text)
            if document.id in batch:
                _settle(receiver, report, batch)
            batch[document.id] = document
        _settle(receiver, report, batch)
        if page.after is not None and receiver is not None:
            position.save(Position(page.after, receiver.last, report))
        if on_progress is not None:
            on_progress(report.read, expected)
        if page.after is None:
            position.clear()
            return report
        after = page.after


def _settle(receiver: Target | None, report: Report, batch: dict[str, Document]) -> None:
    documents = list(batch.values())
    batch.clear()
    if receiver is not None:
        receiver.settle(documents)
        return
    report.ready += len(documents)
    for document in documents:
        report.digest = add(report.digest, digest(document))


def _read(source: LegacySource, after: str | None) -> LegacyPage:
    """Read a page, and again if the database fails for a transient reason."""
    backoff = Backoff(_RETRY_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        try:
            return source.documents(PAGE, after)
        except DataStoreError as error:
            if not error.retryable or not backoff.wait():
                raise error.during("reading documents", source.name) from error.__cause__


def _now() -> str:
    return format_time(time.time())
