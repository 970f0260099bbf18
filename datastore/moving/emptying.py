"""Removing everything from a store. Only for scratch areas."""

from __future__ import annotations

from datastore.backend import Delete, Fields
from datastore.moving.pages import core_of, pages
from datastore.store import DataStore

URL_OF_SCRATCH = "AGENT_DATASTORE_CONFORMANCE_URL"
"""The environment variable that tells the kit's processes where the scratch area of ``datastore conformance`` is."""


def before_everything() -> float:
    """Return a time before every expiry: with this clock expired records can be removed, too."""
    return 0.0


def empty(store: DataStore) -> None:
    """Remove all records, of all users, from a store that was opened with the clock `before_everything`.

    Requests: the pages of a listing, and a write for each page.
    """
    core = core_of(store)
    if core.backend.capabilities.supports("all_documents"):
        for page in pages(store, fields=Fields.KEY):
            ids = [document.id for document in page.documents] + [
                error.id for error in page.damaged if error.id and not error.foreign
            ]
            core.write([Delete(id, core.now()) for id in ids])


def drop(store: DataStore) -> None:
    """Remove the database itself if the adapter can, else all records in it; see `empty`."""
    backend = core_of(store).backend
    if backend.capabilities.supports("drop"):
        backend.drop()
    else:
        empty(store)
