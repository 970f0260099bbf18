"""Whether the database is well: what `datastore doctor` asks it, without the trials that write."""

from __future__ import annotations

import time
from collections.abc import Iterator

from datastore.administration import Diagnostic
from datastore.errors import DataStoreError
from datastore.store import DataStore
from datastore.viewer.text import number
from datastore.viewer.visits import Page, Visit


def doctor(visit: Visit) -> Page:
    """Show what the database says of itself, and what to do about it.

    Requests: those of `DataStore.health`, of counting the documents where that is cheap, and of `Backend.examine`.
    """
    return Page("doctor.html", {"findings": list(_examined(visit.store))})


def _examined(store: DataStore) -> Iterator[Diagnostic]:
    health = store.health()
    if not health.ok or health.latency is None:
        yield Diagnostic(False, f"the database does not answer: {health.error}", "see the page about troubleshooting")
        return
    yield Diagnostic(True, f"{health.backend} answers in {health.latency * 1_000:,.1f} ms")
    backend = store.backend
    try:
        count = backend.document_count() if backend.capabilities.supports("all_documents") else None
        if count is not None:
            yield Diagnostic(True, f"it holds about {number(count, 'record')}")
        yield from backend.examine(time.time())
    except DataStoreError as error:
        yield Diagnostic(False, f"the database does not report its state: {error.message}")
