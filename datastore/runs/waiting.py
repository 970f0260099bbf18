"""Waiting for what others do: the run says so, lets its worker go, and goes on when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from datastore.errors import AnswerTimeoutError, RunWaitingError
from datastore.runs import keys
from datastore.runs.entries import ANSWERED, RUNNING, TIMEOUT, WAIT, WAITING, Entry
from datastore.runs.journal import hint_in
from datastore.runs.work import Work


def wait_for(work: Work, name: str, encoded: str, until: Callable[[], str | None]) -> Any:
    """See `Run.wait_for`.

    Args:
        work: The run.
        name: What it waits for.
        encoded: The same, as in keys.
        until: Returns when it stops waiting; called if it begins to wait now.
    """
    event = keys.ANSWER + encoded
    with work.alone():
        waits = work.recorded(event, WAIT) if work.next is not None and work.next.kind == WAIT else None
        found = work.recorded(name, ANSWERED, TIMEOUT) if waits is None or work.is_replaying else None
        if found is None:
            deadline = until() if waits is None else waits.value.get("until")
            found = _wait(work, name, encoded, event, deadline, waits is not None)
        if found.kind == TIMEOUT:
            raise AnswerTimeoutError("nobody has answered in time").during(
                f"waiting for {name!r}", work.table.scope.core.backend.name
            )
        return found.value.get("payload")


def _wait(work: Work, name: str, encoded: str, event: str, until: str | None, noted: bool) -> Entry:
    table = work.table
    key = keys.answer(work.journal.run, encoded)
    answer = table.read_one(key)
    if answer is None and until is not None and until <= table.now():
        # Of the answer and the end of the time one is first: so an answer that comes later is told that it is late.
        if table.write_one(table.put(key, {"timeout": until}, new=True)):
            return _answered(work, name, TIMEOUT, {})
        answer = table.read_one(key)
    if answer is None:
        suspend(work, event, until, noted)
        answer = table.read_one(key)  # it may have come before the head said that the run waits
    if answer is None:
        let_go(work)
    if "timeout" in answer.value:
        return _answered(work, name, TIMEOUT, {})
    return _answered(work, name, ANSWERED, {"payload": answer.value["payload"]}, answer.value["hint"])


def _answered(work: Work, name: str, kind: str, value: dict[str, Any], *hints: str) -> Entry:
    work.append(kind, name, **value)
    go_on(work, *hints)
    return Entry(work.number, {"kind": kind, "name": name, **value})


def suspend(work: Work, event: str, until: str | None, noted: bool) -> None:
    """Say that a run waits: in the journal first, then in the head.

    Args:
        work: The run.
        event: What it waits for, as hints name it.
        until: When it stops waiting.
        noted: Whether the journal says so already.
    """
    journal = work.journal
    timer = [] if until is None else [work.table.put(keys.hint(until, journal.run), None)]
    before = [*timer, journal.listed(WAITING)]
    if noted:
        work.table.write(before)
    else:
        work.append(WAIT, event, *before, **({} if until is None else {"until": until}))
    waiting = {"for": event, "until": until}
    work.become({"status": WAITING, "waiting": waiting, "hint": timer[0].key if timer else None})


def let_go(work: Work) -> NoReturn:
    """Free the worker of a run that waits."""
    work.forget()
    work.release()
    raise work.stop(RunWaitingError("the run waits, and this worker has let it go; resume() it when due() names it"))


def go_on(work: Work, *hints: str) -> None:
    """Say that a run no longer waits, if the head has said so, and remove hints that have led to it."""
    if work.head.status == WAITING and work.former:
        # The worker that was about to be let go still holds the run: the hint of its lease is there as before.
        work.become({"status": RUNNING, "hint": hint_in(work.former[0])}, work.journal.listed(RUNNING))
    work.forget(*hints)
