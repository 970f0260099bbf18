"""Faults that several tests let the proxy bring about; more are in `tests.servers.strict_couchdb`."""

from __future__ import annotations

import json

from tests.servers.strict_couchdb import (
    stall,
    status,
)

STALL = stall(4.0)


def hurry(store, fault, times, path=""):
    """Let a store give up requests that meet `STALL` after a second; a busy machine takes longer for any other.

    Args:
        store: An open store.
        fault: What the requests meet; nothing is done about any other than `STALL`.
        times: How many of the next requests. All that follow have their time again.
        path: How their paths end.
    """
    left = times if fault is STALL else 0

    def shorten(request):
        nonlocal left
        if left and request.url.path.endswith(path):
            left -= 1
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), 1.0)

    store.backend._session.client.event_hooks = {"request": [shorten]}


def all_refused(handler, request):
    """Each document of the batch, as a validation function of the database does."""
    refusals = [
        {"id": document["_id"], "error": "forbidden", "reason": "validation says no"}
        for document in request.json()["docs"]
    ]
    handler.answer(201, json.dumps(refusals).encode())
    return True


NOT_ADMIN = status(500, "error_saving_ddoc", "Unknown error while saving the design document: forbidden")
