"""The adapter for Firestore with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from datastore.adapters.changes import Change
from datastore.adapters.counting import Account, Counter
from datastore.adapters.knowledge import Memory
from datastore.backend import Access, Put
from datastore_firestore import answers, client, documents
from datastore_firestore.backend import FirestoreBackend
from datastore_firestore.client import Message, Stream
from datastore_firestore.writing import MOST_WRITES, Documents
from tests.simulation.firestore import FirestoreDatabase


class CountsALostAnswerTwice(FirestoreBackend):
    """A count whose answer was lost is sent again with another mark."""

    def _assemble(self) -> None:
        super()._assemble()
        primitives = Documents(self._connection, self._reader, self._settings)
        self._counter = _Forgetful(primitives, Memory(100), MOST_WRITES)


class _Forgetful(Counter):
    def _keep_all(self, accounts: dict[str, Account]) -> None:
        super()._keep_all({id: account._replace(sent=0) for id, account in accounts.items()})


class _TakesAnyEnd(Stream):
    """A stream that ends is taken for one that is complete."""

    @property
    def complete(self) -> bool:
        return True

    @complete.setter
    def complete(self, value: bool) -> None:
        pass


def _unconditional(*kinds: type[Any]) -> Callable[[Documents, Change], Message]:
    """Return a way to write some kinds of changes whatever there is by then."""

    def message(self: Documents, change: Change) -> Message:
        found = _MESSAGE(self, change)
        if isinstance(change.write, kinds):
            found.ClearField("current_document")
        return found

    return message


def _takes_any_answer(*_: Any) -> None:
    """Nothing is checked."""


def _all_done(self: Documents, change: Change, status: Message, result: Message) -> Any:
    status.code = 0
    return _RESULT(self, change, status, result)


def _guesses_live(result: Message, at: str) -> bool:
    return True


_MESSAGE, _RESULT = Documents._message, Documents._result

FAULTY: dict[str, Callable[[], FirestoreDatabase]] = {
    "a stream cut short taken": partial(FirestoreDatabase, faults=[(client, "Stream", _TakesAnyEnd)]),
    "a lost answer counted twice": partial(FirestoreDatabase, CountsALostAnswerTwice),
    "counting revives": partial(FirestoreDatabase, faults=[(Documents, "_message", _unconditional(Access))]),
    "a write without its condition": partial(FirestoreDatabase, faults=[(Documents, "_message", _unconditional(Put))]),
    "a batch taken for done": partial(
        FirestoreDatabase, faults=[(Documents, "_result", _all_done), (answers, "check_batch", _takes_any_answer)]
    ),
    "a delete that does not look": partial(FirestoreDatabase, faults=[(documents, "probed", _guesses_live)]),
}
"""The databases with such an adapter, by what is wrong with it."""
