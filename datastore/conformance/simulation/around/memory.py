"""Memory: a search shows what is there, finds what was acknowledged before it, and its order is the exact one.

A text is a register, as a key is. What a search has shown of it is judged with its writes; what it has not shown, the
order, and which part of a long text is nearest, are judged here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any
from zlib import crc32

from datastore import AgentDataStore, Memory, Splitter
from datastore.conformance.simulation.effects import Effects
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Draw, Kind
from datastore.conformance.simulation.names import MISSING
from datastore.conformance.simulation.removing import removed
from datastore.conformance.simulation.seeing import saw
from datastore.conformance.simulation.writing import changed, put
from datastore.memory import Embedder
from datastore.scope import scope_of

_NAMESPACE = "texts"
_KEYS = ("t1", "t2", "t3")
_SIZE = 4
_ALL = 9
"""More than there are texts."""
_SPLITTER = Splitter(24)
"""Longer texts are in parts."""


def _vector(text: str) -> list[float]:
    hashed = crc32(text.encode())
    return [0.125 + (hashed >> 8 * place & 255) / 256 for place in range(_SIZE)]  # as float32 has them


EMBEDDER = Embedder(lambda texts: list(map(_vector, texts)), _SIZE, "hashes", splitter=_SPLITTER)


def with_embedder(store: AgentDataStore) -> AgentDataStore:
    """Return a store whose texts get vectors."""
    core = scope_of(store).core.root
    if core.embedder is None:  # of a store that is served the host has it
        core.embedder = EMBEDDER
    return store


def _memory(store: AgentDataStore) -> Memory:
    return with_embedder(store).use_namespace(_NAMESPACE).memory


def _set(store: AgentDataStore, key: str, text: str, ttl: float | None) -> str:
    _memory(store)
    return store.use_namespace(_NAMESPACE).set(key, text, vector=_vector(text), ttl=ttl)


def _searched(
    store: AgentDataStore, query: str, n: int, keywords: bool
) -> list[tuple[str, Any, str, float, str | None]]:
    found = _memory(store).search(query, n, keywords=keywords)
    return [
        (one.key, one.text, one.record.revision, one.score, None if one.part is None else one.part.text)
        for one in found
    ]


def _at(key: str) -> str:
    """Return what stands for a text in the history; no key of a record is the same."""
    return f"the text {key}"


TEXTS = tuple(map(_at, _KEYS))
"""All of them."""


def _register(call: Call, effects: Effects) -> Effects:
    """Return the effects of a call, unless the database has lost vectors, and nobody can tell which."""
    return () if call.is_unsettled else effects


def _edited(call: Call, key: str, text: str) -> Effects:
    edits = list(changed(call, _at(key), lambda _: text, only=True, optional=call.error is not None))
    if call.error is not None or call.result:
        return edits
    # It may have been done, the answer lost, and the text deleted before it was looked for again.
    return [*saw(call, _at(key), MISSING), *(effect for effect in edits if effect.excuse)]


def _shown(call: Call) -> Effects:
    for key, text, revision, *_ in call.result or ():
        yield from saw(call, _at(key), text, revision)


def in_parts(text: str) -> str:
    """Return a text that is longer in two of five cases. Nothing is drawn for that: the text itself decides."""
    return f"{text}\n\n{text} again" if crc32(text.encode()) % 5 < 2 else text


def _drawn(draw: Draw, made: Callable[[str], str] = in_parts) -> tuple[str, str, float | None]:
    return draw.random.choice(_KEYS), made(draw.value("a")), draw.random.choice((None, None, None, 1))


KINDS: dict[str, Kind] = {
    "memory_add": Kind(
        5,
        _drawn,
        lambda s, m, k, v, t: _memory(s).add(v, key=k, ttl=t),
        lambda c, k, v, t: _register(c, put(c, _at(k), v, error=c.error, ttl=t, if_absent=True)),
    ),
    "memory_set": Kind(
        3,
        lambda d: _drawn(d, str),  # its vector is given, and is that of the whole text
        lambda s, m, k, v, t: _set(s, k, v, t),
        lambda c, k, v, t: _register(c, put(c, _at(k), v, error=c.error, revision=c.result, ttl=t)),
    ),
    "memory_edit": Kind(
        4,
        lambda d: (d.random.choice(_KEYS), in_parts(d.value("a"))),
        lambda s, m, k, v: _memory(s).edit(k, v),
        lambda c, k, v: _register(c, _edited(c, k, v)),
    ),
    "memory_delete": Kind(
        2,
        lambda d: (d.random.choice(_KEYS),),
        lambda s, m, k: _memory(s).delete(k),
        lambda c, k: _register(c, removed(c, _at(k), was_there=c.result, error=c.error)),
    ),
    "memory_search": Kind(
        6,
        lambda d: (d.value("a"), d.random.choice((1, _ALL, _ALL)), d.random.random() < 0.3),
        lambda s, m, q, n, w: _searched(s, q, n, w),
        lambda c, *_: _register(c, _shown(c)),
    ),
}
_WRITES = frozenset(KINDS) - {"memory_search"}


def wrong(history: Sequence[Call]) -> Iterator[str]:
    """Yield what is wrong with the searches of a namespace, whose calls these are."""
    if any(call.is_unsettled for call in history):
        return
    writes = [call for call in history if call.name in _WRITES]
    for call in history:
        if call.name == "memory_search" and call.error is None and call.returned < inf:
            yield from _wrong_order(call)
            yield from _missing(call, writes)


def _wrong_order(call: Call) -> Iterator[str]:
    query, n, keywords = call.arguments
    keys = [key for key, *_ in call.result]
    if len(keys) > n or len(set(keys)) < len(keys):
        yield f"too much: {call} of {call.thread} has {keys}"
    nearest = [_nearest(query, text) for _, text, *_ in call.result]
    exact = [
        (-(score if keywords else near), key)
        for (key, _, _, score, _), (near, _) in zip(call.result, nearest, strict=True)
    ]
    if exact != sorted(exact):
        yield f"not in order: {call} of {call.thread} has {keys}"
    for (key, _, _, score, part), (its_score, _), (_, its_part) in zip(call.result, exact, nearest, strict=True):
        if not math.isclose(score, -its_score, rel_tol=1e-9):
            yield f"a wrong score: {call} of {call.thread} has {score} for {key}"
        if part != its_part:
            yield f"a wrong part: {call} of {call.thread} has {part!r} for {key}"


def _nearest(query: str, text: str) -> tuple[float, str | None]:
    """Return the score of a text, and that of its parts which has it, if it is in parts."""
    parts = [text[start:end] for start, end in _SPLITTER.parts(text)]
    return max((_cosine(query, part), part) for part in parts) if parts else (_cosine(query, text), None)


def _cosine(one: str, other: str) -> float:
    a, b = _vector(one), _vector(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def _missing(call: Call, writes: Sequence[Call]) -> Iterator[str]:
    """Yield which texts a search lacks that were there before it, and until after it.

    What is certain of a text is what its last write has said, if no other one may have been done since: none that was
    under way with it, or later, or that nobody knows what has become of.
    """
    query, n, keywords = call.arguments
    shown = {key: text for key, text, *_ in call.result}
    full = len(shown) == n
    for key in _KEYS:
        if key in shown:
            continue
        of_key = [one for one in writes if one.arguments[0] == key and one.invoked < call.returned]
        sure = [one for one in of_key if one.error is None and one.returned < call.invoked and _is_there(one)]
        if not sure:
            continue
        last = max(sure, key=lambda one: one.invoked)
        others = (one for one in of_key if one is not last)
        if any(one.returned > last.invoked or one.error is not None or one.is_blurred for one in others):
            continue
        if full and (
            keywords or _nearest(query, last.arguments[1])[0] <= min(_nearest(query, one)[0] for one in shown.values())
        ):
            continue  # others are nearer
        yield f"texts lost: {call} of {call.thread} lacks {key}"


def _is_there(write: Call) -> bool:
    """Return whether a write that has succeeded has left a text that does not expire."""
    if write.name == "memory_edit":
        return False  # it keeps the expiry, which another one has said
    return write.name != "memory_delete" and write.arguments[2] is None
