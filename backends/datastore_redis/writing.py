"""The primitives that Redis gives to the toolkit: a script changes a record only if it has the token that was seen.

All changes of a call are one request. A refusal says what is stored instead, which saves the read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datastore.adapters.changes import Applied, Change, Late, Result, Rules
from datastore.adapters.knowledge import ABSENT, Known, damaged_one
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED
from datastore.backend import Access, Delete, Restore
from datastore.errors import DataStoreError
from datastore_redis.client import Command, Session, run
from datastore_redis.codec import fields_of, known_of, new_token
from datastore_redis.failures import NAME, WrongTypeError
from datastore_redis.scripts import COUNT, STATE, SWAP, UNKNOWN


class Records(Primitives):
    """The records of one store, as the toolkit sees them."""

    name = NAME
    rules = Rules(replaces_whole=False)
    counting = Counting.UNSEEN
    counts_apart = True

    def __init__(self, session: Session) -> None:
        self._session = session

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        """See `Primitives.load`.

        Requests: 1.
        """
        found: dict[str, Known] = {}
        record = self._session.names.record
        for id, row in zip(ids, self._session.try_all([("HMGET", record(id), *STATE) for id in ids]), strict=True):
            if isinstance(row, WrongTypeError):
                found[id] = damaged_one(UNKNOWN, foreign=True)
            elif isinstance(row, DataStoreError):
                raise row
            elif any(one is not None for one in row):
                found[id] = known_of(id, row)
        return found

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        """See `Primitives.swap`.

        A user is listed before and after the record is made: between the two somebody may have found that the user has
        none, and taken the user off the list. Where one of the two is refused, the other is enough.

        Requests: 1.
        """
        names = self._session.names
        made = {change.id.partition(":")[0] for change in changes if not change.live and _stores(change)}
        listed: list[Command] = (
            [("ZADD", names.users, *(part for user in sorted(made) for part in (0, user)))] if made else []
        )
        token = new_token()
        answers = self._session.try_all([*listed, *(self._command(change, token) for change in changes), *listed])
        ours = answers[len(listed) : len(answers) - len(listed)]
        refusals = [one for one in (answers[0], answers[-1]) if listed and isinstance(one, DataStoreError)]
        if len(refusals) > 1 and not any(isinstance(one, DataStoreError) for one in ours):
            raise refusals[0]
        return [self._result(change, token, answer) for change, answer in zip(changes, ours, strict=True)]

    def _command(self, change: Change, token: str) -> Command:
        names, write = self._session.names, change.write
        record = names.record(write.id)
        if isinstance(write, Access):
            most = MARK_LENGTH * REMEMBERED
            parts = (write.created_at, change.marks[0], write.number, most, write.agent, write.at)
            return run(COUNT, [record], *parts)
        keys = [record, *names.index(write.id.partition(":")[0])]
        seen = "" if change.over is ABSENT else change.token
        if not _stores(change):
            return run(SWAP, keys, seen, write.id, "remove")
        how = "change" if change.live and not isinstance(write, Restore) else "new"
        return run(SWAP, keys, seen, write.id, how, *fields_of(change, token))

    def _result(self, change: Change, token: str, answer: Any) -> Result:
        if isinstance(answer, DataStoreError):
            return answer
        if isinstance(change.write, Access):
            return Applied() if answer else Late(ABSENT)
        if answer == 1:
            return Applied(token)
        if answer == [b""]:
            return Late(ABSENT)
        return Late(known_of(change.id, answer[1]) if len(answer) > 1 else damaged_one(UNKNOWN, foreign=True))


def _stores(change: Change) -> bool:
    return not isinstance(change.write, Delete | Access)
