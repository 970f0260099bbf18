"""Calling functions once: steps, effects that must not be repeated blindly, and the checkpoints between them."""

from __future__ import annotations

import time
from math import inf
from typing import Any

from datastore.calls.steps import Steps
from datastore.errors import EffectUnknownError, StepFailedError, name_of
from datastore.retry import Backoff
from datastore.runs.entries import CHECKPOINT, CLAIM, EFFECT, FAILED, STEP
from datastore.runs.state import restart
from datastore.runs.work import Work
from datastore.values import decode, encode

_AT_ONCE = frozenset({str, int, float, bool, type(None)})
_LONGEST_DELAY = 60.0
_SCALE = 1_000_000
_FAILED = "what the step called has failed; the error is chained where it happened"


def step(work: Work, name: str, arguments: tuple[Any, ...], retries: int, backoff: float) -> Steps:
    """Return the steps of `Run.step`; the function that they call must return a `Made`."""
    with work.alone():
        found = work.recorded(name, STEP, FAILED)
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
                work.append(STEP, name, what="result", result=result, **took)
                return result
            if attempts > retries:
                error = name_of(type(made.error))
                work.append(FAILED, name, error=error, **took)
                raise StepFailedError(_FAILED, step=name, error=error) from made.error
            yield pauses


def effect(work: Work, name: str, arguments: tuple[Any, ...], is_known: bool) -> Steps:
    """Return the steps of `Run.effect`. They ask for the function, or for what is known of an unknown one."""
    with work.alone():
        pending, work.unknown = work.unknown, None
        unknown = pending == name or work.recorded(name, CLAIM) is not None
        if unknown:
            if work.next is not None and (work.next.kind, work.next.name) == (EFFECT, name):
                found = work.take()
                if "error" in found.value:
                    raise StepFailedError(_FAILED, step=name, error=str(found.value["error"]))
                return found.value.get("result")
            if not is_known or work.is_replaying:  # in a replay the program went on without knowing
                raise _unknown(work, name)
        else:
            work.append(CLAIM, name)
        began = time.monotonic()
        made = yield (unknown, *arguments)
        if made.error is None:
            result = made.result if type(made.result) in _AT_ONCE else decode(encode(made.result, "result"))
            work.append(EFFECT, name, what="result", result=result, seconds=_since(began))
            return result
        if unknown:
            work.unknown = name
            raise made.error
        error = name_of(type(made.error))
        work.append(EFFECT, name, error=error, seconds=_since(began))
        raise StepFailedError(_FAILED, step=name, error=error) from made.error


def _unknown(work: Work, name: str) -> EffectUnknownError:
    work.unknown = name if not work.is_replaying else None
    return EffectUnknownError(
        "a worker began this effect and did not come back: find out whether it took place, and give unknown=",
        effect=name,
    ).during("an effect of a run", work.backend)


def set_checkpoint(work: Work, every: int) -> bool:
    """See `Run.checkpoint`."""
    with work.alone():
        if work.next is not None:
            if work.next.kind != CHECKPOINT:
                return False
            entry = work.take()
            restart(work.state, entry.value.get("state"))
            work.writer.checkpoint = entry.number
            return True
        if work.number - work.writer.checkpoint < every:
            return False
        work.writer.checkpoint = work.append(CHECKPOINT).number
        return True


def _since(began: float) -> float:
    return round((time.monotonic() - began) * _SCALE) / _SCALE
