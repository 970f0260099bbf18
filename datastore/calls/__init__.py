"""The calls of an agent. Each module is a family: its calls, and the functions that do their work.

A call's arguments decide to which family it belongs:

- `records`: one key, and a write does not depend on the stored value (``get``, ``set``, ``delete``);
- `changes`: one key, and the new value is computed from the old one (``increment``, ``update``);
- `batches`: several keys, all given by the caller (``get_many``, ``set_many``);
- `listings`: a range of ids, such as a namespace or a prefix (``list_keys``, ``scan``, ``clear``);
- `queries`: a filter on the content of the records (``find``, ``count``, ``delete_where``).

A call is a public method of its family's class, and its docstring has Args, Returns, Raises and Requests. The class has
no attribute and no ``__init__``: its scope is in a slot that has no name (`datastore.scope`). `datastore.agent`
combines the families. A function that two families need is in the one that it belongs to by its subject; a family
imports only those below it.

Two modules are not families, because they are imported with the first query: `planning` answers a query with what the
database can do and checks the residual, and `paging` returns the answer page by page.
"""
