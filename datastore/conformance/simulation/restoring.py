"""What an import has brought back, and what a database has kept that lost its power."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import inf

from datastore.conformance.simulation.checking import Effect, State, Stored, both, parts, views
from datastore.conformance.simulation.effects import GONE, Effects, at, birth, changed_until
from datastore.conformance.simulation.history import TELLS_WHEN_CREATED, Call
from datastore.conformance.simulation.names import ALL, MISSING
from datastore.conformance.simulation.seeing import saw


def brought_back(call: Call) -> Effects:
    """Records were read, and those that have gone since were written again. Newer ones stay, as far as clocks tell."""

    def restored(key: str) -> Effects:
        value, revision, expires, created, written = call.notes[key]
        text, held = parts(value)
        span = None if expires is None else (expires, expires)
        made = State(
            text, revision, span, held, created=(created, created), written=written, changed=changed_until(call)
        )

        def step(state: Stored, _: int | None) -> Iterator[Stored]:
            for view in views(state, call):
                is_newer = view is not None and view.written > written and not call.clocks_differ  # by the times
                if view is None or not is_newer or view.revision in (None, revision):
                    # A database that tells when it created a record does not take the file's word for it.
                    own = TELLS_WHEN_CREATED in call.limits
                    yield made._replace(created=birth(call) if view is None else view.created) if own else made

        until = inf if call.error is not None or call.is_blurred else call.returned
        yield Effect(at(call, key), call, step, optional=True, until=until)

    for key in ALL:
        if call.error is None:
            yield from saw(call, key, *call.result.get(key, (MISSING,)))
        if key in call.notes:
            yield from restored(key)


def recovered(call: Call, *, kept: bool) -> Effects:
    """A database has lost what it had not written, and is what it was at some time (`Call.notes`), or has lost nothing.

    Args:
        call: The event.
        kept: Nothing that was acknowledged may be lost.
    """

    def step(found: Stored, state: Stored, _: int | None) -> Iterator[Stored]:
        if not kept or (found is None and None in views(state, call)) or (_is_gone(state) and _is_gone(found)):
            yield found
        elif state is not None and found is not None and state.value == found.value:
            fits, held = both(state.held, found.held)
            if fits and state.revision in (None, found.revision) and both(state.expires, found.expires)[0]:
                yield state._replace(revision=found.revision, expires=found.expires, held=held)

    for key in ALL:
        found: Stored = None
        if key in call.notes:
            value, revision, expires, created, written = call.notes[key]
            text, held = parts(value)
            span = None if expires is None else (expires, expires)
            found = State(text, revision, span, held, created=(created, created), written=written)
        yield Effect(at(call, key), call, partial(step, found))


def _is_gone(state: Stored) -> bool:
    return state is None or state.expires == GONE
