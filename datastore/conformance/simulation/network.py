"""The network between processes and their database: the place where bad luck strikes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from datastore import deadlines
from datastore.conformance.simulation.interrupts import interrupt
from datastore.conformance.simulation.luck import FAULTS, MORE
from datastore.conformance.simulation.scheduling import Killed

if TYPE_CHECKING:
    from datastore.conformance.simulation.scheduling import Task
    from datastore.conformance.simulation.world import Process, World

REQUEST_SECONDS = 5.0
"""How long a client waits for an answer."""
_NOTHING: Mapping[str, Any] = {}


class ClientError(Exception):
    """What the database's client raises."""


class ConnectionBrokeError(ClientError):
    """No answer came."""


class NoAnswerError(ConnectionBrokeError):
    """No answer came in time."""


class AnswerCutError(ConnectionBrokeError):
    """An answer broke off."""

    def __init__(self, answer: Any, where: float) -> None:
        super().__init__("the answer broke off")
        self.answer = answer
        """The whole answer."""
        self.where = where
        """How much of it arrived: from 0 to less than 1."""


class ServerError(ClientError):
    """An answer with a status of 500 or more."""


class TooManyRequestsError(ClientError):
    """An answer with the status 429: nothing was done."""


def _said(what: str | Callable[[], str], fault: str | None) -> str:
    """Return the line of the story for a request."""
    return f"    {what if isinstance(what, str) else what()}{f': {fault}' if fault else ''}"


class Strike(NamedTuple):
    """What happens to a request."""

    fault: str | None
    there: float
    """How long it takes to arrive, in seconds."""
    back: float
    """How long its answer takes."""
    part: int
    """How many of its parts are done, if that is what goes wrong."""
    jump: float
    """How far the clock jumps, if that is what goes wrong."""


class Client:
    """One process's way to the database: the place where bad luck strikes."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process

    def patience(self) -> float:
        """Return how long to wait for an answer. Begins no request if the call has no time left."""
        deadlines.check()
        return min(REQUEST_SECONDS, deadlines.left())

    def request(
        self,
        what: str | Callable[[], str],
        carry_out: Callable[[int | None], Any],
        size: int = 1,
        own: Mapping[str, Callable[[Random], Any]] = _NOTHING,
    ) -> Any:
        """Send a request, and return its answer.

        Args:
            what: What it is, for the story; or a function that says so if somebody wants to read the story.
            carry_out: Does it. It is told how many of its parts to do; ``None`` for all.
            size: How many parts it has.
            own: The database's own faults that can happen to this request: what to do in place of it. It is given what
                to draw from.
        """
        # An interrupt never arrives here: a model of a database may use functions of the package as well.
        tracing = sys.gettrace()
        if tracing is not None:
            sys.settrace(None)
        try:
            return self._request(what, carry_out, size, own)
        except Killed:
            tracing = None
            self.world.interrupting.pop(self.world.scheduler.current, None)
            raise
        finally:
            lines = self.world.interrupting.pop(self.world.scheduler.current, None)
            if lines is not None:
                interrupt(lines)
            elif tracing is not None:
                sys.settrace(tracing)

    def _request(
        self,
        what: str | Callable[[], str],
        carry_out: Callable[[int | None], Any],
        size: int,
        own: Mapping[str, Callable[[Random], Any]],
    ) -> Any:
        world, scheduler = self.world, self.world.scheduler
        task = scheduler._me()
        patience = self.patience()
        if world.calm:  # nothing is drawn, and nobody reads the story
            return carry_out(None)
        fault, there, back, part, jump = self.struck(task, what, size, own, world.note)
        if fault == "killed before":
            self.process.kill()
        if fault == "reset before":
            scheduler.sleep(there)
            raise ConnectionBrokeError("the connection was reset")
        if fault == "request lost" or (fault is None and there > patience):
            scheduler.sleep(patience)
            raise NoAnswerError(f"no answer for {patience:g} s")
        if fault == "request late":
            scheduler.later(patience * 2 * task.random.random(), lambda: carry_out(None))
            scheduler.sleep(patience)
            raise NoAnswerError(f"no answer for {patience:g} s")
        if fault == "killed after":
            scheduler.later(there, lambda: carry_out(None))
            self.process.kill()
        scheduler.sleep(there)
        if fault == "restart":
            world.restart(jump)
        if scheduler.now < world.down_until:
            if fault is None:
                world.note(task, "request lost")
            raise ConnectionBrokeError("the connection was refused")
        restarts = world.restarts
        if fault == "throttled":
            scheduler.sleep(back)
            raise TooManyRequestsError("429: too many requests")
        if fault == "error before":
            scheduler.sleep(back)
            raise ServerError("503: overloaded")
        if fault is not None and fault in own:
            answer = own[fault](task.random)
        else:
            answer = carry_out(part if fault == "partly done" else None)
        if fault == "answer late":
            scheduler.sleep(patience)
            raise NoAnswerError(f"no answer for {patience:g} s")
        scheduler.sleep(back)
        if fault == "answer lost":
            raise ConnectionBrokeError("the connection broke before the answer came")
        if fault == "answer cut" and fault not in own:
            raise AnswerCutError(answer, task.random.random())
        if restarts != world.restarts:
            world.note(task, "answer lost")
            raise ConnectionBrokeError("the database was stopped before the answer came")
        if fault == "reset after":
            raise ConnectionBrokeError("the connection was reset")
        if fault in ("error after", "partly done"):
            raise ServerError("500: something broke")
        return answer

    def struck(
        self,
        task: Task,
        what: str | Callable[[], str],
        size: int,
        own: Mapping[str, Any],
        note: Callable[[Task, str], None],
    ) -> Strike:
        """Draw what happens to a request, tell of it, and let happen what can happen to its process now.

        Args:
            task: Who sends it.
            what: As `request`.
            size: As `request`.
            own: The database's own faults that can happen to it, by name.
            note: Notes what happens to it, in its call.
        """
        world = self.world
        task.requests += 1
        label = f"{task.label}#{task.requests}"
        fault = None if self.process.is_spared else world.luck.fault(task.random)
        if world.plan.faults is not None:
            fault = world.plan.faults.get(label)
        there, back = world.luck.delay(task.random), world.luck.delay(task.random)
        part, jump = task.random.randrange(size), -20.0 + 40.0 * task.random.random()
        if label in world.plan.muted or (fault not in FAULTS and fault not in MORE and fault not in own):
            fault = None
        if fault is not None:
            world.happened[label] = fault
            note(task, fault)
        world.tell(task.name, functools.partial(_said, what, fault))
        if fault == "interrupted":
            self.process.interrupt(task)
            fault = None
        if fault == "clock jump":
            self.process.offset += jump
            fault = None
        if fault == "made anew":
            world.make_anew()
            fault = None
        return Strike(fault, there, back, part, jump)
