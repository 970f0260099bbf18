"""The Firestore backend, ``firestore://project/agent_data_store``.

There is one collection with one document for each record, whose id is the record's id. Any number of processes can
share it. Every listing is a range of ``__name__``, which Firestore serves from the index that every collection has. So
there is nothing to create, and no composite index to wait for. Values are native where Firestore holds them exactly,
and otherwise JSON text in ``valueJson``. There are no transactions, since those lock and wait: each write carries a
precondition, and a write that comes too late reads again and repeats.

Counting is an aggregation. A TTL policy on ``expiresAt`` reclaims expired records, and so does purging.
"""

from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.legacy import open_legacy
from datastore_firestore.urls import connect

__all__ = ["FirestoreBackend", "connect", "open_legacy"]
