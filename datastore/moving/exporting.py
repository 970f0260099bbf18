"""From a store to a file."""

from __future__ import annotations

from itertools import repeat

from datastore.moving.digests import add, digest
from datastore.moving.files import Export, Place
from datastore.moving.lines import to_line
from datastore.moving.pages import core_of, pages, total
from datastore.moving.reports import OnProgress, Report
from datastore.store import DataStore


def export_records(
    source: DataStore,
    path: Place,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Write records to a file of JSON lines, compressed if its name ends with ``.gz``.

    One page is in memory at a time. The file appears when it is complete, and replaces an older one. Until then it is
    ``<file>.part``, which is removed if the export fails. The next run then starts over, because records may have
    changed or gone. A pipe or a device is written to directly; a symbolic link is refused. An export is not a snapshot;
    see `datastore.moving.copy`.

    Args:
        source: The store that has the records.
        path: The file, or a stream that is open for bytes, such as ``sys.stdout.buffer``.
        user_id: Export only this user's records.
        namespace: Export only the records of this namespace, of the user or of all users.
        on_progress: Called after each page with the progress.

    Returns:
        What was done.

    Raises:
        UnsupportedError: If the adapter can only list one user's records, and no user is named.
        ConfigurationError, PermissionDeniedError: If the file cannot be written.
        BackendUnavailableError: If the database does not answer.

    Requests: the pages of a listing.
    """
    core_of(source).check_open()
    report = Report()
    export = Export(path, {"backend": source.backend.name, "userId": user_id, "namespace": namespace})
    try:
        expected = total(source, user_id, namespace)
        for page in pages(source, user_id, namespace):
            lines = list(map(to_line, page.documents, page.names, repeat(source.capabilities.parsed_values)))
            export.append(lines)
            report.digest = add(report.digest, map(digest, page.documents))
            report.bytes += sum(map(len, lines))
            report.written += len(lines)
            report.read += page.scanned
            report.expired += page.expired
            for error in page.damaged:
                report.note("failed", str(error.id), error.message)
            report.left_out += page.scanned - page.expired - len(page.damaged) - len(lines)
            if on_progress is not None:
                on_progress(report.read, expected)
        export.finish()
    finally:
        export.close()
    return report
