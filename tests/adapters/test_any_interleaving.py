"""Writers of one database, with lost answers and in any interleaving: each write is applied once.

Every change is compared with a simple model when the database applies it (`tests.adapters.databases`). The outcome of a
write must be what the model says at that moment. For a write that was not applied, it must be what the model says at
some moment of the call. A touch is applied to a live document only, and a put that keeps the expiry never takes it
back. A delete that must be certain is done only if it has removed the document itself.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from datastore.adapters.changes import Applied, Rules
from datastore.adapters.knowledge import Memory
from datastore.adapters.primitives import Counting
from datastore.backend import Access, Delete, Document, Outcome, Put, Restore, Touch
from datastore.conformance.documents import at, id_of, put
from datastore.errors import OutcomeUnknownError
from tests.adapters.databases import Client, Database, LostError, key_of, unanswered, unsent

KINDS = {
    "replacing": {},
    "changing fields": {"rules": Rules(replaces_whole=False), "counting": Counting.REMEMBERED},
    "blind": {"rules": Rules(replaces_whole=False), "counting": Counting.UNSEEN, "blind": True},
}
"""The kinds of adapters that there are."""
WRITERS = range(3)
ELSEWHERE = "elsewhere"
"""Who created what is restored; its count of accesses is not looked at, since it is what the restore says."""


class Step(NamedTuple):
    """One call of one writer."""

    writer: int
    call: str
    keys: tuple[str, ...]
    condition: str
    metadata: dict[str, int | None] | None
    lasts: int | None
    """How many moments until what it writes expires."""
    keeps: bool
    """Whether a put keeps the expiry of a live document; whether a delete at a revision must be certain."""
    meets: tuple[object, ...]
    """What its requests meet in turn: nothing, a fault, or another step."""

    @property
    def has_faults(self) -> bool:
        return "unsent" in self.meets or "unanswered" in self.meets


def steps(inner: st.SearchStrategy[Step] | None = None) -> st.SearchStrategy[Step]:
    faults = st.sampled_from((None, None, "unsent", "unanswered", "unanswered"))
    return st.builds(
        Step,
        st.sampled_from(WRITERS),
        st.sampled_from(("put", "put", "touch", "delete", "restore", "count")),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True).map(tuple),
        st.sampled_from(("none", "none", "absent", "seen", "stale")),
        st.none() | st.dictionaries(st.sampled_from("xy"), st.none() | st.integers(0, 3), max_size=2),
        st.none() | st.none() | st.integers(1, 6),
        st.booleans(),
        st.lists(faults if inner is None else faults | inner, max_size=4).map(tuple),
    )


class Play:
    """A database and its writers, step after step."""

    def __init__(self, kind: dict[str, object], forgetful: bool, tells: bool) -> None:
        self.database = Database()
        self.writers = [
            Client(self.database, memory=Memory(1 if forgetful else 100, absences=number == 1), tells=tells, **kind)
            for number in WRITERS
        ]
        self.moments = itertools.count(1)
        self.handed: Counter[tuple[str, str]] = Counter()
        """How many accesses of each document there were, by its id and creation."""
        self.open: list[dict[str, Access]] = [{} for _ in WRITERS]
        """What each writer could not count so far."""
        self.counting: set[int] = set()
        """The writers that are counting."""

    def run(self, step: Step) -> None:
        client = self.writers[step.writer]
        before = client.events
        client.meet([self.event(meeting) for meeting in step.meets])
        try:
            if step.call == "count":
                if step.writer not in self.counting:  # a store counts in one call at a time
                    self.counting.add(step.writer)
                    self.count(step.writer, step)
                    self.counting.discard(step.writer)
            else:
                self.write(client, step)
        finally:
            client.events = before

    def event(self, meeting: object):
        if meeting is None:
            return None
        if isinstance(meeting, Step):
            return lambda: self.run(meeting)
        return unsent if meeting == "unsent" else unanswered

    def write(self, client: Client, step: Step) -> None:
        moment = next(self.moments)
        writes = [self.make(step, key, moment) for key in step.keys]
        possible: dict[str, list[Outcome]] = {write.id: [] for write in writes}
        at_once: dict[str, Outcome] = {}
        expires: dict[str, set[str | None]] = {write.id: set() for write in writes}
        created: dict[str, set[str]] = {write.id: set() for write in writes}
        unwatched = self.database.swap

        def watched(change, rules):
            """Note what the model says of a write just before it is applied."""
            mine = change.write in writes
            expected = self.database.model.outcome(change.write) if mine else None
            result = unwatched(change, rules)
            if expected is not None and isinstance(result, Applied):
                at_once[change.id] = expected
            return result

        def looked():
            for write in writes:
                possible[write.id].append(self.database.model.outcome(write))
                if (live := self.database.model.live(write.id, write.at)) is not None:
                    expires[write.id].add(live.expires_at)
                    created[write.id].add(live.created_at)

        send = client._send

        def watched_send(request):
            answered = send(request)
            looked()
            return answered

        self.database.swap, client._send = watched, watched_send
        try:
            outcomes = client.write(*writes)
        finally:
            self.database.swap, client._send = unwatched, send
        for write, outcome in zip(writes, outcomes, strict=True):
            key = key_of(write)
            if isinstance(write, Delete) and write.certain:
                self.check_certain(write, step, outcome, at_once.get(write.id) == Outcome(True))
                continue
            assert outcome.error is None
            assert self.database.done[key] <= 1 or isinstance(write, Touch)  # to touch twice is harmless
            if key in self.database.outlived:  # nothing there tells of it any more
                assert outcome in (*possible[write.id], at_once.get(write.id))
            elif write.id in at_once:
                # Who has not read what it deleted does not know whether that was live.
                guessed = client.blind and step.has_faults and isinstance(write, Delete)
                assert outcome == at_once[write.id] or guessed or self.may_have_been_there(write, step, outcome)
            else:
                # Nor whether what it was to delete was ever there: it goes by when what it finds was created.
                guessed = client.blind and step.has_faults and isinstance(write, Delete) and write.if_revision
                taken = not client.tells and step.has_faults and isinstance(write, Delete) and outcome.done
                assert outcome in possible[write.id] or guessed or taken
                if isinstance(write, Touch):  # it may have found the expiry that it was to set
                    # Without an answer, it is taken for done if what it was for is gone, and something new is there.
                    later = len(created[write.id]) > 1 or any(moment > write.at for moment in created[write.id])
                    replaced = step.has_faults and later
                    assert not outcome.done or write.expires_at in expires[write.id] or replaced
                    continue
                # A delete without an answer is taken for done if what it was for is gone, and something new is there.
                assert not outcome.done or (isinstance(write, Delete) and step.has_faults)

    def check_certain(self, delete: Delete, step: Step, outcome: Outcome, applied: bool) -> None:
        """See that a delete is said to be done only if it was applied, and in doubt only if an answer was lost."""
        if outcome.error is not None:
            assert isinstance(outcome.error, OutcomeUnknownError)
            assert step.has_faults
        else:
            assert outcome.done == applied

    def may_have_been_there(self, write: Put | Delete | Restore | Touch, step: Step, outcome: Outcome) -> bool:
        """Return whether a delete without an answer was taken for refused, because of what was restored since.

        That is as old as what might have been there before, and nothing else tells the two apart.
        """
        there = self.database.model.documents.get(write.id)
        restored = there is not None and there.created_by_agent == ELSEWHERE
        return isinstance(write, Delete) and step.has_faults and restored and not outcome.done

    def make(self, step: Step, key: str, moment: int) -> Put | Delete | Restore | Touch:
        found = self.database.model.documents.get(id_of(key))
        condition = {"seen": found.revision if found else None, "stale": "another"}.get(step.condition)
        if step.call == "delete":
            return Delete(id_of(key), at(moment), condition, certain=step.keeps and condition is not None)
        expires_at = None if step.lasts is None else at(moment + step.lasts)
        if step.call == "touch":
            return Touch(id_of(key), at(moment), expires_at)
        new = put(
            key,
            moment,
            at=at(moment),
            agent=f"agent {step.writer}",
            metadata=step.metadata,
            expires_at=expires_at,
            if_revision=condition,
            if_absent=step.condition == "absent",
            keep_expiry=step.keeps,
        )
        if step.call == "put":
            return new
        metadata = {"restored": moment}
        # Who deletes without having read goes by when a document was created, where the delete has to be repeated.
        created_at = new.at if self.writers[step.writer].blind else at(-1)
        provenance = (ELSEWHERE, created_at, 3, "x", created_at)
        whole = Document(new.id, created_at, f"{new.revision} of old", expires_at, moment, metadata, *provenance)
        live = self.database.model.live(new.id, new.at)
        condition = live.revision if live and step.condition == "seen" else condition
        return Restore(whole, "user", "ns", key, new.json, new.at, condition)

    def count(self, number: int, step: Step) -> None:
        """Hand over accesses with what could not be counted before, once."""
        client, handed, moment = self.writers[number], self.open[number], at(next(self.moments))
        for key in step.keys:
            document = self.database.model.documents.get(id_of(key))
            if document is None:
                continue
            before = handed.get(document.id)
            more = before.number if before and before.created_at == document.created_at else 0
            self.handed[document.id, document.created_at] += 2
            handed[document.id] = Access(document.id, document.created_at, more + 2, f"agent {number}", moment)
        try:
            client.counter.record(list(handed.values()))
        except LostError:
            return
        handed.clear()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, phases=[Phase.explicit, Phase.generate])  # to shrink a play takes minutes
@given(plays=st.lists(steps(steps()), min_size=1, max_size=8), forgetful=st.booleans(), tells=st.booleans())
def test_each_write_is_applied_once_and_comes_to_what_it_is_said_to(kind, plays, forgetful, tells):
    play = Play(KINDS[kind], forgetful, tells)
    with patch("datastore.retry.time.sleep"):  # nobody waits for anybody here
        for step in plays:
            play.run(step)
    for client, left in zip(play.writers, play.open, strict=True):
        client.counter.record(list(left.values()))
        assert len(client.memory) <= (1 if forgetful else 100)
    for document in play.database.model.documents.values():
        if document.created_by_agent != ELSEWHERE:
            assert document.access_count == play.handed[document.id, document.created_at]
