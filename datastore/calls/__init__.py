"""What an agent can call. Each module is a family: its calls, and the functions that do their work.

Where a call lives follows from what it is given:

- `records`: one key, and nothing of what is there is needed to write (``get``, ``set``, ``delete``);
- `changes`: one key, and the new value is made of the old one (``increment``, ``update``);
- `batches`: several keys, all of which the caller names (``get_many``, ``set_many``);
- `listings`: a range of ids, such as a namespace or a prefix (``list_keys``, ``scan``, ``clear``);
- `queries`: a filter on what is in the records (``find``, ``count``, ``delete_where``).

A call is a public method of its family's class, and its docstring has Args, Returns, Raises and Requests. The class has
no attribute and no ``__init__``: its scope is in a slot that has no name (`datastore.scope`). `datastore.agent` puts
the families together. What two families need lies in the one whose idea it is; a family imports only those below it.

Two modules are no families, because they are imported with the first query: `planning` answers one with what the
database can do and checks the rest of it, and `paging` hands the answer out page by page.
"""
