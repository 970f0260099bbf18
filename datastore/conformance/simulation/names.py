"""The users, namespaces and keys of all runs."""

from __future__ import annotations

import itertools

KEYS = {"text": ("a", "b"), "number": ("n",), "job": ("job1", "job2"), "list": ("list",)}
"""The keys by what their values are. There are few, so that calls meet."""
ALL = tuple(sorted(itertools.chain.from_iterable(KEYS.values())))
SPACE = "ns"
"""The namespace that all of them are in."""
MADE = "made"
"""The namespace of records whose keys nobody can guess."""
USERS = ("ann", "ben")
MISSING = "(nothing)"
AREAS = "(areas)"
"""In the notes of an import: it has written what is kept around the records, as it was at the time of the export."""
JOBS = {"kind": "job"}
"""A filter that every job matches, and nothing else."""
