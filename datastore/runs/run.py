"""A run, as the worker sees it that holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from datastore.arguments import as_bool, as_int, check_text, shown
from datastore.calls.steps import Steps, follow
from datastore.errors import (
    DataStoreError,
    InvalidValueError,
    LeaseLostError,
    RunOverError,
    RunWaitingError,
    StepFailedError,
    kind_of,
    name_of,
)
from datastore.runs import keys
from datastore.runs.branching import branch, fork
from datastore.runs.calling import catching
from datastore.runs.checking import MOST_BRANCHES, MOST_RETRIES
from datastore.runs.entries import DONE, Branch, Entry, HistoryEntry
from datastore.runs.joining import join
from datastore.runs.state import State
from datastore.runs.stepping import effect, set_checkpoint, step
from datastore.runs.waiting import wait_for
from datastore.runs.work import Work
from datastore.scope import OfOneProcess
from datastore.times import expiry

if TYPE_CHECKING:
    from datastore.agent import AgentDataStore

Unknown: TypeAlias = Callable[..., Any] | None


class Run(OfOneProcess):
    """A run that this worker holds. Made by `Runs.start` and `Runs.resume`; use it as a context manager.

    At the end of the ``with`` block the run is done, with ``None`` as its result unless `finish` was called. If the
    block raises an error the run has failed, and the error goes on. If the run waits, the block ends quietly. Whatever
    is no fault of the program (the database does not answer, the lease is lost, ``KeyboardInterrupt``) only lets the
    run go, and it is resumed later.

    The program must ask for the same steps in the same order when it is resumed. What is not repeatable (the time,
    random numbers, what others may change) belongs into a step. A run belongs to one thread.
    """

    __slots__ = ("__weakref__", "_data_store", "_work")

    def __new__(cls, work: Work, data_store: AgentDataStore) -> Self:
        """Hand out a run."""
        self = super().__new__(cls)
        _set_work(self, work)
        _set_store(self, data_store)
        return self

    @property
    def id(self) -> str:
        """The run's id."""
        return keys.run_of(work_of(self).run.run)

    @property
    def input(self) -> Any:
        """What the run was started with; that of the parent for a child."""
        return work_of(self).run.start.get("input")

    @property
    def state(self) -> State:
        """Variables that survive: a dict. What changes in it is saved with the next step, in the same atomic write."""
        return work_of(self).state

    @property
    def data_store(self) -> AgentDataStore:
        """The agent's store, whose writes the database refuses once another worker has the run (`Lease`)."""
        return _store_of(self)

    @property
    def number(self) -> int:
        """The number of the last entry of the journal."""
        return work_of(self).number

    @property
    def is_replaying(self) -> bool:
        """Whether the next step is one whose result the journal has already."""
        return work_of(self).is_replaying

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retries: int = 0,
        backoff: float | timedelta = 1.0,
    ) -> Any:
        """Call a function once and keep its result; on resume return what was kept, without a call.

        Result and changes of `state` are one atomic write. If the worker dies between the call and that write, the
        function is called again: for what must not be done twice there is `effect`.

        Args:
            name: The step's name; it may be used again, as in a loop.
            function: What to call. Its result must be anything JSON.
            *args: Its arguments; they are not kept.
            retries: How often to call it again if it raises an error.
            backoff: The longest wait before the first of these calls, in seconds or as a `timedelta`; it doubles, up to
                a minute.

        Returns:
            The result, as it will come back on resume: as JSON makes it of tuples and the like.

        Raises:
            StepFailedError: If the function has raised an error each time; the last one is chained. The program may
                catch it and go on: on resume it is raised again.
            RunChangedError: If the journal has another step at this place.
            LeaseLostError: If another worker has the run by now. The function may have been called.
            RunOverError: If the run was cancelled meanwhile.
            InvalidValueError, ValueTooLargeError: If result and state cannot be kept: more than 1,000,000 bytes of
                JSON together, or no JSON.

        Requests: 1; 0 on resume, but for the pages of the journal.
        """
        return follow(stepping(self, name, args, retries, backoff), catching(function))

    def effect(self, name: str, function: Callable[..., Any], *args: Any, unknown: Unknown = None) -> Any:
        """Call a function that must not be repeated blindly, such as one that pays.

        The journal first says that it is claimed, and then that it is done, with its result. If a worker dies in
        between, it is unknown whether the effect took place, and the next worker is told instead of calling it again.

        Args:
            name: The effect's name.
            function: What to call, as for `step`.
            *args: Its arguments.
            unknown: Called with the same arguments instead, if it is unknown whether the effect took place: it finds
                that out, does what is missing, and returns the result. What it raises reaches the caller, and the
                effect stays unknown. To call ``function`` again is the right answer where the other side recognises a
                repetition.

        Returns:
            The result.

        Raises:
            EffectUnknownError: If it is unknown, and ``unknown`` was not given.
            StepFailedError: If the function has raised an error. It counts as not done, and is not called again.
            RunChangedError, LeaseLostError, RunOverError, InvalidValueError, ValueTooLargeError: As `step`.

        Requests: 2; 0 on resume.
        """
        return follow(*effecting(self, name, function, args, unknown))

    def wait_for(self, name: str, timeout: float | timedelta | str | None = None) -> Any:
        """Return the answer that somebody gives with `Runs.signal`, or let the run go until there is one.

        A name is one question: asked again, it has the same answer. In a loop give each question a name of its own.

        Args:
            name: What it waits for.
            timeout: For how long: seconds, a `timedelta`, or text such as ``"21d"``, ``"12h"`` or ``"30m"``.

        Returns:
            The payload of the first answer, also if that came before the question.

        Raises:
            RunWaitingError: If there is no answer yet. The run waits, and its worker is free.
            AnswerTimeoutError: If nobody has answered in that time. An answer that comes later does not count.
            InvalidValueError: If ``timeout`` is not such a time.
            RunChangedError, LeaseLostError, RunOverError: As `step`.

        Requests: 2 if the answer is there, 3 with the removal of its hint; to wait 6.
        """
        work = work_of(self)
        encoded = keys.check_run(check_text(name, "name", "give the name of what to wait for"), "name")
        seconds = None if timeout is None else keys.duration(timeout, "timeout")
        if seconds is not None:
            expiry(seconds, work.core.clock(), "timeout")  # raises, if it is not a time
        return wait_for(work, name, encoded, seconds)

    def branch(self, number: int) -> Branch:
        """Go on as several runs, which share what was until now without a copy of it, on any workers.

        Each branch is a run of its own, which `Runs.due` names. It begins as this run did, is given what the journal
        has, and comes to this call, which tells it which of the branches it is::

            branch = run.branch(3)
            if branch.index is not None:
                run.finish(run.step("try", attempt, branch.index))
            else:
                best = max(run.join(branch.children))

        Args:
            number: How many.

        Returns:
            A `Branch`: the ids of the children, and which of them this run is.

        Raises:
            InvalidValueError: If ``number`` is not from 1 to 100,000.
            InvalidNameError: If the children's ids, which are made of this run's, would be too long.
            RunChangedError, LeaseLostError, RunOverError: As `step`.

        Requests: 1, and those of `AgentDataStore.add_many` with 4 records for each branch.
        """
        work = work_of(self)
        return branch(work, _number(number, "number", 1, MOST_BRANCHES))

    def fork(self, at: int | None = None, id: str | None = None) -> str:
        """Begin another run that shares the journal up to an entry and goes its own way from there.

        Args:
            at: The number of the last entry that it shares (`history` shows them); ``None`` for all until now.
            id: The new run's id; one is made of this run's if there is none.

        Returns:
            The new run's id. `Runs.due` names it, and `Runs.resume` goes on with it.

        Raises:
            InvalidValueError: If there is no such entry.
            RunChangedError, LeaseLostError, RunOverError: As `step`.

        Requests: 2.
        """
        work = work_of(self)
        at = None if at is None else _number(at, "at", 0, keys.MOST - 1)
        return fork(work, at, None if id is None else keys.check_run(id))

    def join(self, children: Sequence[str], *, raises: bool = True) -> list[Any]:
        """Return the results of runs, in order, or let this run go until all of them are over.

        Args:
            children: The ids of runs, such as `branch` returns.
            raises: Whether one that has failed or was cancelled is an error. If not, ``None`` stands for its result.

        Raises:
            RunWaitingError: If some are not over yet. The run waits, and its worker is free.
            StepFailedError: For the first one that has failed or was cancelled, with ``raises``.
            InvalidValueError: If there is no such run.
            RunChangedError, LeaseLostError, RunOverError: As `step`.

        Requests: 4, and 2 for each further batch of children; to wait 6.
        """
        work = work_of(self)
        if isinstance(children, str) or not isinstance(children, Sequence):
            raise InvalidValueError(f"children is {kind_of(children)}; give a list of the ids of runs")
        raises = as_bool(raises, "raises")
        ends = join(work, [keys.check_run(child, "children") for child in children])
        return [_result(end, child, raises) for end, child in zip(ends, children, strict=True)]

    def checkpoint(self, every: int = 1) -> bool:
        """Let a resume begin here: with the state as it is, and without the steps before.

        So a program that loops over `state` resumes with a bounded number of reads, however long it has run::

            while run.state["page"] < 100_000:
                run.step("fetch", fetch, run.state["page"])
                run.state["page"] += 1
                run.checkpoint(every=100)

        Such a program must begin with what it finds in `state`, as it begins there after a resume.

        Args:
            every: Do nothing unless there are this many entries since the last checkpoint.

        Returns:
            Whether there is a checkpoint here.

        Raises:
            ValueTooLargeError: If the whole state takes more than 1,000,000 bytes of JSON.
            LeaseLostError, RunOverError: As `step`.

        Requests: 2; 0 if it does nothing.
        """
        return set_checkpoint(work_of(self), _number(every, "every", 1, keys.MOST))

    def finish(self, result: Any = None) -> None:
        """Say that the run is done, and what its result is.

        Args:
            result: Anything JSON.

        Raises:
            RunChangedError: If the journal has more steps than the program has asked for.
            LeaseLostError, RunOverError, InvalidValueError, ValueTooLargeError: As `step`.

        Requests: 4.
        """
        work_of(self).finish(result)

    def history(
        self, *, limit: int | None = None, reverse: bool = False, before: int | None = None
    ) -> list[HistoryEntry]:
        """Return what the journal says: `Runs.history` of this run."""
        return work_of(self).writer.history(limit, as_bool(reverse, "reverse"), before)

    def release(self) -> None:
        """Let other workers have the run at once. It goes on where it is.

        Requests: 1.
        """
        work_of(self).release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        work = work_of(self)
        try:
            if error is None:
                if not work.is_over:
                    work.finish(None)
                return False
            if isinstance(error, RunWaitingError):
                return work.is_over
            if not work.is_over and _is_of_the_program(error):
                work.fail(error.error if isinstance(error, StepFailedError) else name_of(type(error)))
            return False
        finally:
            # However the block has ended, also if the program caught what stopped this object, or the run cannot be
            # finished: nobody can go on with it here, and its lease would be renewed for as long as the object lives.
            with suppress(DataStoreError):
                work.release()

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, number={self.number})"


