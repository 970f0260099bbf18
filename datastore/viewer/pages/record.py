"""One record: its value, who wrote and read it, and how the database holds it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from datastore.viewer import values
from datastore.viewer.visits import Page, Visit, said

if TYPE_CHECKING:
    from datastore.record import Record

_METADATA = 10_000  # characters of HTML


class _Event(NamedTuple):
    """Something that happened to a record, or will."""

    time: datetime
    what: str
    who: str


def record(visit: Visit) -> Page:
    """Show a record.

    Requests: those of `AgentDataStore.get_record`.
    """
    user, namespace, key = visit.needed("user"), visit.needed("namespace"), visit.needed("key")
    about = {"user": user, "namespace": namespace, "key": key}
    found = visit.agent(user, namespace).get_record(key)
    if found is None:
        return Page("missing.html", about, 404)
    written = values.text(found.value)
    text, is_cut = values.coloured(written)
    return Page(
        "record.html",
        {
            **about,
            "record": found,
            "tree": values.tree(found.value),
            "text": text,
            "is_cut": is_cut,
            "bytes": len(written.encode()),
            "metadata": values.tree(found.metadata, _METADATA),
            "events": events(found),
        },
    )


def value(visit: Visit) -> Response:
    """Answer with a whole value, as text."""
    user, namespace, key = visit.needed("user"), visit.needed("namespace"), visit.needed("key")
    found = visit.agent(user, namespace).get_record(key)
    if found is None:
        return Response("There is no such record.", 404, media_type="text/plain")
    return Response(values.text(found.value), media_type="text/plain")


def events(found: Record) -> list[_Event]:
    """Return what happened to a record, in order."""
    happened = [
        _Event(found.created_at, "created", said(found.created_by_agent)),
        _Event(found.updated_at, "changed last", said(found.updated_by_agent)),
    ]
    if found.last_accessed_at is not None:
        happened.append(_Event(found.last_accessed_at, "read last", said(found.last_accessed_by_agent)))
    if found.expires_at is not None:
        happened.append(_Event(found.expires_at, "expires", ""))
    return sorted(happened, key=lambda event: event.time)
