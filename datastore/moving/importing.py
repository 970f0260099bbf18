"""From a file to a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from datastore.documents import Sound
from datastore.errors import DataStoreError
from datastore.ids import home_name
from datastore.moving.checkpoints import Checkpoint, Position
from datastore.moving.files import ExportFile, Place
from datastore.moving.lines import read_lines
from datastore.moving.pages import PAGE, core_of
from datastore.moving.reports import OnProgress, Report
from datastore.moving.settling import Sink
from datastore.store import DataStore

_PAGE_BYTES = 8_000_000
_LINES, _LINES_BYTES = 500, 1_000_000  # how much is read at once


def import_records(
    path: Place,
    sink: DataStore,
    *,
    user_id: str | None = None,
    namespace: str | None = None,
    overwrite: bool = False,
    verify: bool = True,
    accept_incomplete: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Import the records of an exported file into a store, by the same rules as `datastore.moving.copy`.

    The whole file is checked before anything is written: one that was cut off or changed is refused.

    Args:
        path: A file that `export_records` wrote, or a stream that is open for bytes, such as ``sys.stdin.buffer``.
            Input that can be read only once, such as a pipe, is kept in a temporary file meanwhile.
        sink: The store that gets the records.
        user_id: Import only this user's records.
        namespace: Import only the records of this namespace.
        overwrite: Also replace records that are newer in the sink.
        verify: Read back what was written, and compare.
        accept_incomplete: Accept a file that was cut off, or changed by hand. The report names each line that is not
            a record.
        checkpoint: A file that lets the next run continue where this one was interrupted; see `datastore.moving.copy`.
        on_progress: Called after each page with the progress.

    Returns:
        What was done; ``complete`` is false if a line is not a record, or if a record failed or differs.

    Raises:
        datastore.moving.files.BrokenFileError: If the file is not an export, was cut off, or was changed.
        UnsupportedError: If the adapter cannot write whole records.
        BackendUnavailableError: If the database does not answer. What has been imported so far stays.

    Requests: for each page a read, a write of what is missing, and a read of what was written.
    """
    with closing(ExportFile(path, accept_incomplete=accept_incomplete)) as file:
        return _import(file, sink, user_id, namespace, overwrite, verify, checkpoint, on_progress)


def _import(
    file: ExportFile,
    sink: DataStore,
    user_id: str | None,
    namespace: str | None,
    overwrite: bool,
    verify: bool,
    checkpoint: str | os.PathLike[str] | None,
    on_progress: OnProgress | None,
) -> Report:
    of = {"import": file.digest, "to": sink.backend.name, "user_id": user_id, "namespace": namespace}
    position = Checkpoint(checkpoint, of)
    started = position.load()
    receiver = Sink(sink, Report(), overwrite=overwrite, verify=verify)
    if started is not None and started.last is not None and receiver.holds(started.last):
        receiver.report, receiver.last = started.report, started.last
        receiver.report.resumed = receiver.report.read
    report = receiver.report
    core = core_of(sink)
    page: dict[str, Sound] = {}
    size = 0

    def settle() -> None:
        nonlocal page, size
        receiver.settle_sound(list(page.values()))
        page, size = {}, 0
        position.save(Position(report.read, receiver.last, report))
        if on_progress is not None:
            on_progress(report.read, file.records)

    for number, length, found in _records(file, report.read):
        if isinstance(found, DataStoreError):
            report.note("failed", f"line {number}", f"is not a record: {found}")
            report.read += 1
            continue
        document, name, _ = found
        if document.id in page:  # of two lines for one record the later one wins, also within a page
            settle()
        report.read += 1
        size += length
        if document.expires_at is not None and document.expires_at <= core.now():
            report.expired += 1
        elif user_id not in (None, name[0]) or namespace not in (None, home_name(document.id, name[1])):
            report.left_out += 1
        else:
            page[document.id] = found
        if len(page) == PAGE or size > _PAGE_BYTES:
            settle()
    settle()
    position.clear()
    return report


def _records(file: ExportFile, start: int) -> Iterator[tuple[int, int, Sound | DataStoreError]]:
    """Yield the number and the length of each line of records, and the record in it or the reason why it is none."""
    numbers, lines, size = list[int](), list[bytes | None](), 0
    for number, line in file.lines(start):
        numbers.append(number)
        lines.append(line)
        size += len(line or b"")
        if len(lines) == _LINES or size > _LINES_BYTES:
            yield from zip(numbers, [len(line or b"") for line in lines], read_lines(lines), strict=True)
            numbers, lines, size = [], [], 0
    yield from zip(numbers, [len(line or b"") for line in lines], read_lines(lines), strict=True)