def stepping(run: Run, name: str, args: tuple[Any, ...], retries: int, backoff: float | timedelta) -> Steps:
    """Check the arguments of `Run.step`, and return its steps."""
    name, retries = keys.check_step(name), _number(retries, "retries", 0, MOST_RETRIES)
    return step(work_of(run), name, args, retries, keys.seconds(backoff, "backoff"))


def effecting(
    run: Run, name: str, function: Callable[..., Any], args: tuple[Any, ...], unknown: Unknown, *, awaits: bool = False
) -> tuple[Steps, Callable[..., Any]]:
    """Check the arguments of `Run.effect`, and return its steps and the function that they call."""
    name, made = keys.check_step(name), catching(function, awaits=awaits)
    found = None if unknown is None else catching(unknown, "unknown", awaits=awaits)
    steps = effect(work_of(run), name, args, found is not None)
    return steps, choosing(made, found)


def choosing(made: Callable[..., Any], found: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return the function that calls one of two, as its first argument says."""

    def called(is_unknown: bool, *args: Any) -> Any:
        return found(*args) if is_unknown and found is not None else made(*args)

    return called


def _number(value: int, parameter: str, least: int, most: int) -> int:
    number = as_int(value)
    if number is None:
        raise InvalidValueError(f"{parameter} is {kind_of(value)}; it must be a whole number")
    if not least <= number <= most:
        raise InvalidValueError(f"{parameter} is {shown(number)}; it must be from {least:,} to {most:,}")
    return number


def _result(end: Entry, child: str, raises: bool) -> Any:
    if end.value.get("status") == DONE:
        return end.value.get("result")
    if not raises:
        return None
    error = str(end.value.get("error") or end.value.get("status"))
    raise StepFailedError(f"the run {child!r} is {end.value.get('status')}", step=child, error=error)


def _is_of_the_program(error: BaseException) -> bool:
    """Return whether an error is the program's, and not one that another worker or a later attempt would not have."""
    if isinstance(error, LeaseLostError | RunOverError) or not isinstance(error, Exception):
        return False
    return not (isinstance(error, DataStoreError) and error.retryable)


_work_slot, _store_slot = (cast(Any, Run.__dict__[name]) for name in ("_work", "_data_store"))
for _name in ("_work", "_data_store"):
    delattr(Run, _name)
work_of: Callable[[Run], Work] = _work_slot.__get__
"""Returns what a run is made of. No attribute leads there, as with `datastore.scope.Bound`."""
_set_work: Callable[[Run, Work], None] = _work_slot.__set__
_store_of: Callable[[Run], AgentDataStore] = _store_slot.__get__
_set_store: Callable[[Run, AgentDataStore], None] = _store_slot.__set__
