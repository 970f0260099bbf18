"""What an administrator should know of a CouchDB server and of the database on it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from datastore.administration import Diagnostic, clocks, either
from datastore_couchdb.client import Session
from datastore_couchdb.expiring import EXPIRY_INDEX
from datastore_couchdb.schema import NAMESPACE_INDEX, RECORD_VIEWS, REVISIONS_KEPT

_INDEXES = (NAMESPACE_INDEX, EXPIRY_INDEX, RECORD_VIEWS)


def examine(session: Session, indexes: frozenset[str], now: float) -> list[Diagnostic]:
    """See `Backend.examine`.

    Requests: 3.
    """
    greeting, date = session.greet()
    name = f"CouchDB {greeting['version']}"
    is_new = not greeting["version"].startswith(("0.", "1.", "2."))
    missing = ", ".join(name for name in _INDEXES if name not in indexes)
    made = "connect once with create=true, as an administrator"
    findings = [
        either(is_new, name, name, "upgrade to CouchDB 3"),
        either(not missing, "its indexes and views exist", f"missing: {missing}", made),
    ]
    if date is not None:
        findings.append(clocks(now, parsedate_to_datetime(date).timestamp()))
    information = session.information()
    kept = session.revisions_kept()
    if kept is not None and kept > REVISIONS_KEPT:
        text = f"CouchDB keeps {kept:,} revisions of each document, which slows down writes"
        remedy = f"curl -X PUT -d {REVISIONS_KEPT} <database>/_revs_limit, unless its replicas are often far behind"
        findings.append(Diagnostic(False, text, remedy))
    size = information.get("sizes", {}).get("file")
    live = information.get("sizes", {}).get("active")
    if size and live and size > 100_000_000 and size > 4 * live:
        text = f"only {live:,} of {size:,} bytes on disk are in use"
        findings.append(Diagnostic(False, text, "compact the database (POST /db/_compact)"))
    return findings
