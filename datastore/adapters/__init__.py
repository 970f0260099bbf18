"""What adapters have in common. Only adapters import it.

- `datastore.adapters.remembering`: how a record recognises its last writes, so that none is applied twice.
- `datastore.adapters.answers`: whether a server's answer is complete.
- `datastore.adapters.contention`: how long a write keeps trying against other writers of its record.
- `datastore.adapters.pushdown`: from a query to what a database is asked, and what is left to check.
- `datastore.adapters.batching`: splitting what is too much for one request, by number and by size.
- `datastore.adapters.choosing`: which of several declared indexes answers a query, and where it is looked at.
- `datastore.adapters.declaring`: how declared indexes are named, and what a database keeps of them.
- `datastore.adapters.vectors`: what indexes of vectors check, and what is said of them.
- `datastore.adapters.connections`: connections to a server that are kept for the next request.
- `datastore.adapters.opening`: what was opened and cannot be used is closed.
- `datastore.adapters.composed`: a backend of parts, to which it hands each method on.
- `datastore.adapters.removing`: what a call that removes many documents has removed, kept until it is repeated.
- `datastore.adapters.optimistic`: a whole backend over two primitives, `load` and `swap`, for small adapters. It is
  built from `knowledge` (what is known of stored documents, and the memory of it), `changes` (what a write means),
  `primitives` (what an adapter provides), `writing` and `counting`. Larger adapters use these separately.
"""
