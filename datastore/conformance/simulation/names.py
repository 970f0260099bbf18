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
JOBS = {"kind": "job"}
"""A filter that every job matches, and nothing else."""
