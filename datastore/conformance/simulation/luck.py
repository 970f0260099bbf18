"""Bad luck: what goes wrong with a request, and how long it takes when nothing does."""

from __future__ import annotations

from math import log
from random import Random
from typing import NamedTuple

FAULTS = (
    "request lost",
    "answer lost",
    "answer late",
    "request late",
    "throttled",
    "error before",
    "error after",
    "partly done",
    "reset before",
    "reset after",
    "killed before",
    "killed after",
    "clock jump",
)
"""What can happen to a request."""
MORE = ("answer cut", "restart", "interrupted", "made anew")
"""What can happen as well, where the database says so. A database may have others of its own (`Client.request`)."""
_RARE = ("killed", "restart", "made anew", "power lost")
ANSWERED = frozenset({"throttled", "clock jump", "made anew", "unprocessed", "conflict", "not connected"})
ANSWERED |= {"no memory", "read-only", "server clock jump"}
"""After these, the client knows what became of the request. The first three can happen everywhere."""
HARMLESS = ANSWERED | {"request lost", "error before", "reset before", "killed before", "restart"}
"""After these, the request was certainly not carried out; or nothing happened to it at all."""


class Luck(NamedTuple):
    """How likely each fault is, and how fast the network."""

    rates: dict[str, float]
    slow: float
    """How likely a message is to take a hundred times as long."""

    @classmethod
    def drawn(cls, random: Random, possible: frozenset[str]) -> Luck:
        """Draw how bad the luck of one run is. Some kinds are left out, so that others have the run to themselves."""
        badness = random.choice((0.0, 0.03, 0.1, 0.2))
        faults = (*FAULTS, *sorted(possible.difference(FAULTS)))
        rates = {fault: badness * random.random() for fault in faults if random.random() < 0.4}
        rates = {fault: rate / 4 if fault.startswith(_RARE) else rate for fault, rate in rates.items()}
        return cls({fault: rate for fault, rate in rates.items() if fault in possible}, random.choice((0.0, 0.05, 0.2)))

    def fault(self, random: Random) -> str | None:
        """Draw what happens to a request."""
        drawn = random.random()
        for fault, rate in self.rates.items():
            if drawn < rate:
                return fault
            drawn -= rate
        return None

    def delay(self, random: Random) -> float:
        """Draw how long a message takes, in seconds."""
        drawn = -log(1.0 - random.random()) / 1000.0  # as `expovariate`, without a call
        return drawn * 100 if random.random() < self.slow else drawn
