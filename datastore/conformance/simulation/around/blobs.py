"""Blobs: each is whole, old or new, whoever reads it while others put and delete it.

A blob is a register, as a key is. Its parts are tiny here (`seams`), so that some dozen bytes are several.
"""

from __future__ import annotations

from typing import Any

from datastore import AgentDataStore
from datastore.conformance.simulation.effects import Effects
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Draw, Kind
from datastore.conformance.simulation.names import MISSING
from datastore.conformance.simulation.removing import removed
from datastore.conformance.simulation.seeing import saw
from datastore.conformance.simulation.world import Sight
from datastore.conformance.simulation.writing import put

_NAME = "blob"
_KEY = "the blob"
"""Stands for the blob in the history; no key of a record is the same."""


def _drawn(draw: Draw) -> tuple[Any, ...]:
    value = draw.value("a")
    return (
        value * draw.random.choice((1, 1, 3, 12)),
        draw.random.choice((None, None, None, 1)),
        draw.random.choice((0, 0.01, 3_600)),
    )


def _put(store: AgentDataStore, seen: Sight, text: str, ttl: float | None, grace: float) -> str:
    return store.blobs.put(_NAME, text.encode(), ttl=ttl, grace=grace).revision


def _get(store: AgentDataStore) -> str:
    return _text(store.blobs.get(_NAME))


def _read(store: AgentDataStore, seen: Sight, pause: float) -> str:
    """Read a blob in two pieces; the second one may be asked for when it was replaced."""
    with store.blobs.open(_NAME) as file:
        begin = file.read(5)
        seen.wait(pause)
        return _text(begin + file.read())


def _text(content: bytes | None) -> str:
    return MISSING if content is None else content.decode(errors="replace")


def _register(call: Call, effects: Effects) -> Effects:
    """Return the effects of a call, unless the database has lost parts of blobs, and nobody can tell which."""
    return () if call.is_unsettled else effects


KINDS: dict[str, Kind] = {
    "blob_put": Kind(
        5,
        _drawn,
        _put,
        lambda c, v, t, _: _register(c, put(c, _KEY, v, error=c.error, revision=c.result, ttl=t)),
    ),
    "blob_get": Kind(4, lambda d: (), lambda s, m: _get(s), lambda c: _register(c, saw(c, _KEY, c.result))),
    "blob_read": Kind(
        3,
        lambda d: (d.random.choice((0.0, 0.05, 2.0)),),
        _read,
        lambda c, _: _register(c, saw(c, _KEY, c.result)),
    ),
    "blob_delete": Kind(
        2,
        lambda d: (d.random.choice((0, 3_600)),),
        lambda s, m, g: s.blobs.delete(_NAME, grace=g),
        lambda c, _: _register(c, removed(c, _KEY, was_there=c.result, error=c.error)),
    ),
}
