"""The runs of a namespace. From ``data_store.runs``."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from datastore.arguments import as_bool, as_int, shown
from datastore.calls.leases import asked, take
from datastore.errors import InvalidValueError
from datastore.ids import new_key
from datastore.retry import Backoff
from datastore.runs import keys
from datastore.runs.children import fork_outside
from datastore.runs.entries import CANCELLED, DONE, END, RESUMED, RETRIED, RUNNING, HistoryEntry, RunInfo
from datastore.runs.journal import (
    FIRST_DELAY,
    LONGEST_DELAY,
    Journal,
    begin,
    checkpoint_in,
    contended,
    head_of,
    info_of,
    kept,
    no_such_run,
    open_journal,
    run_over,
)
from datastore.runs.looking import due, history, list_runs
from datastore.runs.pruning import prune
from datastore.runs.run import Run
from datastore.runs.table import Table
from datastore.runs.work import Work
from datastore.runs.writer import Writer, Writing
from datastore.scope import Bound, OfOneProcess, Scope, bind, bounded, scope_of
from datastore.times import expiry

if TYPE_CHECKING:
    from datastore.calls.leases import Lease


class Runs(Bound, OfOneProcess):
    """The runs of one namespace: journals of steps that any worker can go on with. From ``data_store.runs``.

    Ids of runs and names of steps are text of 1 to 200 bytes. Whoever may read or write the namespace may do so with
    its runs; what they keep counts for a quota. Requests are those of the backend's client in steady state. Writes and
    removals of a few records together are one; on SQLite a statement for each of them, in one transaction. On DynamoDB
    what ends a run or lets it wait takes 1 more, and on Redis each page takes 2 or 3. `prune` takes as long as the
    database does, and each other call at most ``max_seconds``.
    """

    __slots__ = ("_store",)

    _store: Callable[[Scope], Any]

    def __new__(cls, scope: Scope, store: Callable[[Scope], Any]) -> Self:
        """Bind a new object; ``store`` makes an agent's store for a scope."""
        self = super().__new__(cls)
        bind(self, scope)
        self._store = store
        return self

    @bounded
    def start(
        self,
        id: str | None = None,
        input: Any = None,
        *,
        ttl: float | timedelta | None = None,
        lease: float | timedelta = 30.0,
    ) -> Run:
        """Begin a run, and hold it.

        Args:
            id: The run's id; one that nobody can guess is made if there is none. The same id twice is an error: so a
                message that is delivered twice begins one run.
            input: Anything JSON: what the run is about. It is kept.
            ttl: Seconds, or a `timedelta`, after which the run may be pruned once it is over; ``None`` for never.
            lease: For how long the run is held if this process dies: seconds or a `timedelta`. It is renewed in the
                background until the run is released.

        Returns:
            The `Run`.

        Raises:
            KeyExistsError: If there is or was a run of this id. `resume` goes on with it.
            LeaseHeldError: If another worker is about to begin it.
            InvalidNameError, InvalidValueError, ValueTooLargeError: If an argument is not valid.

        Requests: 3.
        """
        run, start = starting(scope_of(self), id, input, ttl, lease)
        held = _take(self, run, lease)
        return self._worked_on(held, lambda: begun(_table(scope_of(self)), run, start, seconds_of(lease)))

    @bounded
    def resume(self, id: str, *, lease: float | timedelta = 30.0) -> Run:
        """Go on with a run, and hold it: what its journal has is not done again.

        Args:
            id: The run's id.
            lease: As for `start`.

        Returns:
            The `Run`.

        Raises:
            NoSuchRunError: If there is no such run.
            LeaseHeldError: If another worker holds it.
            RunOverError: If it is over. `retry` lets one go on that has failed or was cancelled.

        Requests: 9, and those that read the journal, page by page as the program goes on.
        """
        journal = resuming(scope_of(self), id)
        held = _take(self, journal.run, lease)
        return self._worked_on(held, lambda: taken_over(journal, seconds_of(lease)))

    def _worked_on(self, held: Lease[Any], begin: Callable[[], Writing]) -> Run:
        """Return a run that this worker holds; its lease is released if that cannot be."""
        try:
            work = Work(begin(), held)
            work.rewind()
        except BaseException:
            held.release()
            raise
        return Run(work, self._store(scope_of(self).through(scope_of(held.data_store).core)))

    def get(self, id: str) -> RunInfo | None:
        """Return what is known of a run, or ``None`` if there is none.

        Requests: 1.
        """
        run = keys.check_run(id)
        head = head_of(_table(scope_of(self)).read_one(keys.head(run)))
        return None if head is None else info_of(run, head)

    @bounded
    def result(self, id: str) -> Any:
        """Return the result of a run that is done.

        Raises:
            NoSuchRunError: If there is no such run.
            RunOverError: If it has failed or was cancelled.
            InvalidValueError: If it is not over.

        Requests: 2.
        """
        journal = open_journal(_table(scope_of(self)), keys.check_run(id))
        last = journal.last()
        if last.kind != END:
            raise InvalidValueError("the run is not over; get() tells its status")
        if last.value.get("status") != DONE:
            raise run_over(last, journal.table)
        return last.value.get("result")

    @bounded
    def list(self, status: str | None = None, *, limit: int | None = None) -> list[RunInfo]:
        """Return the runs, in the order of their ids.

        Args:
            status: Only those that are ``"running"``, ``"waiting"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
            limit: The most runs to return; ``None`` for all.

        Raises:
            InvalidValueError: If there is no such status.
            QueryError: If ``limit`` is below 1.

        Requests: 1 per page of the runs returned; with ``status`` 1 more for each 250 of them.
        """
        return [*list_runs(_table(scope_of(self)), status, limit)]

    @bounded
    def due(self, limit: int | None = None) -> builtins.list[str]:
        """Return the ids of runs that may go on: an answer is there, a time is over, or their worker has died.

        Others may resume them first: then `resume` raises `LeaseHeldError`. A run whose worker died is named when its
        lease is over.

        Args:
            limit: The most ids to return; ``None`` for all.

        Raises:
            QueryError: If ``limit`` is below 1.

        Requests: 2 for each 250 runs that are due, and 1 for those of them whose worker may have died; 1 if there is
        none. Runs that wait for something else cost nothing. One whose worker has held it for longer than the lease it
        took first is looked at, too.
        """
        return due(_table(scope_of(self)), limit)

    @bounded
    def signal(self, id: str, name: str, payload: Any = None) -> bool:
        """Answer what a run waits for, or will wait for.

        Args:
            id: The run's id.
            name: What it waits for.
            payload: Anything JSON.

        Returns:
            Whether this is the answer. It is not if there is one already, or if the time for it is over.

        Raises:
            NoSuchRunError: If there is no such run.
            InvalidValueError, ValueTooLargeError: If the payload is not JSON, or too large.

        Requests: 2.
        """
        run, name = keys.check_run(id), keys.check_run(name, "name")
        table = _writable(scope_of(self))
        hint = table.put(keys.hint(table.now(), run, keys.ANSWER + name), None)
        answer = table.put(keys.answer(run, name), {"payload": payload, "hint": hint.key}, new=True, name="payload")
        if table.read_one(keys.entry(run, 0)) is None:
            raise no_such_run(table)
        _, is_first = table.write([hint, answer])
        return is_first

    @bounded
    def cancel(self, id: str) -> None:
        """End a run, whoever works on it. Its worker is told at its next step.

        Raises:
            NoSuchRunError: If there is no such run.
            RunOverError: If it is over.

        Requests: 6.
        """
        journal = open_journal(_writable(scope_of(self)), keys.check_run(id))
        number = journal.append_from_outside({"kind": END, "status": CANCELLED}, over=False)
        journal.end(journal.head(), number, CANCELLED, journal.start.get("ttl"))

    @bounded
    def retry(self, id: str) -> None:
        """Let a run go on that has failed or was cancelled: `due` names it, and its last step is called again.

        Raises:
            NoSuchRunError: If there is no such run.
            RunOverError: If it is done, or is not over.

        Requests: 7.
        """
        journal = open_journal(_writable(scope_of(self)), keys.check_run(id))
        table = journal.table
        last, head = journal.last(), journal.head()
        if last.kind == END and last.value.get("status") == DONE:
            raise journal.ended(last, head)
        hint = table.put(keys.hint(table.now(), journal.run), None)
        table.write([hint, journal.listed(RUNNING)])
        if last.kind == RETRIED and (head is None or head.entry < last.number):
            number = last.number  # whoever has added it died before the head said so
        else:
            number = journal.append_from_outside({"kind": RETRIED}, over=True, last=last)
        value = {"status": RUNNING, "entry": number, "at": table.now(), "hint": hint.key}
        settled = journal.settle(head, {**value, **kept(journal, checkpoint_in(head))})
        if head is not None:
            journal.forget([head], settled)

    @bounded
    def fork(self, id: str, *, at: int, new_id: str | None = None) -> str:
        """Begin another run that shares the journal of a run up to an entry: `Run.fork` from outside.

        Args:
            id: The run's id. It may be over.
            at: The number of the last entry that is shared (`history` shows them); 0 for none.
            new_id: The new run's id; one that nobody can guess is made if there is none.

        Returns:
            The new run's id. `due` names it.

        Raises:
            NoSuchRunError: If there is no such run.
            KeyExistsError: If there is a run of the new id.
            InvalidValueError: If there is no such entry, or if it was pruned.

        Requests: 4.
        """
        child = keys.check_run(new_key("") if new_id is None else new_id, "new_id")
        journal = open_journal(_writable(scope_of(self)), keys.check_run(id))
        number = as_int(at)
        if number is None or number < 0:
            raise InvalidValueError(f"at is {shown(at)}; the run has no such entry")
        return fork_outside(journal, number, child)

    @bounded
    def history(
        self, id: str, *, limit: int | None = None, reverse: bool = False, before: int | None = None
    ) -> builtins.list[HistoryEntry]:
        """Return what the journal of a run says: every step with who, when, how long and how many bytes.

        Args:
            id: The run's id.
            limit: The most entries to return; ``None`` for all.
            reverse: The last one first.
            before: Only entries with a lower number: to go on with ``reverse`` and ``limit``.

        Returns:
            The entries, those of the parent up to the fork included.

        Raises:
            NoSuchRunError: If there is no such run.
            QueryError: If ``limit`` is below 1.

        Requests: 1, and 1 per page of the entries returned, however many there are.
        """
        journal = open_journal(_table(scope_of(self)), keys.check_run(id))
        return [*history(journal, limit, as_bool(reverse, "reverse"), before)]

    def prune(self, *, keep: float | timedelta | None = None, limit: int | None = None) -> int:
        """Remove runs that are over, with all that was kept for them, and what others have before a checkpoint.

        A run stays for as long as a fork or a branch shares its journal, or a parent that is not over may join it. Of
        a run that is not over the entries before its checkpoint go, but for those that a fork or a branch begins with.

        Args:
            keep: Seconds, or a `timedelta`: runs that have been over for longer are removed, and entries before a
                checkpoint that was made earlier. ``None`` for only the runs whose own ``ttl`` is over.
            limit: The most runs to remove, and the most of which to remove entries; ``None`` for all.

        Returns:
            How many runs were removed.

        Raises:
            InvalidValueError: If ``keep`` is not such a time.

        Requests: 1 per page of runs whose ``ttl`` is over; with ``keep`` 1 per page of those that ended so long ago,
        and 1 per page of checkpoints that were made so long ago. For each run that ended 5, and its entries in batches;
        for each with such checkpoints 9.
        """
        seconds = None if keep is None else keys.seconds(keep, "keep")
        return prune(_writable(scope_of(self)), seconds, limit)

    def __repr__(self) -> str:
        return f"Runs(namespace={scope_of(self).namespace!r})"


