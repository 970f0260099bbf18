"""What a namespace has beside its records: logs as conversations, runs as their steps, blobs to download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from datastore.entries import Entry
from datastore.errors import BlobNotFoundError, InvalidValueError, NoSuchRunError
from datastore.viewer.listing import slice_of
from datastore.viewer.pages.messages import message_in
from datastore.viewer.visits import Page, Visit, said

_AT_ONCE = 50
_PIECE = 262_144  # bytes of a blob that are sent at once


class Said(NamedTuple):
    """An entry of a log, as somebody's words."""

    entry: Entry
    who: str
    text: str | None
    """What it says; ``None`` for a value that is not a message."""


def beside(visit: Visit) -> Page:
    """Show which logs there are, the first runs, and blobs some at a time.

    Requests: those of `list_logs`, of `Runs.list` with a limit of 51 and of `Blobs.list` with one of 52.
    """
    data_store = visit.agent(visit.needed("user"), visit.needed("namespace"))
    blobs = slice_of(
        data_store.blobs.list, lambda one: one.name, _AT_ONCE, after=visit.maybe("after"), before=visit.maybe("before")
    )
    runs = data_store.runs.list(limit=_AT_ONCE + 1)
    return Page(
        "beside.html",
        {
            **_place(visit),
            "logs": data_store.list_logs(),
            "runs": runs[:_AT_ONCE],
            "more": len(runs) > _AT_ONCE,
            "blobs": blobs,
        },
    )


def log(visit: Visit) -> Page:
    """Show the last entries of a log, and the way to those before them.

    Requests: those of `log_read` with a limit of 51.
    """
    name = visit.needed("name")
    data_store = visit.agent(visit.needed("user"), visit.needed("namespace"))
    found = data_store.log_read(name, before=_number(visit), limit=_AT_ONCE + 1, reverse=True)
    shown = found[:_AT_ONCE][::-1]
    before = shown[0].number if len(found) > _AT_ONCE else None
    messages = [_said(one) for one in shown]
    return Page("log.html", {**_place(visit), "name_of_log": name, "messages": messages, "before": before})


def run(visit: Visit) -> Page:
    """Show the last steps of a run, and the way to those before them.

    Requests: those of `Runs.get`, and of `Runs.history` with a limit of 51.
    """
    id = visit.needed("id")
    runs = visit.agent(visit.needed("user"), visit.needed("namespace")).runs
    try:
        found = runs.history(id, limit=_AT_ONCE + 1, reverse=True, before=_number(visit))
    except NoSuchRunError as error:
        return Page("error.html", {"message": error.message, "retryable": False}, 404)
    steps = found[:_AT_ONCE]
    before = steps[-1].number if len(found) > _AT_ONCE else None
    return Page("run.html", {**_place(visit), "info": runs.get(id), "id": id, "steps": steps, "before": before})


def blob(visit: Visit) -> Response:
    """Answer with a blob, as a file: whatever it is, it is not shown as a page."""
    name = visit.needed("name")
    try:
        file = visit.agent(visit.needed("user"), visit.needed("namespace")).blobs.open(name)
    except BlobNotFoundError:
        return Response("There is no such blob.", 404, media_type="text/plain")

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(_PIECE):
                yield piece

    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}"}
    return StreamingResponse(pieces(), media_type="application/octet-stream", headers=headers)


def _place(visit: Visit) -> dict[str, Any]:
    return {"user": visit.needed("user"), "namespace": visit.needed("namespace")}


def _number(visit: Visit) -> int | None:
    text = visit.maybe("before")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidValueError("before must be a number")
    return int(text)


def _said(entry: Entry) -> Said:
    message = message_in(entry.value)
    return Said(entry, message.who or said(entry.agent), message.text)
