"""The CouchDB backend, ``couchdb://user:password@host:5984/agent_data_store`` (``couchdbs://`` for TLS).

One document a record, in one database. The record's id is the document's id and the only index that most calls need:
listings are ranges of ``_all_docs``, which compares ids byte by byte, reads of many records one ``_bulk_get``, writes
one ``_bulk_docs``. Two Mango indexes and one view are made at startup, for queries, expiry and namespaces.

Written for CouchDB 3; https://docs.couchdb.org/en/stable/api/
"""

from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.legacy import open_legacy
from datastore_couchdb.urls import connect

__all__ = ["CouchBackend", "connect", "open_legacy"]
