"""Runs of an agent in a sandbox: the program runs here, and a server writes the journal (`datastore.runs.steps`)."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any

from datastore.agent import AgentDataStore
from datastore.calls.leases import Asked, Lease
from datastore.calls.lending import RUNS
from datastore.fencing import FencedCore
from datastore.holding import Term, keeper_of
from datastore.remote.leases import ServedHolding, asked_under, leases_of
from datastore.remote.requests import accepted, body_of
from datastore.runs import Run, Runs, keys
from datastore.runs.entries import Entry, HistoryEntry, Lineage
from datastore.runs.runs import seconds_of, starting
from datastore.runs.state import Changes
from datastore.runs.steps import OUTSIDE, Opened
from datastore.runs.writer import Writing
from datastore.scope import Scope, scope_of
from datastore.values import checked
from datastore.wire.calls import CALLS

_UNLIMITED = frozenset({"run_join", "run_list", "run_due", "run_history", "run_prune"})
"""The calls that take as long as the database does."""


class ServedRuns(Runs):
    """The `Runs` of a namespace that a server has."""

    __slots__ = ()

    # The docstrings are those of the calls of the same name: see the end of the module.

    def start(  # noqa: D102 - as above
        self,
        id: str | None = None,
        input: Any = None,
        *,
        ttl: float | timedelta | None = None,
        lease: float | timedelta = 30.0,
    ) -> Run:
        given = {"id": id, "input": input, "ttl": ttl, "lease": lease}
        return self._opened("run_start", given, lambda store, **told: starting(scope_of(store), **told))

    def resume(self, id: str, *, lease: float | timedelta = 30.0) -> Run:  # noqa: D102 - as above
        return self._opened("run_resume", {"id": id, "lease": lease}, _check)

    def _opened(self, call: str, given: dict[str, Any], check: Callable[..., object]) -> Run:
        scope = scope_of(self)
        began, at = time.monotonic(), scope.core.clock()
        opened: Opened = _ask(scope, call, given, check)
        run, seconds = keys.check_run(opened.id), seconds_of(given["lease"])
        term = Term("", began + seconds, at + seconds)
        taken = Asked(run, seconds, 0.0, True)
        holding = ServedHolding(scope, taken, opened.lease.number, opened.lease.handle, term, RUNS)
        keeper_of(scope.core).keep(holding)
        held = Lease(self._store(scope.area(RUNS).through(FencedCore(scope.core, holding))))
        return self._worked_on(held, lambda: ServedWriter(scope, opened, Lineage(run, opened.start)))


def _check(_: AgentDataStore, id: str, lease: float | timedelta) -> None:
    keys.check_run(id)
    seconds_of(lease)


class ServedWriter(Writing):
    """Lets a server write a journal.

    Args:
        scope: Whose it is.
        opened: What the server has told of it.
        run: The run.
    """

    def __init__(self, scope: Scope, opened: Opened, run: Lineage) -> None:
        self.run = run
        self.number = opened.number
        self.checkpoint = opened.checkpoint
        self._scope = scope
        self._held = {"id": opened.id, "fence": opened.lease.number, "handle": opened.lease.handle}

    def entries(self, after: int) -> Iterator[Entry]:
        """See `Writing`."""
        last = self.number
        while after < last:
            some: list[Entry] = self._ask("run_read", {"after": after})
            if not some:
                return
            yield from some
            after = some[-1].number

    def append(self, entry: dict[str, Any], what: str = "value") -> None:
        """See `Writing`."""
        text = checked(entry, what)[1]
        self._ask("run_append", {"number": self.number}, f'"entry":{text}')
        self.number += 1

    def wait(self, name: str, timeout: Any, waits: Entry | None, changes: Changes) -> Entry:
        """See `Writing`. Whether the journal says already that it waits is found out by the server."""
        given = {"number": self.number, "name": name, "timeout": timeout, "state": changes or None}
        return self._added(self._ask("run_wait", given))

    def join(self, children: Sequence[str], is_new: bool, changes: Changes) -> dict[str, Entry] | None:
        """See `Writing`."""
        ids = list(map(keys.run_of, children))
        given = {"number": self.number, "children": ids, "is_new": is_new, "state": changes or None}
        if self._added(self._ask("run_join", given)).kind == "wait":
            return None
        ends = list[Entry]()
        while len(ends) < len(ids):
            ends += _ask(self._scope, "run_ends", {"children": ids[len(ends) :]})
        return dict(zip(children, ends, strict=True))

    def begin_children(self, entry: Entry, first: int = 0) -> None:
        """See `Writing`."""
        given = {"number": self.number, "at": entry.number, "first": first}
        self._ask("run_begin_children", given)

    def history(self, limit: int | None, reverse: bool, before: int | None) -> list[HistoryEntry]:
        """See `Writing`."""
        given = {"id": self._held["id"], "limit": limit, "reverse": reverse, "before": before}
        found: list[HistoryEntry] = _ask(self._scope, "run_history", given, _checks["run_history"])
        return found

    def _ask(self, name: str, given: dict[str, Any], more: str = "") -> Any:
        """Make a request about the run that this worker holds."""
        return _ask(self._scope, name, {**self._held, **given}, more=more)

    def _added(self, entry: Entry) -> Entry:
        self.number = entry.number
        return entry


def _ask(
    scope: Scope,
    name: str,
    arguments: dict[str, Any],
    check: Callable[..., object] = accepted,
    more: str = "",
) -> Any:
    """Make a request about runs, under the leases of the store."""
    call = CALLS[name]
    leases = leases_of(scope) if call.writes or name == "run_begin_children" else ""
    body = body_of(scope, arguments, check, more, leases)
    return asked_under(scope, call, body, limited=name not in _UNLIMITED)


def _check_of(method: Callable[..., Any]) -> Callable[..., object]:
    """Return what refuses the arguments of a method of `Runs` that cannot be sent."""
    return lambda data_store, **given: method(Runs(scope_of(data_store), AgentDataStore), **given)


_checks = {name: _check_of(getattr(Runs, name.removeprefix("run_"))) for name in OUTSIDE}


def _made_there(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of `Runs` that is one request."""
    signature = inspect.signature(method)

    @wraps(method)
    def made_there(self: ServedRuns, /, *args: Any, **kwargs: Any) -> Any:
        _, *given = signature.bind(self, *args, **kwargs).arguments.items()
        return _ask(scope_of(self), name, dict(given), _checks[name])

    return made_there


for _name in OUTSIDE:
    _method = _name.removeprefix("run_")
    setattr(ServedRuns, _method, _made_there(_name, getattr(Runs, _method)))
for _method in ("start", "resume"):
    vars(ServedRuns)[_method].__doc__ = getattr(Runs, _method).__doc__
