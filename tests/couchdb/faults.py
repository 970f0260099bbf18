"""Faults that several tests let the proxy bring about; more are in `tests.servers.strict_couchdb`."""

from __future__ import annotations

import json

from tests.servers.strict_couchdb import (
    stall,
    status,
)

STALL = stall(4.0)


def timeout(fault):
    """Seconds to wait for an answer: few only where none comes, since a busy machine takes some for any other."""
    return 1.0 if fault is STALL else 30.0


def all_refused(handler, request):
    """Each document of the batch, as a validation function of the database does."""
    refusals = [
        {"id": document["_id"], "error": "forbidden", "reason": "validation says no"}
        for document in request.json()["docs"]
    ]
    handler.answer(201, json.dumps(refusals).encode())
    return True


NOT_ADMIN = status(500, "error_saving_ddoc", "Unknown error while saving the design document: forbidden")
