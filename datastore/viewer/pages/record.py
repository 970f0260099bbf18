"""One record: its value, who wrote and read it, and how the database holds it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from starlette.responses import Response

from datastore.memory.vectors import vector_of
from datastore.record import Record
from datastore.scope import scope_of
from datastore.viewer import values
from datastore.viewer.pages.messages import conversation_in
from datastore.viewer.visits import Page, Visit, said

_METADATA = 10_000  # characters of HTML


class _Event(NamedTuple):
    """Something that happened to a record, or will."""

    time: datetime
    what: str
    who: str


def record(visit: Visit) -> Page:
    """Show a record.

    Requests: those of `AgentDataStore.get_record`, and 1 for its vector.
    """
    user, namespace, key = visit.needed("user"), visit.needed("namespace"), visit.needed("key")
    about = {"user": user, "namespace": namespace, "key": key}
    data_store = visit.agent(user, namespace)
    found = data_store.get_record(key)
    if found is None:
        return Page("missing.html", about, 404)
    written = values.text(found.value)
    text, is_cut = values.coloured(written)
    conversation = conversation_in(found.value)
    return Page(
        "record.html",
        {
            **about,
            "record": found,
            "tree": values.tree(found.value, values.TREE if conversation is None else values.TREE // 2),
            "text": text,
            "is_cut": is_cut,
            "bytes": len(written.encode()),
            "metadata": values.tree(found.metadata, _METADATA),
            "events": events(found),
            "vector": vector_of(scope_of(data_store), found.revision),
            "conversation": conversation,
            "stored": _stored(found),
        },
    )


def _stored(found: Record) -> dict[str, Any]:
    """Return the fields beside value and metadata, as the database's own console shows them."""
    fields = found.model_dump(mode="json", by_alias=True, exclude={"value", "metadata"})
    return {"_id" if name == "id" else name: one for name, one in fields.items()}


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
