"""The CouchDB backend, ``couchdb://user:password@host:5984/agent_data_store`` (``couchdbs://`` for TLS).

There is one document for each record, in one database. A record's id is its document's id, and most calls need no
other index. A listing is a range of ``_all_docs``, which compares ids byte by byte. Reading many records is one
``_bulk_get``, and writing them is one ``_bulk_docs``. Connecting creates two Mango indexes and two views, which serve
queries, expiry and namespaces.

Written for CouchDB 3; https://docs.couchdb.org/en/stable/api/
"""

from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.legacy import open_legacy
from datastore_couchdb.urls import connect

__all__ = ["CouchBackend", "connect", "open_legacy"]
