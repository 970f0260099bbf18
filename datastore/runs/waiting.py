"""Waiting for an answer: the run says so, lets its worker go, and goes on when it is resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from datastore.errors import AnswerTimeoutError
from datastore.runs import keys
from datastore.runs.entries import ANSWERED, TIMEOUT, WAIT
from datastore.runs.work import Work


def wait_for(work: Work, name: str, encoded: str, timeout: float | timedelta | None) -> Any:
    """See `Run.wait_for`; ``encoded`` is the name as in keys."""
    event = keys.ANSWER + encoded
    with work.alone():
        waits = work.recorded(event, WAIT) if work.next is not None and work.next.kind == WAIT else None
        found = work.recorded(name, ANSWERED, TIMEOUT) if waits is None or work.is_replaying else None
        if found is None:
            found = work.act(lambda changes: work.writer.wait(name, timeout, waits, changes))
        if found.kind == WAIT:
            work.let_go()
        if found.kind == TIMEOUT:
            raise AnswerTimeoutError("nobody has answered in time").during(f"waiting for {name!r}", work.backend)
        return found.value.get("payload")
