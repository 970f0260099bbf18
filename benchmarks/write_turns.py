"""In which order 32 threads write to SQLite: how long calls take at most, and how many there are.

    python benchmarks/write_turns.py [--rounds 5] [--seconds 1]
    sudo chrt -f 10 python benchmarks/write_turns.py         # on a machine that does other things as well

Threads of one process write one after another. Three orders take turns, each with a file of its own:

- *in order*: strictly in the order of their arrival.
- *8 in a row*: a running thread may write before those that are still asleep, eight times in a row at most. The store
  did this before.
- *10 ms*: a running thread may write before those that are still asleep, until the first of them has waited for 10 ms.
  The store does this.

Each is measured twice, with 80 % reads *as fast as possible*, and *at a rate* of 5,000 reads and 1,000 writes a second,
as `throughput.py` does it. Every number is the median of the rounds, with quartiles for the 99th percentiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any

from measuring import console, number, print_environment, sample_value, table, verdict, work_directory
from throughput import LONGEST, READS, READS_PER_SECOND, RECORDS, WRITES_PER_SECOND, Turn, percentile, work

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore
from datastore import turns

IN_ORDER, BY_NUMBER, BY_TIME = "in order", "8 in a row", "10 ms"
MOST = 8


class InARow(turns.BargingTurns):
    """Lets a certain number of calls in a row go before those who wait."""

    __slots__ = ("_passes",)

    def __init__(self, doing: str) -> None:
        super().__init__(doing, inf)
        self._passes = 0

    def take(self, seconds: float = inf, frame: FrameType | None = None, *, short: bool = True) -> turns.Turn:
        turn = super().take(seconds, frame or sys._getframe(1), short=short)
        self._passes = self._passes + 1 if self._line and turn.wake is None else 0
        return turn

    def _may_pass(self) -> bool:
        return self._passes < MOST


ORDERS: dict[str, Callable[[str], turns.BargingTurns]] = {
    IN_ORDER: lambda doing: turns.BargingTurns(doing, 0.0),
    BY_NUMBER: InARow,
    BY_TIME: turns.BargingTurns,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="the length of a turn")
    options = parser.parse_args()
    print_environment()
    values = {f"key-{one:04}": sample_value(one) for one in range(RECORDS)}
    with ExitStack() as stack:
        folder = stack.enter_context(work_directory())
        stores = dict[str, datastore.DataStore]()
        for place, (order, make) in enumerate(ORDERS.items()):
            store = stores[order] = stack.enter_context(datastore.connect(f"sqlite:///{folder}/{place}.db"))
            writer: Any = store.backend._writer  # type: ignore[attr-defined]  # the adapter's own part
            writer._turns = make("writing to sqlite")
            store.agent("user", "benchmark").set_many(values)
        report("as fast as possible", take_turns(stores, values, options, READS, None), None)
        rate = READS_PER_SECOND + WRITES_PER_SECOND
        found = take_turns(stores, values, options, READS_PER_SECOND / rate, rate)
        report(f"{READS_PER_SECOND:,} reads and {WRITES_PER_SECOND:,} writes a second", found, rate)
    console.print(f"load at the end {os.getloadavg()[0]:.1f}", highlight=False)


def take_turns(
    stores: dict[str, datastore.DataStore], values: dict[str, Any], options: Any, reads: float, rate: float | None
) -> dict[str, list[Turn]]:
    """Let each order work in each round, after a first round that does not count."""
    found: dict[str, list[Turn]] = {order: [] for order in stores}
    for round in range(options.rounds + 1):
        for order in list(stores)[:: 1 if round % 2 else -1]:
            agent = stores[order].agent("user", "benchmark")
            turn = work(agent, values, options.threads, options.seconds, reads, rate)
            stores[order].flush()
            if round:
                found[order].append(turn)
    return found


def report(title: str, found: dict[str, list[Turn]], rate: float | None) -> None:
    """Print a table."""
    result = table(
        title, "", "calls/s", "read p50, ms", "p99", "quartiles", "write p50", "p99", "quartiles", "p99 < 20 ms"
    )
    for order, taken in found.items():
        reads, writes = [turn.reads for turn in taken], [turn.writes for turn in taken]
        done = statistics.median(turn.rate for turn in taken)
        slowest = max(statistics.median(milliseconds(calls, 0.99)) for calls in (reads, writes)) / 1_000
        met = "" if rate is None else verdict(slowest < LONGEST and done > 0.98 * rate)
        result.add_row(order, number(done), *_cells(reads), *_cells(writes), met)
    console.print(result)


def _cells(calls: Sequence[Sequence[float]]) -> tuple[str, str, str]:
    longest = milliseconds(calls, 0.99)
    low, middle, high = statistics.quantiles(longest, n=4, method="inclusive")
    half = statistics.median(milliseconds(calls, 0.5))
    return number(half), number(middle), f"{number(low)} to {number(high)}"


def milliseconds(calls: Sequence[Sequence[float]], share: float) -> list[float]:
    """Return a percentile of each turn's calls."""
    return [1_000 * percentile(some, share) for some in calls]


if __name__ == "__main__":
    main()
