"""Writing: each write is one change, based on what is remembered or guessed, and after a read if that was wrong.

So a write of a known document is one request. If it comes too late, it is decided again from what was just read. A
write whose answer was lost may have been applied. To find out, the document is read at once, before others can have
written it often. Only a write that was not applied is reported as failed. If it is sent again, another read decides.

A delete or a touch that was refused, and could not be decided again because the read failed, begins with that read when
it is sent again. If it began with its guess, and that had no answer either, a document that was created in between
would be taken for one that came after it was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from datastore.adapters.changes import Applied, Change, Late, Result, Rules, Sent, decide
from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.knowledge import ABSENT, Known, Memory, State, Unseen
from datastore.adapters.primitives import Primitives
from datastore.adapters.remembering import new_mark
from datastore.backend import DONE, Delete, Outcome, Put, Restore, Touch
from datastore.errors import DataStoreError
from datastore.turns import keep_newest

MOST_UNANSWERED = 10_000
"""The most deletes and touches whose lost answers are remembered, and the most that were refused."""


class _Job:
    """One write, and what is known for it."""

    __slots__ = ("attempt", "fresh", "mark", "sent", "state", "surprising", "write")

    def __init__(
        self, write: Put | Restore | Delete | Touch, state: State | None, sent: Sent | None, surprising: bool
    ) -> None:
        self.write = write
        self.state = state
        self.sent = sent
        self.surprising = surprising  # reading its document tells something new
        self.fresh = False
        self.attempt = 0
        self.mark = ""
        if isinstance(write, Delete):
            self.mark = new_mark() if sent is None else sent.mark

    def decide(self, rules: Rules) -> Change | Outcome | None:
        if self.state is None:
            return None
        step = decide(self.write, self.state, rules, fresh=self.fresh, sent=self.sent, mark=self.mark)
        return step._replace(attempt=self.attempt) if self.attempt and isinstance(step, Change) else step


class _Answer(NamedTuple):
    """What came of the changes that were sent."""

    results: Sequence[Result]
    raised: DataStoreError | None = None
    """The error of all of them."""


class Writer:
    """Applies writes over `Primitives`, and remembers what helps later writes.

    Args:
        primitives: The database.
        memory: What is known of documents. It is shared with the adapter's reads and with the `Counter`.
        most_unanswered: The most deletes and touches whose lost answers are remembered, and the most that were refused.
    """

    def __init__(self, primitives: Primitives, memory: Memory, most_unanswered: int = MOST_UNANSWERED) -> None:
        self._primitives = primitives
        self._memory = memory
        self._most_unanswered = most_unanswered
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what the parent is waiting for. The adapter itself clears the memory."""
        self.unanswered: dict[Delete | Touch, Sent] = {}
        self.refused: dict[Delete | Touch, None] = {}  # and nobody has looked why

    def write(
        self, writes: Sequence[Put | Delete | Touch | Restore], through: Primitives | None = None
    ) -> list[Outcome]:
        """Apply writes to distinct ids, and return an outcome for each, in order.

        See `Backend.write` and `Backend.restore`.

        Args:
            writes: The writes.
            through: The primitives for this call, if an adapter keeps something between the attempts of one call.

        Raises:
            DataStoreError: If no outcome is known for any of them.

        Requests: one `swap` if all documents are as expected; one `load` before it if some must be read first.
        """
        primitives = self._primitives if through is None else through
        answer: _Answer | None = None
        alone = len(writes) == 1
        if _are_puts(writes):
            guess, get = primitives.guess, self._memory.get
            states = [guess(write, get(write.id), alone) for write in writes]
            changes = _foreseen(writes, states, primitives.rules)
        else:
            states, changes = [], None
        if changes is not None:
            answer = _answer_to(changes, primitives)
            if set(map(type, answer.results)) == {Applied}:
                return primitives.completed(writes, self._all_applied(changes, answer.results))  # type: ignore[arg-type]  # as was just seen
        if states:  # asked for once: an adapter may begin something with its guess
            jobs = [
                _Job(write, state, None, self._memory.get(write.id) is None)
                for write, state in zip(writes, states, strict=True)
            ]
        else:
            jobs = [self._job(primitives, write, alone) for write in writes]
        outcomes: dict[str, Outcome] = {}
        failure: DataStoreError | None = None
        pauses = None
        try:
            while jobs:
                sent = self._decide(primitives, jobs, outcomes)
                jobs = self._swap(primitives, sent, outcomes, answer) if sent else []
                answer = None
                if jobs:
                    if pauses is None:  # usually a guess was wrong, and the next attempt works
                        pauses = contention()
                    elif not pauses.wait():
                        raise came_too_late(primitives.name)
        except DataStoreError as error:
            failure = error
        if failure is not None:
            failed_outcome = Outcome(False, error=failure)
            for write in writes:
                outcomes.setdefault(write.id, failed_outcome)
            self._note_refused(jobs)
        ordered = primitives.completed(writes, [outcomes[write.id] for write in writes])
        if self.unanswered or self.refused:
            for write, outcome in zip(writes, ordered, strict=True):
                if isinstance(write, Delete | Touch) and _is_final(outcome):
                    self.unanswered.pop(write, None)
                    self.refused.pop(write, None)
        if failure is not None and all(outcome.error is failure for outcome in ordered):
            raise failure
        return ordered

    def _job(self, primitives: Primitives, write: Put | Restore | Delete | Touch, alone: bool) -> _Job:
        remembered = self._memory.get(write.id)
        sent = None
        if (self.unanswered or self.refused) and isinstance(write, Delete | Touch):
            sent = self.unanswered.get(write)
            if write in self.refused:
                return _Job(write, None, sent, remembered is None)
        state = primitives.guess(write, remembered, alone)
        if isinstance(state, Unseen) and isinstance(write, Delete | Touch) and write.fence is not None:
            state = None  # what takes the place of a deleted document, or is remembered, depends on what is there
        return _Job(write, state, sent, remembered is None)

    def _decide(
        self, primitives: Primitives, jobs: Sequence[_Job], outcomes: dict[str, Outcome]
    ) -> list[tuple[_Job, Change]]:
        """Return the changes to send, after reading what must be read, and note the outcomes that need no change."""
        changes: list[tuple[_Job, Change]] = []
        unknown = []
        for job in jobs:
            step = job.decide(primitives.rules)
            if step is None:
                unknown.append(job)
            elif isinstance(step, Change):
                changes.append((job, step))
            else:
                outcomes[job.write.id] = step
        if unknown:
            self._look(primitives, unknown)
            for job in unknown:
                step = job.decide(primitives.rules)
                if isinstance(step, Change):
                    changes.append((job, step))
                elif step is not None:
                    outcomes[job.write.id] = step
        return changes

    def _look(self, primitives: Primitives, jobs: Sequence[_Job], *, sent: bool = False) -> None:
        """Read documents; ``sent`` says that they may exist, or be gone, because of these very writes."""
        metadata = primitives.rules.replaces_whole or any(
            isinstance(job.write, Put) and job.write.metadata for job in jobs
        )
        value = primitives.rules.replaces_whole and any(isinstance(job.write, Touch) for job in jobs)
        found = primitives.load([job.write.id for job in jobs], metadata=metadata, value=value)
        for job in jobs:
            id = job.write.id
            state: State = found.get(id, ABSENT)
            self._memory.note(id, state)
            if job.surprising and not sent:
                primitives.learned(id, state is not ABSENT)
            if job.sent is not None and state is ABSENT and isinstance(job.write, Delete):
                removed = primitives.was_removed_by(id, job.sent)
                job.sent = None if removed is False else job.sent._replace(known=removed is True)
            job.state, job.fresh, job.surprising = state, True, False

    def _swap(
        self,
        primitives: Primitives,
        sent: Sequence[tuple[_Job, Change]],
        outcomes: dict[str, Outcome],
        answer: _Answer | None = None,
    ) -> list[_Job]:
        """Send changes, note the outcomes, and return the jobs that came too late.

        Args:
            primitives: The database.
            sent: The changes.
            outcomes: Where the outcomes are noted.
            answer: The answer to the same changes, if they were sent already.

        Raises:
            DataStoreError: If all of them failed with the same error. Outcomes that a read could settle are noted
                before.
        """
        if answer is None:
            answer = _answer_to([change for _, change in sent], primitives)
        results, raised = answer
        late, doubtful = [], []
        for (job, change), result in zip(sent, results, strict=True):
            id = job.write.id
            if isinstance(result, Applied):
                outcomes[id] = self._applied(change, result)
            elif isinstance(result, Late):
                self._memory.forget(id)
                job.attempt += 1
                job.state = result.found
                job.fresh = result.found is not None and (job.fresh or result.found is not change.over)
                late.append(job)
            else:
                self._memory.forget(id)
                if primitives.in_doubt(result):
                    self._note_unanswered(job, change)
                    if primitives.look_at_once(result):
                        doubtful.append(job)
                if raised is None:
                    outcomes[id] = Outcome(False, error=result)
        if doubtful:
            self._settle(primitives, doubtful, outcomes)
        if raised is not None:
            raise raised
        return late

    def _all_applied(self, changes: Sequence[Change], results: Sequence[Applied]) -> list[Outcome]:
        """Do what `_applied` does for puts (`_foreseen`).

        Those that were changed together mostly share a token, and the database has nothing else to say.
        """
        told, known = results[0], [change.after for change in changes]
        is_alike = results.count(told) == len(changes) and told.outcome is None and told.after is None
        if not is_alike or None in known:
            return [self._applied(change, result) for change, result in zip(changes, results, strict=True)]
        self._memory.note_changed([change.write.id for change in changes], known, told.token)  # type: ignore[arg-type]  # it is what a put leaves
        return [DONE] * len(changes)

    def _applied(self, change: Change, result: Applied) -> Outcome:
        after: State | None = result.after
        if after is None and change.after is not None:
            after = change.after
            if isinstance(after, Known):
                after = after.with_token(result.token)
        if after is None:
            self._memory.forget(change.id)
        else:
            self._memory.note(change.id, after)
        outcome = change.outcome or result.outcome
        assert outcome is not None  # noqa: S101  # the contract of `Applied` and `Change`
        return outcome

    def _note_unanswered(self, job: _Job, change: Change) -> None:
        write, over = job.write, change.over
        if isinstance(write, Delete) and (change.outcome is None or change.outcome.done):
            if isinstance(over, Known):
                self.unanswered[write] = Sent(job.mark, over.revision, over.created_at, job.fresh)
            else:
                self.unanswered[write] = Sent(job.mark, write.if_revision, "", False)
        elif isinstance(write, Touch):
            if isinstance(over, Known):
                self.unanswered[write] = Sent("", over.revision, over.created_at, job.fresh)
            else:
                self.unanswered[write] = Sent("", None, "", False)
        else:
            return
        keep_newest(self.unanswered, self._most_unanswered)

    def _note_refused(self, jobs: Sequence[_Job]) -> None:
        """Note which writes the database has refused without telling why."""
        for job in jobs:
            if job.attempt and job.state is None and isinstance(job.write, Delete | Touch):
                self.refused[job.write] = None
        keep_newest(self.refused, self._most_unanswered)

    def _settle(self, primitives: Primitives, jobs: Sequence[_Job], outcomes: dict[str, Outcome]) -> None:
        """Read the documents of writes that were not answered, and note the outcomes of those that are settled."""
        for job in jobs:
            if isinstance(job.write, Delete | Touch):
                job.sent = self.unanswered.get(job.write)
        try:
            self._look(primitives, jobs, sent=True)
        except DataStoreError:
            return  # the only thing known is that they were not answered
        for job in jobs:
            step = job.decide(primitives.rules)
            if isinstance(step, Outcome):
                outcomes[job.write.id] = step


def _are_puts(writes: Sequence[Put | Delete | Touch | Restore]) -> TypeGuard[Sequence[Put]]:
    return all(type(write) is Put for write in writes)


def _foreseen(puts: Sequence[Put], states: Sequence[State | None], rules: Rules) -> list[Change] | None:
    """Return the changes for puts that all store something, if no document must be read first.

    Nearly every call is of this kind, and nearly always every document is as expected. So they are decided on without
    what is kept for another attempt.
    """
    changes = []
    for put, state in zip(puts, states, strict=True):
        step = None if state is None else decide(put, state, rules, fresh=False)
        if not isinstance(step, Change):
            return None
        changes.append(step)
    return changes


def _answer_to(changes: Sequence[Change], primitives: Primitives) -> _Answer:
    """Send changes."""
    try:
        return _Answer(primitives.swap(changes))
    except DataStoreError as error:
        return _Answer([error] * len(changes), error)


def _is_final(outcome: Outcome) -> bool:
    """Return whether nobody sends the same write again, as the store does after some errors."""
    return outcome.error is None or not outcome.error.retryable
