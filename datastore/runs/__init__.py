"""Runs: journals of steps that any worker can go on with, on any database. From ``data_store.runs``; see docs/runs.md.

The journal is the truth. Its entries have numbers without gaps, and each is written only if there is none of its
number. So one atomic write of one record is all that a step needs, and two workers can never both go on: the next
entry of one of them fails. Heads, hints and the rest follow from the journal, and may be late.
"""

from __future__ import annotations

from datastore.runs.entries import Branch, HistoryEntry, RunInfo
from datastore.runs.run import Run
from datastore.runs.runs import Runs
from datastore.runs.state import State

__all__ = ["Branch", "HistoryEntry", "Run", "RunInfo", "Runs", "State"]
