"""What a database says of itself: how its records are written, and how the server at hand gives back numbers.

One more design document, since these are what `connect` reads anyway. It holds some numbers that not every server
keeps: as they come back, so do those of the records. So each connection finds out again, for the server that it has
reached, without a request for it, whatever the database was copied from. Where the document is not there, numbers are
taken for lost, which costs space and is always right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from datastore.adapters.answers import member
from datastore.errors import PermissionDeniedError
from datastore_couchdb.client import NAME, Session
from datastore_couchdb.expiring import flag_all
from datastore_couchdb.keeping import KEEPS

FORMAT = "agent_data_store_format"
"""The name of the design document."""


class Format(NamedTuple):
    """How records are written."""

    exact: bool = False
    """The server keeps numbers (`datastore_couchdb.keeping`)."""
    flagged: bool = False
    """Each record that expires has a flag beside it (`datastore_couchdb.expiring`)."""


def format_of(document: dict[str, Any] | None) -> Format:
    """Return what the design document says."""
    if document is None:
        return Format()
    return Format(repr(document.get("numbers")) == repr(KEEPS), document.get("expiring") == "flagged")


def establish(session: Session) -> None:
    """Make the design document, and before that flag the records that expire.

    What this user may not do is left undone: everything works without it, and an administrator may come later. Another
    process may do the same at once; every version that knows of flags writes them.

    Requests: 2, and 1 per 10,000 records that expire to find them and 1 per 1,000 to flag them.
    """
    path = f"_design/{FORMAT}"
    try:
        session.make("PUT", path, {"numbers": KEEPS, "expiring": "unflagged"})  # may this user at all?
        flag_all(session)
        rev = member(session.get(path), "_rev", str, NAME)
        session.make("PUT", path, {"_rev": rev, "numbers": KEEPS, "expiring": "flagged"})
    except PermissionDeniedError:
        return
