"""From a store to a file."""

from __future__ import annotations

from pathlib import Path

from datastore.moving.digests import add, digest
from datastore.moving.files import Part
from datastore.moving.lines import parse, to_document, to_line
from datastore.moving.pages import pages, total
from datastore.moving.reports import OnProgress, Report
from datastore.store import DataStore


def export_records(
    source: DataStore,
    path: Path,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    of: str = "",
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Report:
    """Write records to a file of JSON lines, compressed if its name ends with ``.gz``.

    One page is in memory at a time. The file appears when it is whole, in the place of an older one; until then it is
    ``<file>.part``, and the next run goes on with that. It is no snapshot; see `datastore.moving.copy`.

    Args:
        source: Where the records are.
        path: The file.
        user_id: Only this user's.
        namespace: Only those of this namespace, of the user or of all users.
        of: Names the source in the file, so that a part of another one is not gone on with. No secrets.
        fresh: Do not go on with an earlier run's part.
        on_progress: Is told after each page how far it is.

    Returns:
        What was done.

    Raises:
        UnsupportedError: If the adapter can only list one user's records, and none is named.
        ConfigurationError, PermissionDeniedError: If the file cannot be written.
        BackendUnavailableError: If the database does not answer.

    Requests: the pages of a listing.
    """
    of_part = {"backend": source.backend, "source": of, "userId": user_id, "namespace": namespace}
    report = Report()
    part = Part(path, of_part, fresh=fresh)
    try:
        after: str | None = None
        for line in part.earlier():
            document = to_document(parse(line))
            report.digest = add(report.digest, digest(document))
            after = document.id
        report.read = report.written = report.resumed = part.records
        expected = total(source, user_id, namespace)
        for page in pages(source, user_id, namespace, after):
            lines = [to_line(document) for document in page.documents]
            part.append(lines)
            for document in page.documents:
                report.digest = add(report.digest, digest(document))
            report.bytes += sum(map(len, lines))
            report.written += len(lines)
            report.read += page.scanned
            report.expired += page.expired
            for error in page.damaged:
                report.note("failed", str(error.id), error.message)
            report.left_out += page.scanned - page.expired - len(page.damaged) - len(lines)
            if on_progress is not None:
                on_progress(report.read, expected)
        part.finish()
    finally:
        part.close()
    return report