def _table(scope: Scope) -> Table:
    return Table(scope.area("runs"))


def _writable(scope: Scope) -> Table:
    """Return the table for a call that writes: whoever may not is told so before anything is read."""
    scope.core.check_writes(scope.prefix)
    return _table(scope)


def _take(self: Runs, run: str, lease: float | timedelta) -> Lease[Any]:
    return take(self._store(scope_of(self).area("runs")), asked(run, lease, 0.0, True))


def starting(
    scope: Scope, id: str | None, input: Any, ttl: float | timedelta | None, lease: float | timedelta
) -> tuple[str, dict[str, Any]]:
    """Check the arguments of `Runs.start`, and return the run, as in keys, and what its entry 0 says."""
    run = keys.check_run(new_key("") if id is None else id)
    start: dict[str, Any] = {} if input is None else {"input": input}
    if ttl is not None:
        expiry(ttl, scope.core.clock())
        start["ttl"] = keys.seconds(ttl, "ttl")
    _table(scope).put(keys.entry(run, 0), input, name="input")  # raises before any request
    asked(run, lease, 0.0, True)
    return run, start


def resuming(scope: Scope, id: str) -> Journal:
    """Return the journal of a run that is to be resumed.

    Raises:
        NoSuchRunError: If there is no such run.

    Requests: 1.
    """
    run = keys.check_run(id)
    return open_journal(_writable(scope), run)


