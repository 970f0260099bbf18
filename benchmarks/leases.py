"""Leases: how many are taken and renewed per second, and whether a stopped holder ever writes over the next one.

Run it with ``python benchmarks/leases.py`` (``--help`` lists the options).

One process takes a lease and writes under it without pause. The parent stops it (``SIGSTOP``) at a random moment,
waits until the lease has expired, takes it over, writes the same record, and lets the process go on. The process takes
its lease for held until the database refuses a write (`datastore.conformance.stopped`). This is repeated 200 times on
one SQLite file.
"""

from __future__ import annotations

import argparse
import collections
import functools
import random
import time
from collections.abc import Callable
from pathlib import Path

from measuring import console, number, print_environment, table, verdict, work_directory
from rich.progress import Progress

import datastore
from datastore.conformance.stopped import stopped_holder

_CALLS = 2_000


def connect(url: str) -> datastore.DataStore:
    store: datastore.DataStore = datastore.connect(url)
    return store


def stop(url: str, rounds: int, ttl: float) -> collections.Counter[str]:
    """Stop a holder so many times, and count what it says."""
    counts = collections.Counter[str]()
    chance = random.Random()
    open_store = functools.partial(connect, url)
    with (
        open_store() as store,
        stopped_holder(open_store, ttl) as holder,
        Progress(console=console, transient=True) as bar,
    ):
        other = store.agent("user_1", "next")
        for _ in bar.track(range(rounds), description="stopping"):
            said = holder.round(other, chance.uniform(0, ttl / 2))
            counts["rounds"] += 1
            counts["writes before they were stopped"] += said.writes
            counts["refused with LeaseLostError"] += said.error == "LeaseLostError"
            counts["written over the next holder"] += said.overwritten
            counts["numbers that did not grow"] += said.numbers[0] >= said.numbers[1]
    return counts


def measure(url: str) -> dict[str, float]:
    """Return how many calls per second one thread makes."""
    rates: dict[str, float] = {}
    with datastore.connect(url) as store:
        data_store = store.agent("user_1", "agent_1")

        def rate(name: str, call: Callable[[], object]) -> None:
            call()
            began = time.perf_counter()
            for _ in range(_CALLS):
                call()
            rates[name] = _CALLS / (time.perf_counter() - began)

        rate("take and release", lambda: data_store.lease("a", renew=False).release())
        with data_store.lease("b", renew=False) as lease:
            rate("renew", lease.renew)
            rate("set under a lease", lambda: lease.data_store.set("key", 1))
        rate("set", lambda: data_store.set("plain", 1))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--ttl", type=float, default=0.1, help="for how many seconds the stopped process has the lease")
    parser.add_argument("--directory", type=Path, help="where to put the file, instead of the temporary directory")
    options = parser.parse_args()
    print_environment()
    with work_directory(options.directory) as directory:
        url = f"sqlite:///{directory / 'leases.db'}"
        rates = measure(url)
        counts = stop(url, options.rounds, options.ttl)
    speeds = table("One thread on SQLite", "", "per second")
    for name, per_second in rates.items():
        speeds.add_row(name, number(per_second))
    console.print(speeds)
    rows = table("SIGSTOP of the holder", "", "counted", "must be", "")
    wanted = {
        "refused with LeaseLostError": options.rounds,
        "written over the next holder": 0,
        "numbers that did not grow": 0,
    }
    for name, counted in counts.items():
        must = wanted.get(name)
        rows.add_row(
            name, f"{counted:,}", "" if must is None else f"{must:,}", "" if must is None else verdict(counted == must)
        )
    console.print(rows)
    if any(counts[name] != must for name, must in wanted.items()):
        raise SystemExit("a stopped holder was not refused")


if __name__ == "__main__":
    main()
