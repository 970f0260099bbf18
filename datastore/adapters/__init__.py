"""What adapters have in common: for their authors, and imported by nothing else.

- `datastore.adapters.remembering`: how a record knows the writes that it has seen, so that none is applied twice.
- `datastore.adapters.answers`: whether an answer of a server is whole.
- `datastore.adapters.contention`: how long a write goes on against other writers of its record.
- `datastore.adapters.pushdown`: from a query to what a database is asked, and what is left to check.
- `datastore.adapters.batching`: what is too much for one request, shared among several, by count and by size.
- `datastore.adapters.choosing`: which of several declared indexes answers a query.
"""
