"""The awaited calls on blobs, memory and runs, if somebody watches; see `datastore.watching_beside`."""

from __future__ import annotations

import inspect

import datastore.watching_beside  # noqa: F401 - what the calls begin with is known from there
from datastore.asynchronous.blobs import AsyncBlobs
from datastore.asynchronous.memory import AsyncMemory
from datastore.asynchronous.runs import AsyncRuns
from datastore.asynchronous.watching import Told, awaited
from datastore.watching import as_if, calls_of


class WatchedAsyncBlobs(Told, AsyncBlobs):
    """`AsyncBlobs` whose calls are told to the host. What an open blob reads is told of by its twin."""

    __slots__ = ()


class WatchedAsyncMemory(Told, AsyncMemory):
    """An `AsyncMemory` whose calls are told to the host. Its streams are told of by its synchronous twin."""

    __slots__ = ()


class WatchedAsyncRuns(Told, AsyncRuns):
    """`AsyncRuns` whose calls are told to the host."""

    __slots__ = ()


for _kind, _original, _prefix in (
    (WatchedAsyncBlobs, AsyncBlobs, "blob_"),
    (WatchedAsyncMemory, AsyncMemory, "memory_"),
    (WatchedAsyncRuns, AsyncRuns, "run_"),
):
    for _name, _function in calls_of(_original).items():
        if inspect.iscoroutinefunction(_function):
            setattr(_kind, _name, awaited(_prefix + _name, _function))
    as_if(_kind, _original)
