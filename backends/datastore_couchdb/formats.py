"""What a database records about itself: how its records are written, and whether this server keeps numbers.

It is one more design document, since `connect` reads design documents anyway. It holds some numbers that not every
server gives back unchanged: how they come back is how those of the records do. So each connection finds out, without a
further request, what its own server does, even if the database was copied from another one. If the document does not
exist, numbers are assumed to change, which takes more space and is always right.
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
    """Whether the server gives numbers back unchanged (`datastore_couchdb.keeping`)."""
    flagged: bool = False
    """Whether each record that expires has a flag (`datastore_couchdb.expiring`)."""


def format_of(document: dict[str, Any] | None) -> Format:
    """Return what the design document says; the defaults if there is none."""
    if document is None:
        return Format()
    return Format(repr(document.get("numbers")) == repr(KEEPS), document.get("expiring") == "flagged")


def establish(session: Session) -> None:
    """Create the design document, after flagging the records that expire.

    What this user may not do is left undone: everything works without it, and an administrator may connect later.
    Another process may do the same at the same time; every version that knows of flags writes them.

    Requests: 2, and 1 per 10,000 records that expire to find them and 1 per 1,000 to flag them.
    """
    path = f"_design/{FORMAT}"
    try:
        session.make("PUT", path, {"numbers": KEEPS, "expiring": "unflagged"})  # may this user write it at all?
        flag_all(session)
        rev = member(session.get(path), "_rev", str, NAME)
        session.make("PUT", path, {"_rev": rev, "numbers": KEEPS, "expiring": "flagged"})
    except PermissionDeniedError:
        return
