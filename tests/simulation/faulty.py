"""The adapter with one fault at a time, as seen in stores of this kind: the simulator must find each of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from datastore import BackendUnavailableError
from datastore.adapters import writing
from datastore.adapters.changes import Change, Result
from datastore.adapters.counting import Account, Counter
from datastore.adapters.knowledge import Known
from datastore.adapters.writing import Writer
from datastore.backend import Delete, Document, Fields, IdRange, Outcome, Touch, Write
from datastore.conformance.simulation.network import ClientError
from tests.simulation.tokens import TokenBackend
from tests.third_party.broken import BringsBackTheDeleted, KnowsTheLastWriteAlone

_MOST_ATTEMPTS = 3


class TrustsItsMemory(TokenBackend):
    """What is remembered of a record decides whether the condition of a write holds."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        refused: dict[str, Outcome] = {}
        for write in writes:
            known = self.memory.get(write.id)
            condition = None if isinstance(write, Touch) else write.if_revision
            if condition is not None and isinstance(known, Known) and known.revision != condition:
                refused[write.id] = Outcome(False, known.revision)
        others = [write for write in writes if write.id not in refused]
        outcomes = iter(super().write(others) if others else ())
        return [refused.get(write.id) or next(outcomes) for write in writes]


class CountsALostAnswerTwice(TokenBackend):
    """A count whose answer was lost is sent again with another mark."""

    def __init__(self, shelf: Any) -> None:
        super().__init__(shelf)
        self.counter = _Forgetful(self, self.memory, self.capabilities.write_batch)


class _Forgetful(Counter):
    def _keep_all(self, accounts: dict[str, Account]) -> None:
        super()._keep_all({id: account._replace(sent=0) for id, account in accounts.items()})


class DeletesWhateverIsThere(TokenBackend):
    """A delete that is sent again removes the record that has been created since."""

    def __init__(self, shelf: Any) -> None:
        super().__init__(shelf)
        self.writer = _Simple(self, self.memory)


class _Simple(Writer):
    def _note_unanswered(self, job: writing._Job, change: Change) -> None:
        if isinstance(job.write, Delete) and job.write.certain:
            super()._note_unanswered(job, change)


class RevivesTheDeleted(BringsBackTheDeleted, TokenBackend):
    """Counting the accesses of a deleted record makes it anew."""


class ReadsTheExpired(TokenBackend):
    """A record is read as if it never expired."""

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        return {id: document._replace(expires_at=None) for id, document in super().read(ids, fields).items()}


class RemembersOneWrite(KnowsTheLastWriteAlone, TokenBackend):
    """A write whose answer was lost is done again if another one has come in between."""


class TakesAnOutageForDone(TokenBackend):
    """A write that was not answered counts as done."""

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        try:
            return super().write(writes)
        except BackendUnavailableError:
            return [Outcome(True) for _ in writes]


class TakesAnOutageForMissing(TokenBackend):
    """A record that cannot be read counts as missing."""

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        try:
            return super().load(ids, metadata=metadata, value=value)
        except BackendUnavailableError:
            return {}


class ClearsOnceMore(TokenBackend):
    """A clear whose answer was lost is done again from the beginning: it removes what has been written since."""

    def clear(self, range: IdRange, now: str) -> int:
        removed, attempts = 0, itertools.count(1)
        while True:
            try:
                while rows := self._shelf.page(range.start, range.end, 2, reverse=False):
                    versions = self._shelf.replace_all([(name, version, None) for name, (version, _) in rows.items()])
                    for (_, row), version in zip(rows.values(), versions, strict=True):
                        live = row["expiresAt"] is None or row["expiresAt"] > now
                        removed += version is not None and live
                return removed
            except ClientError as error:
                if next(attempts) == _MOST_ATTEMPTS:
                    raise BackendUnavailableError(str(error), backend=self.name) from error


class WritesOverOthers(TokenBackend):
    """The version is checked in one request, and the document written in another."""

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        with self._translated():
            versions = {name: version for name, (version, _) in self._shelf.get([one.id for one in changes]).items()}
            still = [versions.get(change.id) == change.token for change in changes]
            now = {name: version for name, (version, _) in self._shelf.get([one.id for one in changes]).items()}
        current = [
            change._replace(over=change.over._replace(token=now[change.id]))
            if same and isinstance(change.over, Known) and change.id in now
            else change
            for change, same in zip(changes, still, strict=True)
        ]
        return super().swap(current)


FAULTY: dict[str, type[TokenBackend]] = {
    "stale memory decides": TrustsItsMemory,
    "a lost answer counted twice": CountsALostAnswerTwice,
    "a repeated delete": DeletesWhateverIsThere,
    "counting revives": RevivesTheDeleted,
    "reads of expired": ReadsTheExpired,
    "one write remembered": RemembersOneWrite,
    "an outage for done": TakesAnOutageForDone,
    "an outage for missing": TakesAnOutageForMissing,
    "checked, then written": WritesOverOthers,
    "clear repeated": ClearsOnceMore,
}
"""The adapters by what is wrong with them."""
