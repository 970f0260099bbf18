"""Reading a database that another program has written, without creating anything in it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from datastore.adapters.opening import ClosedOnFailure
from datastore.administration import LegacyPage
from datastore.urls import Url
from datastore_couchdb.client import NAME, Session, Settings
from datastore_couchdb.urls import settings_of

_PAGE_BYTES = 16_000_000


class LegacyDatabase:
    """See `datastore.administration.LegacySource`."""

    name = NAME
    place: Hashable = None

    def __init__(self, settings: Settings) -> None:
        self._session = Session(settings)

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        parameters: dict[str, Any] = {"include_docs": True, "limit": limit}
        if after is not None:
            parameters["startkey"] = after + "\0"  # the next possible id
        rows, cut = self._session.rows("_all_docs", parameters, _PAGE_BYTES)
        documents = [row["doc"] for row in rows if row.get("doc") and not row["id"].startswith("_design/")]
        return LegacyPage(documents, rows[-1]["id"] if cut or len(rows) == limit else None)

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`. CouchDB lists either whole documents or only their ids.

        Requests: 1.
        """
        return self.documents(limit, after)

    def count(self) -> int:
        """See `datastore.administration.LegacySource`.

        Requests: 1.
        """
        return int(self._session.information()["doc_count"])

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._session.close()


def open_legacy(url: Url) -> LegacyDatabase:
    """Open a database in the legacy format; the URL is the same as for `connect`.

    Raises:
        ConfigurationError: If the URL is wrong, or the database does not exist.
        PermissionDeniedError, BackendUnavailableError: As `connect`.

    Requests: 1.
    """
    source = LegacyDatabase(settings_of(url))
    with ClosedOnFailure(source):
        source.count()
    return source
