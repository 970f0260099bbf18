"""Awaited calls with one fault at a time: the simulator must find each of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from datastore.asynchronous import bound, gathering
from datastore.asynchronous.bound import Machinery
from datastore.asynchronous.gathering import Asked
from datastore.asynchronous.workers import Job
from tests.simulation.awaited import AwaitedDatabase

_deliver = gathering._deliver


class ForgetsWrites(Job):
    """A write that has begun is not waited for when its call is cancelled."""

    __slots__ = ()

    def __init__(self, *args: Any, writes: bool, **more: Any) -> None:
        super().__init__(*args, writes=False, **more)


def mixes_up(batch: list[Asked]) -> None:
    """Of reads that were made together each gets the answer to the one after it."""
    answers = [asked.answer for asked in batch]
    for asked, answer in zip(batch, answers[1:] + answers[:1], strict=True):
        asked.answer = answer
    _deliver(batch)


FAULTY: Mapping[str, Any] = {
    "a cancelled write forgotten": partial(AwaitedDatabase, [(bound, "Job", ForgetsWrites)]),
    "answers mixed up": partial(AwaitedDatabase, [(gathering, "_deliver", mixes_up)]),
    "a child without workers": partial(AwaitedDatabase, [(Machinery, "after_fork", lambda self: None)]),
}
"""The databases by what is wrong."""
