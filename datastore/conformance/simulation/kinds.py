"""A kind of call: how its arguments are drawn, how it is made, and what it does to each key."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

from datastore.conformance.simulation.effects import Effects
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.names import ALL, JOBS, KEYS


class Draw:
    """Draws the arguments of calls.

    Args:
        random: What to draw from.
        user: Whose calls they are.
        keys: The keys by what their values are, of which those of most calls are drawn.
    """

    def __init__(self, random: Random, user: str, keys: Mapping[str, tuple[str, ...]] = KEYS) -> None:
        self.random = random
        self._keys = keys
        self._user = user
        self._numbers = itertools.count(1)
        self._place = f"{random.getrandbits(20):05x}"

    def key(self, *kinds: str) -> str:
        possible = [kind for kind in kinds or KEYS if kind in self._keys] or kinds
        kind = self.random.choice(possible)
        return self.random.choice(self._keys.get(kind, KEYS[kind]))

    def keys(self) -> tuple[str, ...]:
        return tuple(self.random.sample(ALL, self.random.randint(2, len(ALL))))

    def value(self, key: str) -> Any:
        """Return a value that no other call writes."""
        number = next(self._numbers)
        if key in KEYS["number"]:
            return self.random.randint(1, 9) * 1000 + number
        name = f"{self._user} {self._place}.{number}"
        if key in KEYS["list"]:
            return [name]
        return {**JOBS, "name": name, "n": 0} if key in KEYS["job"] else name

    def ttl(self) -> float | None:
        return self.random.choice((None, None, 0.01, 1, 10))

    def pairs(self) -> tuple[tuple[str, Any], ...]:
        return tuple((key, self.value(key)) for key in self.keys())

    def key_and_value(self) -> tuple[str, Any]:
        key = self.key()
        return key, self.value(key)


class Kind(NamedTuple):
    """One call."""

    weight: int
    """How often it is drawn."""
    draw: Callable[[Draw], tuple[Any, ...]]
    make: Callable[..., Any]
    """Makes it: given the store, what the thread has seen, and the arguments."""
    effects: Callable[..., Effects]
    """What it did to each key: given the `Call` and the arguments."""
    hits: Callable[[Call], Iterable[str]] = lambda call: ()
    """The keys of which it counts an access, if it returned."""
    may_hit: Callable[[Call], Iterable[str]] = lambda call: ()
    """Those of which it may have counted one, if it did not."""
