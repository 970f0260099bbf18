"""What a worker does with a run that it holds: going through the journal again, and adding to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, cast

from datastore.backend import Write
from datastore.calls.steps import Steps
from datastore.errors import (
    AnswerTimeoutError,
    DataStoreError,
    EffectUnknownError,
    InvalidValueError,
    LeaseLostError,
    ReentrantCallError,
    RunWaitingError,
    StepFailedError,
    name_of,
)
from datastore.retry import Backoff
from datastore.runs import keys
from datastore.runs.branching import child_of
from datastore.runs.entries import (
    ANSWERED,
    BRANCHED,
    CHECKPOINT,
    CLAIM,
    DONE,
    EFFECT,
    END,
    FAILED,
    FAILED_RUN,
    FORKED,
    JOINED,
    OVER,
    RUNNING,
    STEP,
    TIMEOUT,
    WAIT,
    WAITING,
    Branch,
    Entry,
)
from datastore.runs.journal import Head, Journal, head_of, lasting, results, run_over
from datastore.runs.replaying import asked_for, changed
from datastore.runs.state import State, changes, replay, restart, saved, whole
from datastore.values import decode, encode

if TYPE_CHECKING:
    from datastore.calls.leases import Lease

_AT_ONCE = frozenset({str, int, float, bool, type(None)})
_LONGEST_DELAY = 60.0
_SCALE = 1_000_000


class Work:
    """A run in the hands of a worker.

    Args:
        journal: The run's journal.
        head: Its head.
        number: The number of the last entry.
        lease: The worker's.
    """

    def __init__(self, journal: Journal, head: Head, number: int, lease: Lease[Any]) -> None:
        self.journal = journal
        self.table = journal.table
        self.head = head
        self.number = number
        self.lease = lease
        self.state = State()
        self.checkpoint = int(journal.start.get("checkpoint", 0))
        """The number of the entry that the replay begins after."""
        self._past: Iterator[Entry] = iter(())
        self._next: Entry | None = None
        self._over: DataStoreError | None = None
        """Why nothing can be added through this object any more."""
        self._lock = Lock()

    # ------------------------------------------------------------------------------------------------- going again

    def rewind(self) -> None:
        """Begin to go through the entries up to the last one."""
        start = self.checkpoint
        if start:
            entry = self.journal.entry(start)
            restart(self.state, None if entry is None else entry.value.get("state"))
        else:
            restart(self.state, self.journal.start.get("state"))
        self._past = asked_for(self.journal.entries(start), self.number)
        self._next = next(self._past, None)

    @property
    def is_replaying(self) -> bool:
        """Whether the journal has more than the program has asked for again."""
        return self._next is not None

    def _recorded(self, name: str, *kinds: str) -> Entry | None:
        """Return the next entry, which must be one of these; ``None`` if the program has come to the end of them."""
        entry = self._next
        if entry is None:
            return None
        if entry.kind not in kinds or entry.name != name:
            raise self._stop(changed(entry, kinds[0], name))
        self._pass()
        return entry

    def _pass(self) -> Entry:
        entry = cast(Entry, self._next)
        self._next = next(self._past, None)
        replay(self.state, entry.value.get("state"))
        return entry

    # ---------------------------------------------------------------------------------------------------- going on

    def _stop(self, error: DataStoreError) -> DataStoreError:
        self._over = error = error.during("working on a run", self.table.scope.core.backend.name)
        return error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse a call while another one of the same run is under way: their order would not be repeatable."""
        if not self._lock.acquire(blocking=False):
            raise ReentrantCallError(
                "another step of this run is under way; steps do not nest, and a run belongs to one thread (branch())"
            )
        try:
            if self._over is not None:
                raise again(self._over)
            yield
        finally:
            self._lock.release()

    def append(self, kind: str, name: str = "", *others: Write, what: str = "value", **value: Any) -> int:
        """Add an entry with the changes of the state since the last one, and return its number.

        Requests: 1.
        """
        changed, texts = changes(self.state)
        entry: dict[str, Any] = {"kind": kind, "name": name, **value} if name else {"kind": kind, **value}
        if kind == CHECKPOINT:
            entry["state"] = whole(self.state)
        elif changed:
            entry["state"] = changed
        put = self.journal.put(self.number + 1, entry, what)
        try:
            done = self.table.write([*others, put])[-1] if others else self.table.write_one(put)
        except DataStoreError as error:
            # Perhaps it is written: the journal knows, and this object does not.
            raise self._stop(error) from error.__cause__
        if not done:
            raise self._lost()
        self.number += 1
        self._pending = None
        saved(self.state, texts)
        return self.number

    def release(self) -> None:
        """Let others have the run. Nothing can be added through this object any more."""
        self.lease.release()
        if self._over is None:
            self._stop(LeaseLostError("this worker has released the run; resume() takes it again"))

    def _lost(self) -> DataStoreError:
        last = self.journal.last()
        if last.kind == END:
            return self._stop(run_over(last, self.table))
        return self._stop(
            LeaseLostError("another worker has taken the run over; this one has lost it. resume() takes it again")
        )

    # ------------------------------------------------------------------------------------------------------- steps

    def step(self, name: str, arguments: tuple[Any, ...], retries: int, backoff: float) -> Steps:
        """Return the steps of `Run.step`; the function that they call must return a `Made`."""
        with self.alone():
            found = self._recorded(name, STEP, FAILED)
            if found is not None and found.kind == STEP:
                return found.value.get("result")
            if found is not None:
                raise StepFailedError(_FAILED, step=name, error=str(found.value.get("error")))
            pauses, attempts, began = Backoff(inf, backoff, max(backoff, _LONGEST_DELAY)), 0, time.monotonic()
            while True:
                attempts += 1
                made = yield arguments
                took: dict[str, Any] = {"seconds": _since(began)}
                if attempts > 1:
                    took["attempts"] = attempts
                if made.error is None:
                    result = made.result if type(made.result) in _AT_ONCE else decode(encode(made.result, "result"))
                    self.append(STEP, name, what="result", result=result, **took)
                    return result
                if attempts > retries:
                    error = name_of(type(made.error))
                    self.append(FAILED, name, error=error, **took)
                    raise StepFailedError(_FAILED, step=name, error=error) from made.error
                yield pauses

    def effect(self, name: str, arguments: tuple[Any, ...], is_known: bool) -> Steps:
        """Return the steps of `Run.effect`. They ask for the function, or for what is known of an unknown one."""
        with self.alone():
            pending, self._pending = self._pending, None
            unknown = pending == name or self._recorded(name, CLAIM) is not None
            if unknown:
                if self._next is not None and (self._next.kind, self._next.name) == (EFFECT, name):
                    found = self._pass()
                    if "error" in found.value:
                        raise StepFailedError(_FAILED, step=name, error=str(found.value["error"]))
                    return found.value.get("result")
                if not is_known or self.is_replaying:  # in a replay the program went on without knowing
                    raise self._unknown(name)
            else:
                self.append(CLAIM, name)
            began = time.monotonic()
            made = yield (unknown, *arguments)
            if made.error is None:
                result = made.result if type(made.result) in _AT_ONCE else decode(encode(made.result, "result"))
                self.append(EFFECT, name, what="result", result=result, seconds=_since(began))
                return result
            if unknown:
                self._pending = name
                raise made.error
            error = name_of(type(made.error))
            self.append(EFFECT, name, error=error, seconds=_since(began))
            raise StepFailedError(_FAILED, step=name, error=error) from made.error

    _pending: str | None = None
    """The effect of which the program was just told that it is unknown, and for which it may ask again."""

    def _unknown(self, name: str) -> EffectUnknownError:
        self._pending = name if not self.is_replaying else None
        return EffectUnknownError(
            "a worker began this effect and did not come back: find out whether it took place, and give unknown=",
            effect=name,
        ).during("an effect of a run", self.table.scope.core.backend.name)

    def set_checkpoint(self, every: int) -> bool:
        """See `Run.checkpoint`."""
        with self.alone():
            if self._next is not None:
                if self._next.kind != CHECKPOINT:
                    return False
                entry = self._next
                self._pass()
                restart(self.state, entry.value.get("state"))
                self.checkpoint = entry.number
                return True
            if self.number - self.checkpoint < every:
                return False
            self.checkpoint = self.append(CHECKPOINT)
            value = {**self.head.value, "entry": self.number, "checkpoint": self.checkpoint}
            self.head = self.journal.settle(self.head, value)
            return True

    # ----------------------------------------------------------------------------------------------------- waiting

    def wait_for(self, name: str, encoded: str, until: Callable[[], str | None]) -> Any:
        """See `Run.wait_for`."""
        event = keys.ANSWER + encoded
        with self.alone():
            waits = self._recorded_or_later(event, WAIT)
            found = self._recorded(name, ANSWERED, TIMEOUT) if waits is None or self.is_replaying else None
            if found is None:
                deadline = until() if waits is None else waits.value.get("until")
                found = self._wait(name, encoded, event, deadline, waits is not None)
            if found.kind == TIMEOUT:
                raise AnswerTimeoutError("nobody has answered in time").during(
                    f"waiting for {name!r}", self.table.scope.core.backend.name
                )
            return found.value.get("payload")

    def _recorded_or_later(self, event: str, kind: str) -> Entry | None:
        """Return the next entry if it is of a kind and for an event."""
        if self._next is not None and self._next.kind == kind:
            return self._recorded(event, kind)
        return None

    def _wait(self, name: str, encoded: str, event: str, until: str | None, noted: bool) -> Entry:
        key = keys.answer(self.journal.run, encoded)
        answer = self.table.read_one(key)
        if answer is None and until is not None and until <= self.table.now():
            # Of the answer and the end of the time one is first: so an answer that comes later is told that it is late.
            if self.table.write_one(self.table.put(key, {"timeout": until}, new=True)):
                return self._answered(name, TIMEOUT, {})
            answer = self.table.read_one(key)
        if answer is None:
            self._suspend(event, until, noted)
            answer = self.table.read_one(key)  # it may have come before the head said that the run waits
        if answer is None:
            self._let_go()
        if "timeout" in answer.value:
            return self._answered(name, TIMEOUT, {})
        return self._answered(name, ANSWERED, {"payload": answer.value["payload"]}, answer.value["hint"])

    def _suspend(self, event: str, until: str | None, noted: bool) -> None:
        """Say that the run waits: in the journal first, then in the head."""
        timer = [] if until is None else [self.table.put(keys.hint(until, self.journal.run), None)]
        if not noted:
            self.append(WAIT, event, *timer, **({} if until is None else {"until": until}))
        elif timer:
            self.table.write(timer)
        value = {
            "status": WAITING,
            "entry": self.number,
            "at": self.table.now(),
            "waiting": {"for": event, "until": until},
            "hint": timer[0].key if timer else None,
        }
        self._become(value)

    def _become(self, value: dict[str, Any]) -> None:
        before = self.head
        value = {**value, **lasting(self.journal.start), "checkpoint": self.checkpoint}
        self.head = self.journal.settle(self.head, value)
        if self.head.value is not value:
            raise self._lost()
        self.stale = before.value.get("hint")

    stale: str | None = None
    """The key of the hint that the head has named before."""

    def _let_go(self) -> NoReturn:
        if self.stale is not None and self.stale != self.head.value.get("hint"):
            self.table.write_one(self.table.delete(self.stale))
        self.stale = None
        self.release()
        raise self._stop(
            RunWaitingError("the run waits, and this worker has let it go; resume() it when due() names it")
        )

    def _answered(self, name: str, kind: str, value: dict[str, Any], hint: str | None = None) -> Entry:
        self.append(kind, name, **value)
        if self.head.status == WAITING:
            self._become({"status": RUNNING, "entry": self.number, "at": self.table.now(), "hint": self.stale})
        if hint is not None:
            self.table.write_one(self.table.delete(hint))
        return Entry(self.number, {"kind": kind, "name": name, **value})

    # ---------------------------------------------------------------------------------------------------- branches

    def branch(self, number: int) -> Branch:
        """See `Run.branch`."""
        with self.alone():
            entry = self._recorded("", BRANCHED)
            if entry is None:
                at = self.number + 1
                keys.check_run(f"{keys.run_of(self.journal.run)}~{at}.{number}")  # before anything is written
                entry = Entry(self.append(BRANCHED, children=number), {"children": number})
                fresh = True
            else:
                at, number, fresh = entry.number, int(entry.value["children"]), not self.is_replaying
            owner = self.journal.owner(at)
            children = [keys.check_run(f"{keys.run_of(owner)}~{at}.{one}") for one in range(number)]
            mine = next((one.branch for one in self.journal.ancestors if one.last == at), None)
            if fresh and mine is None:  # nothing follows it: perhaps the worker that wrote it wrote no children
                self._begin_children([(child, at, index) for index, child in enumerate(children)])
            return Branch([keys.run_of(child) for child in children], mine)

    def fork(self, at: int | None, id: str | None) -> str:
        """See `Run.fork`."""
        with self.alone():
            entry = self._recorded("", FORKED)
            if entry is None:
                at = self.number if at is None else at
                if at > self.number:
                    raise InvalidValueError(f"at is {at}; the run has {self.number} entries")
                child = id or keys.check_run(f"{keys.run_of(self.journal.run)}~{self.number + 1}")
                self.append(FORKED, child=child, at=at)
                self._begin_children([(child, at, None)])
            else:
                child, at = str(entry.value["child"]), int(entry.value["at"])
                if not self.is_replaying and self.journal.owner(entry.number) == self.journal.run:
                    self._begin_children([(child, at, None)])
            return keys.run_of(child)

    def _begin_children(self, children: Sequence[tuple[str, int, int | None]]) -> None:
        """Write children that are not there yet."""
        for start in range(0, len(children), 250):  # four records each: a batch of the store
            self.table.write(
                write
                for child in children[start : start + 250]
                for write in child_of(self.journal, self.checkpoint, *child)
            )

    def join(self, children: Sequence[str]) -> list[Entry]:
        """Return the last entries of children that are over, in order, or let the run go until they are."""
        with self.alone():
            while self._next is not None and self._next.kind == WAIT and self._next.name[:1] == keys.CHILD:
                self._pass()
            is_new = self._recorded("", JOINED) is None
            heads = self._heads(children)
            while open := [child for child in children if heads[child].status not in OVER]:
                # It waits for one of them, the one that was begun last: the ends of the others do not wake it up.
                self._suspend(keys.CHILD + open[-1], None, noted=False)
                heads.update(self._heads(open[-1:]))  # it may have ended before the head said that the run waits
                if heads[open[-1]].status not in OVER:
                    self._let_go()
            ends = results(self.table, children, heads)
            if is_new:
                self._joined(children, heads)
            return [ends[child] for child in children]

    def _heads(self, children: Sequence[str]) -> dict[str, Head]:
        found = self.table.read(keys.head(child) for child in children)
        heads: dict[str, Head] = {}
        for child in children:
            head = head_of(found.get(keys.head(child)))
            if head is None:
                raise InvalidValueError(f"children holds {keys.run_of(child)!r}, and there is no such run")
            heads[child] = head
        return heads

    def _joined(self, children: Sequence[str], heads: dict[str, Head]) -> None:
        self.append(JOINED)
        if self.head.status == WAITING:
            self._become({"status": RUNNING, "entry": self.number, "at": self.table.now(), "hint": self.stale})
        self.table.write(
            self.table.delete(keys.hint(heads[child].value["at"], self.journal.run, keys.CHILD + child))
            for child in children
        )

    # --------------------------------------------------------------------------------------------------------- end

    def finish(self, result: Any) -> None:
        """See `Run.finish`."""
        with self.alone():
            if self._next is not None:
                raise self._stop(changed(self._next, END, ""))
            self.append(END, status=DONE, result=result, what="result")
            self._end(DONE)

    def fail(self, error: str) -> None:
        """Say that the program has failed with an error of a class."""
        with self.alone():
            self._next = None
            self.append(END, status=FAILED_RUN, error=error)
            self._end(FAILED_RUN, error)

    def _end(self, status: str, error: str | None = None) -> None:
        self.journal.end(self.head, self.number, status, self.journal.start.get("ttl"), error)
        self._stop(run_over(Entry(self.number, {"status": status}), self.table))
        self.release()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added through this object any more."""
        return self._over is not None


def again(error: DataStoreError) -> DataStoreError:
    """Return an error like one that was raised, without its traceback."""
    copied = copy(error)
    return copied.with_traceback(None)


_FAILED = "what the step called has failed; the error is chained where it happened"


def _since(began: float) -> float:
    return round((time.monotonic() - began) * _SCALE) / _SCALE
