"""Reading documents by id in as few requests as possible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from datastore.adapters.answers import broken, member, one_each
from datastore.adapters.knowledge import ABSENT, Memory
from datastore.errors import BackendUnavailableError
from datastore_couchdb.client import NAME, Session, check_document
from datastore_couchdb.codec import known_of

_ABSENT = {"not_found", "missing", "deleted"}


def fetch(session: Session, memory: Memory, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the documents that exist, by id, and remember their contents.

    Raises and requests: as `get_documents`.
    """
    found = get_documents(session, ids)
    for id in ids:
        memory.note(id, known_of(found[id]) if id in found else ABSENT)
    return found


def get_documents(
    session: Session, ids: Sequence[str], unheard_of: list[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the documents that exist, by id.

    Args:
        session: The session to ask with.
        ids: Their ids.
        unheard_of: Receives the ids of which the server knows nothing at all. CouchDB remembers what was deleted.

    Raises:
        BackendUnavailableError: If the server does not say of each document whether it exists.

    Requests: 1.
    """
    if len(ids) > 1:
        return _bulk_get(session, ids, [] if unheard_of is None else unheard_of)
    document = session.get_document(ids[0], unheard_of)
    return {} if document is None else {ids[0]: document}


def _bulk_get(session: Session, ids: Sequence[str], unheard_of: list[str]) -> dict[str, dict[str, Any]]:
    body = json.dumps({"docs": [{"id": id} for id in ids]}, ensure_ascii=False)
    results = one_each(member(session.post("_bulk_get", body), "results", list, NAME), len(ids), NAME)
    found: dict[str, dict[str, Any]] = {}
    answered: set[str] = set()
    for result in results:
        id = member(result, "id", str, NAME)
        for answer in member(result, "docs", list, NAME):
            answered.add(id)
            document = None if type(answer) is not dict or "error" in answer else answer.get("ok")
            if document is None:
                _check_absent(answer, id)
                unheard_of.append(id)
                continue
            check_document(document, id)
            if not document.get("_deleted"):
                found[id] = document
    if not answered.issuperset(ids):
        broken(NAME, f"it says nothing about {len(set(ids) - answered)} of {len(ids)} documents")
    return found


def _check_absent(answer: Any, id: str) -> None:
    """Check that an answer without a document says that there is none."""
    error = member(answer, "error", dict, NAME)
    if not {error.get("error"), error.get("reason")} & _ABSENT:
        reason = str(error.get("reason"))[:200]
        raise BackendUnavailableError(f"CouchDB could not read {id!r}: {reason}", backend=NAME)
