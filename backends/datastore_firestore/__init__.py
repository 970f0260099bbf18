"""The Firestore backend, ``firestore://project/agent_data_store``.

One collection, one document a record, the document's id the record's id; any number of processes can share it. Every
listing is a range of ``__name__``, which Firestore serves from the index that each collection has, so there is nothing
to create and no composite index to wait for. Values are native Firestore values where Firestore holds them exactly,
and JSON text in ``valueJson`` where it does not. There are no transactions, which lock and wait: each write carries a
precondition, and one that comes too late reads again and repeats.

It counts with an aggregation. A TTL policy on ``expiresAt`` reclaims what has expired, and so does purging.
"""

from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.legacy import open_legacy
from datastore_firestore.urls import connect

__all__ = ["FirestoreBackend", "connect", "open_legacy"]
