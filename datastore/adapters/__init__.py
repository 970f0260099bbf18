"""What adapters have in common: for their authors, and imported by nothing else.

- `datastore.adapters.remembering`: how a record knows the writes that it has seen, so that none is applied twice.
- `datastore.adapters.answers`: whether an answer of a server is whole.
- `datastore.adapters.contention`: how long a write goes on against other writers of its record.
- `datastore.adapters.choosing`: which of several declared indexes answers a query.
- `datastore.adapters.removing`: what a call that removes much has removed, kept until it is repeated.
- `datastore.adapters.optimistic`: a whole backend over two primitives, `load` and `swap`, for small adapters. It stands
  on `knowledge` (what is known of stored documents, and the memory of it), `changes` (what a write means), `primitives`
  (what an adapter brings), `writing` and `counting`, which larger adapters use one by one.
"""
