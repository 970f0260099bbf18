"""Reading documents by id, in as few requests as there can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from datastore.errors import BackendUnavailableError
from datastore_couchdb.codec import Memory, stored_of
from datastore_couchdb.session import NAME, Session

_ABSENT = {"not_found", "missing", "deleted"}


def fetch(session: Session, memory: Memory, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the documents that exist, by id, and remember what is in them.

    Raises:
        BackendUnavailableError: If the server cannot say of each whether it exists.

    Requests: 1.
    """
    if len(ids) == 1:
        document = session.get_document(ids[0])
        found = {} if document is None else {ids[0]: document}
    else:
        found = _bulk_get(session, ids)
    for id in ids:
        stored = stored_of(found[id]) if id in found else None
        if stored is None or stored.damaged:
            memory.forget(id)
        else:
            memory.put(id, stored)
    return found


def _bulk_get(session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    body = json.dumps({"docs": [{"id": id} for id in ids]}, ensure_ascii=False)
    results = session.post("_bulk_get", body)["results"]
    answered = {result["id"] for result in results}
    if not answered.issuperset(ids):
        raise BackendUnavailableError(
            f"CouchDB left out {len(ids) - len(answered)} of {len(ids)} documents from its answer", backend=NAME
        )
    found = {}
    for result in results:
        for answer in result["docs"]:
            document = answer.get("ok")
            if document is not None and not document.get("_deleted"):
                found[result["id"]] = document
            elif document is None and answer:  # an empty answer, which PouchDB gives, means missing as well
                error = answer.get("error", answer)
                if not {error.get("error"), error.get("reason")} & _ABSENT:
                    reason = str(error.get("reason"))[:200]
                    raise BackendUnavailableError(f"CouchDB could not read {result['id']!r}: {reason}", backend=NAME)
    return found
