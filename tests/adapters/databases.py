"""A database that compares and swaps, a client whose requests meet faults and other writers, and a model of both.

`Model` says what writes mean, in the simplest way. `Database` applies the changes that the toolkit has decided, and
compares each one with the model when it is applied. So the order of changes in the database is their order in the
model.
"""

from __future__ import annotations

import itertools
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from datastore.adapters.changes import Applied, Change, Late, Result, Rules, Sent, decide
from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import ABSENT, UNSEEN, Known, Memory, State, damaged_one, known_of
from datastore.adapters.primitives import Counting, Primitives
from datastore.adapters.remembering import remember, remembers
from datastore.adapters.writing import Writer
from datastore.backend import Access, Delete, Document, Outcome, Put, Restore, Touch
from datastore.errors import BackendUnavailableError
from datastore.values import merge_metadata

Key: TypeAlias = tuple[str, str, str]


def key_of(write: Put | Restore | Delete | Touch) -> Key:
    """Return what tells a write from all others."""
    return type(write).__name__, write.id, write.at


class Model:
    """What is stored, by the meaning of the contract."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}

    def live(self, id: str, at: str) -> Document | None:
        document = self.documents.get(id)
        return document if document and (document.expires_at is None or document.expires_at > at) else None

    def outcome(self, write: Put | Restore | Delete | Touch) -> Outcome:
        """Return what a write would come to now."""
        live = self.live(write.id, write.at)
        revision = live.revision if live else None
        if isinstance(write, Touch):
            return Outcome(live is not None)
        if isinstance(write, Restore):
            return Outcome(True) if write.if_revision == revision else Outcome(False, revision)
        if write.if_revision is not None and write.if_revision != revision:
            return Outcome(False, revision)
        if isinstance(write, Delete):
            return Outcome(live is not None)
        return Outcome(False, revision) if write.if_absent and live else Outcome(True)

    def apply(self, write: Put | Restore | Delete | Touch | Access) -> None:
        id = write.id
        if isinstance(write, Access):
            document = self.documents[id]
            assert document.created_at == write.created_at
            document = document._replace(access_count=document.access_count + write.number)
            if write.at >= (document.last_accessed_at or ""):
                document = document._replace(last_accessed_at=write.at, last_accessed_by_agent=write.agent)
            self.documents[id] = document
        elif isinstance(write, Delete):
            del self.documents[id]
        elif isinstance(write, Restore):
            self.documents[id] = write.document
        elif isinstance(write, Touch):
            self.documents[id] = self.documents[id]._replace(expires_at=write.expires_at)
        else:
            live = self.live(id, write.at)
            new = Document(id, write.at, write.revision, None, metadata={}, created_by_agent=write.agent)
            self.documents[id] = (live or new)._replace(
                revision=write.revision,
                expires_at=live.expires_at if live and write.keep_expiry else write.expires_at,
                value=write.value,
                metadata=merge_metadata((live or new).metadata or {}, write.metadata or {}),
                updated_at=write.at,
                updated_by_agent=write.agent,
            )


class Database:
    """Documents with tokens, and the model beside them."""

    def __init__(self) -> None:
        self.rows: dict[str, Known] = {}
        self.removed: set[tuple[str, str]] = set()
        """The ids of what was removed, and the marks of the deletes."""
        self.model = Model()
        self.done: Tally[Key] = Tally()
        """How often each write was applied to the document that is there."""
        self.outlived: set[Key] = set()
        """The writes whose documents have gone since, and what they knew of them with them."""
        self._tokens = itertools.count(1)

    def found(self, id: str) -> State:
        return self.rows.get(id, ABSENT)

    def damage(self, id: str, *, foreign: bool = False) -> None:
        """Make a document one that nobody can read."""
        self.rows[id] = damaged_one(next(self._tokens), foreign=foreign)

    def swap(self, change: Change, rules: Rules) -> Result:
        found = self.found(change.id)
        if change.over is UNSEEN:
            return self._swap_unseen(change, found, rules)
        if change.over is ABSENT:
            return Late() if found is not ABSENT else self._store(change)
        return self._store(change) if isinstance(found, Known) and found.token == change.token else Late()

    def _swap_unseen(self, change: Change, found: State, rules: Rules) -> Result:
        """Do what the write demands of the document as it is, in the database."""
        write = change.write
        if isinstance(write, Access):
            if not isinstance(found, Known) or found.created_at != write.created_at:
                return Late(found)
            if remembers(found.counts, change.marks[0]):
                return Late(found)
            counts = remember(found.counts, change.marks[0])
            after = found._replace(access_count=found.access_count + write.number, counts=counts)
            if write.at >= (found.last_accessed_at or ""):
                after = after._replace(last_accessed_at=write.at, last_accessed_by_agent=write.agent)
            return self._store(change._replace(over=found, after=after))
        step = decide(write, found, rules, fresh=True, mark="".join(change.marks[:1]))
        if isinstance(write, Delete) and found is ABSENT:
            return Applied(outcome=Outcome(False))
        if not isinstance(step, Change):
            return Late(found)
        if isinstance(write, Put) and step.live and write.metadata:
            return Late(found)  # what it is merged with must be read
        return self._store(step)

    def _store(self, change: Change) -> Applied:
        write, token = change.write, next(self._tokens)
        expected = None if isinstance(write, Access) else self.model.outcome(write)
        assert expected is None or expected.done or isinstance(write, Delete)
        damaged = isinstance(change.over, Known) and change.over.damaged
        if not isinstance(write, Access):
            self._note(change, write, expected)
        if not damaged:
            self.model.apply(write)
        if change.document is None:
            del self.rows[write.id]
            self.removed.add((write.id, change.marks[0]))
        else:
            known = change.after
            assert isinstance(known, Known)
            document = change.document
            if change.live:  # what the change does not speak of stays
                before = self.rows[write.id].source
                document = document._replace(
                    value=before.value if change.json is None else document.value,
                    metadata=before.metadata if change.metadata is None else document.metadata,
                )
            self.rows[write.id] = known_of(document, token, known.writes, known.counts)
            assert self.model.documents[write.id] == document
        return Applied(token, change.outcome or expected)

    def _note(self, change: Change, write: Put | Restore | Delete | Touch, expected: Outcome | None) -> None:
        if not change.live:  # what was there goes, whole, with the marks of its writes
            for key in [key for key in self.done if key[1] == write.id and key[0] != "Delete"]:
                self.outlived.add(key)
                del self.done[key]
        if expected is not None and expected.done:  # nobody can tell whether an expired document is still there
            self.done[key_of(write)] += 1


class LostError(BackendUnavailableError):
    """An answer that did not come."""


Event = Callable[[], None]
"""What happens when a request is sent; `Unsent` and `Unanswered` are raised by some."""


class Unsent(Exception):  # noqa: N818 - an event, not an error
    """The request does not arrive."""


class Unanswered(Exception):  # noqa: N818 - an event, not an error
    """The answer does not arrive."""


def unsent() -> None:
    raise Unsent


def unanswered() -> None:
    raise Unanswered


class Client(Primitives):
    """What one adapter asks of a database, with faults and other writers in between.

    Args:
        database: What it works on.
        rules: See `Primitives`.
        counting: See `Primitives`.
        blind: Whether it sends what it can without reading.
        memory: What it remembers.
        tells: Whether it can find out which delete has removed a document.
    """

    name = "plain"

    def __init__(
        self,
        database: Database,
        *,
        rules: Rules = Rules(),  # noqa: B008 - it is immutable
        counting: Counting = Counting.READ,
        blind: bool = False,
        memory: Memory | None = None,
        tells: bool = True,
    ) -> None:
        self.database = database
        self.rules = rules
        self.counting = counting
        self.blind = blind
        self.tells = tells
        self.memory = Memory() if memory is None else memory
        self.writer = Writer(self, self.memory)
        self.counter = Counter(self, self.memory, batch=2)
        self.events: deque[Event | None] = deque()
        self.asked: list[str] = []
        self.changes: list[Change] = []
        self.learnt: dict[str, bool] = {}

    def meet(self, events: Iterable[Event | None]) -> None:
        """Let these happen at the next requests, one at each."""
        self.events = deque(events)

    def load(self, ids: Sequence[str], *, metadata: bool, value: bool) -> Mapping[str, Known]:
        with_answer = self._send("load")
        found = {id: self.database.rows[id] for id in ids if id in self.database.rows}
        if not with_answer:
            raise LostError("no answer")
        return {
            id: known._replace(metadata=known.metadata if metadata else None, source=known.source if value else None)
            for id, known in found.items()
        }

    def swap(self, changes: Sequence[Change]) -> Sequence[Result]:
        with_answer = self._send("swap")
        self.changes += changes
        results = [self.database.swap(change, self.rules) for change in changes]
        if not with_answer:
            raise LostError("no answer")
        return results

    def guess(self, write: Put | Restore | Delete | Touch, remembered: State | None, alone: bool) -> State | None:
        return UNSEEN if self.blind else super().guess(write, remembered, alone)

    def was_removed_by(self, id: str, sent: Sent) -> bool | None:
        return (id, sent.mark) in self.database.removed if self.tells else None

    def learned(self, id: str, existed: bool) -> None:
        self.learnt[id] = existed

    def write(self, *writes: Put | Restore | Delete | Touch) -> list[Outcome]:
        """Write, and write again what was not answered, as the store does."""
        outcomes: dict[str, Outcome] = {}
        pending = {write.id: write for write in writes}
        for _ in range(100):
            try:
                answers = self.writer.write(list(pending.values()))
            except LostError:
                continue
            outcomes |= zip(pending, answers, strict=True)
            errors = {id: outcome.error for id, outcome in outcomes.items() if outcome.error is not None}
            pending = {id: write for id, write in pending.items() if id in errors and errors[id].retryable}
            if not pending:
                return [outcomes[write.id] for write in writes]
        raise AssertionError("it never ended")

    def _send(self, request: str) -> bool:
        """Send a request, and return whether its answer arrives."""
        self.asked.append(request)
        event = self.events.popleft() if self.events else None
        try:
            if event is not None:
                event()
        except Unsent:
            raise LostError("it was not sent") from None
        except Unanswered:
            return False
        return True
