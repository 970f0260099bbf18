"""From one store to another."""

from __future__ import annotations

import os

from datastore.core import Core
from datastore.errors import ConfigurationError
from datastore.moving.checkpoints import Checkpoint, Position
from datastore.moving.pages import core_of, pages, total
from datastore.moving.reports import OnProgress, Report
from datastore.moving.settling import Sink
from datastore.store import DataStore


def copy(
    source: DataStore,
    sink: DataStore,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    overwrite: bool = False,
    verify: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Copy records with all that belongs to them: value, metadata, provenance, counts, revision and expiry.

    One page is in memory at a time. A record that the sink already has is not written again. A record that is newer in
    the sink, because it was changed or read there, is kept. Nothing is removed. So a copy can be repeated, and then
    copies what has changed since the last one. It is not a snapshot: if a record is written meanwhile, the copy has its
    older or its newer version, but always a whole one.

    Args:
        source: The store that has the records.
        sink: The store that gets a copy of them.
        user_id: Copy only this user's records.
        namespace: Copy only the records of this namespace, of the user or of all users.
        overwrite: Also replace records that are newer in the sink.
        verify: Read back what was written, and compare.
        checkpoint: A file that lets the next run continue where this one was interrupted. It is removed at the end. A
            checkpoint of a copy with other filters is ignored, and so is one whose last record is no longer in the
            sink. A run that continues does not look again at the records that the interrupted run had read
            (``report.resumed`` counts them): if one has changed since, the next copy brings the change.
        on_progress: Called after each page with the progress.

    Returns:
        What was done; ``complete`` is false if a record failed or differs.

    Raises:
        ConfigurationError: If source and sink are the same database, even with different URLs, or if the checkpoint
            cannot be written.
        UnsupportedError: If an adapter cannot list all users' records, or cannot write whole ones.
        BackendUnavailableError: If a database does not answer. What has been copied so far stays.

    Requests: in the source the pages of a listing; in the sink, for each page, a read, a write of what is missing, and
    a read of what was written.
    """
    if _is_same(core_of(source), core_of(sink)):
        raise ConfigurationError("source and sink are the same store; there is nothing to copy")
    of = {"copy": source.backend.name, "to": sink.backend.name, "user_id": user_id, "namespace": namespace}
    position = Checkpoint(checkpoint, of)
    started = position.load()
    receiver = Sink(sink, Report(), overwrite=overwrite, verify=verify)
    after: str | None = None
    if started is not None and started.last is not None and receiver.holds(started.last):
        after, receiver.report, receiver.last = started.after, started.report, started.last
        receiver.report.resumed = receiver.report.read
    report = receiver.report
    expected = total(source, user_id, namespace)
    for page in pages(source, user_id, namespace, after):
        receiver.settle(page.documents, page.names, parsed=source.capabilities.parsed_values)
        report.read += page.scanned
        report.expired += page.expired
        for error in page.damaged:
            report.note("failed", str(error.id), error.message)
        report.left_out += page.scanned - page.expired - len(page.damaged) - len(page.documents)
        if page.after is not None:
            position.save(Position(page.after, receiver.last, report))
        if on_progress is not None:
            on_progress(report.read, expected)
    position.clear()
    return report


def _is_same(source: Core, sink: Core) -> bool:
    return source.backend is sink.backend or (source.place is not None and source.place == sink.place)
