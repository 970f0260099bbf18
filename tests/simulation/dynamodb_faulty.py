"""The adapter for DynamoDB with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from datastore.adapters.counting import Account, Counter
from datastore.adapters.knowledge import Memory
from datastore.backend import DocumentPage, Put, Restore
from datastore_dynamodb import answers, batches, parts, requests
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.items import revision_after
from datastore_dynamodb.marks import COUNTS, unknown
from datastore_dynamodb.reading import Reader
from datastore_dynamodb.schema import Settings
from tests.simulation.dynamodb import DynamoDatabase


class CountsALostAnswerTwice(DynamoBackend):
    """A count whose answer was lost is sent again with another mark."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._counter = _Forgetful(self._items(), Memory(0))


class _Forgetful(Counter):
    def _keep_all(self, accounts: dict[str, Account]) -> None:
        super()._keep_all({id: account._replace(sent=0) for id, account in accounts.items()})


def _takes_any_answer(*_: Any, **__: Any) -> None:
    """Nothing is checked: the client takes an answer that was cut for one without an item."""


def _drops_the_unprocessed(rest: Sequence[Any], asked: Sequence[Any]) -> int:
    return 0


def _takes_a_page_for_all(reader: Reader, items: Any, fields: Any, limit: int, last: Any) -> DocumentPage:
    return _PAGE_OF(reader, items, fields, limit, None)


def _named_by_revision(parts: parts.Parts, write: Put | Restore) -> str:
    return revision_after(write)


_PAGE_OF = Reader._page_of
_NEW = "attribute_not_exists(pk) OR"
_REVIVES = f"({_NEW} createdAt = :created) AND ({_NEW} attribute_type(accessCount, :numeric)) AND {unknown(COUNTS)}"

FAULTY: dict[str, Callable[[], DynamoDatabase]] = {
    "a part reaped before its head": partial(DynamoDatabase, faults=[(parts, "_TTL_MARGIN", -5)]),
    "an answer cut short taken": partial(DynamoDatabase, faults=[(answers.Answers, "check", _takes_any_answer)]),
    "a lost answer counted twice": partial(DynamoDatabase, CountsALostAnswerTwice),
    "counting revives": partial(DynamoDatabase, faults=[(requests, "_SAME_RECORD", _REVIVES)]),
    "what is unprocessed is dropped": partial(DynamoDatabase, faults=[(batches, "_number", _drops_the_unprocessed)]),
    "a write is not recognised": partial(
        DynamoDatabase, faults=[(requests, "_UNKNOWN", "NOT (w1 = :mark AND attribute_not_exists(pk))")]
    ),
    "a page is taken for all": partial(DynamoDatabase, faults=[(Reader, "_page_of", _takes_a_page_for_all)]),
    "a write replaces what has expired since": partial(DynamoDatabase, faults=[(requests, "LIVE", "(:at = :at)")]),
}
"""The databases with such an adapter, by what is wrong with it."""

PARTS_NAMED_BY_REVISION = partial(DynamoDatabase, faults=[(parts.Parts, "name", _named_by_revision)])
"""One more, which takes longer to be found: few values have parts, and few requests are so late."""

TAKES_WHAT_IS_LATE = partial(
    DynamoDatabase,
    faults=[(requests, name, "(:at = :at)") for name in ("_NOT_CREATED_SINCE", "_NOT_WRITTEN_SINCE")],
)
"""A request that arrives late meets what was created since."""
