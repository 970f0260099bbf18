"""The records that a page chooses, as a file: all of them, and not only those on the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from datastore.agent import AgentDataStore
from datastore.record import Record
from datastore.typed import record_json
from datastore.values import encode
from datastore.viewer.pages.choosing import Asked, field_of, needed_by
from datastore.viewer.visits import Visit

_AT_ONCE = 500
_ABOUT = ("createdByAgent", "updatedByAgent", "createdAt", "updatedAt", "accessCount", "expiresAt", "revision")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that a spreadsheet computes: OWASP, CSV injection."""


def export(visit: Visit) -> Response:
    """Answer with the records as JSON lines or as CSV. They are sent while they are read.

    Requests: those of `AgentDataStore.iter_records`, or of `find_records` with 500 at a time.
    """
    user, namespace = visit.needed("user"), visit.needed("namespace")
    found = _records(visit.agent(user, namespace), needed_by(visit))
    first = next(found, None)  # what is wrong with a query is an error page, and no file
    every = iter(()) if first is None else _chain(first, found)
    if visit.one("as") == "csv":
        columns = visit.all("column")
        for column in columns:
            field_of(None, column)  # raises what is wrong with it
        lines, kind, ending = _csv(every, columns), "text/csv", "csv"
    else:
        lines, kind, ending = (f"{record_json(one)}\n" for one in every), "application/jsonl", "jsonl"
    headers = {"Content-Disposition": f'attachment; filename="records.{ending}"'}
    return StreamingResponse(lines, media_type=f"{kind}; charset=utf-8", headers=headers)


def _chain(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest


def _records(data_store: AgentDataStore, asked: Asked) -> Iterator[Record]:
    if asked.is_listing:
        yield from data_store.iter_records(asked.prefix, reverse=asked.order == "-key")
        return
    cursor: str | None = None
    while True:
        page = data_store.find_records(**asked.query, sort=asked.sort, limit=_AT_ONCE, cursor=cursor)
        yield from page.records
        cursor = page.cursor
        if cursor is None:
            return


def _csv(records: Iterator[Record], columns: Sequence[str]) -> Iterator[str]:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(_harmless, ["key", *(columns or ["value"]), "metadata", *_ABOUT]))
    for one in records:
        about = one.model_dump(mode="json", exclude={"value", "metadata"})
        values = [field_of(one.value, column) for column in columns] if columns else [(one.value,)]
        cells = ["" if value is None else _cell(value[0]) for value in values]
        facts = ["" if about[name] is None else str(about[name]) for name in _ABOUT]
        writer.writerow(map(_harmless, [one.key, *cells, encode(one.metadata).strip(), *facts]))
        yield file.getvalue()
        file.seek(0)
        file.truncate()
    yield file.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).strip()


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula. A number stays one."""
    if not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