def seconds_of(lease: float | timedelta) -> float:
    """Return for how many seconds a run is held."""
    return keys.seconds(lease, "lease")


def begun(table: Table, run: str, start: dict[str, Any], hold: float) -> Writer:
    """Write that a run exists, and return what writes its journal.

    Raises:
        KeyExistsError: If there is or was a run with this id.

    Requests: 1 batch of 4.
    """
    journal, head = begin(table, run, start, hold)
    return Writer(journal, 0, head)


def taken_over(journal: Journal, hold: float) -> Writer:
    """Write that this worker has the run: from then on the next entry of any other fails."""
    table = journal.table
    backoff = Backoff(table.scope.core.max_seconds, FIRST_DELAY, LONGEST_DELAY)
    while True:
        last = journal.last()
        head = journal.head()
        if last.kind == END:
            raise journal.ended(last, head)
        hint = table.put(keys.hint(table.now(hold), journal.run), None)
        entry = journal.put(last.number + 1, {"kind": RESUMED})
        is_next, *_ = table.write([entry, hint, journal.listed(RUNNING)])
        if is_next:
            break
        if not backoff.wait():
            raise contended(table)
    checkpoint = max(checkpoint_in(head), journal.checkpoint)
    value = {"status": RUNNING, "entry": last.number + 1, "at": hint.at, "hint": hint.key}
    settled = journal.settle(head, {**value, **kept(journal, checkpoint)})
    if head is not None:
        journal.forget([head], settled)
    return Writer(journal, last.number + 1, settled)
