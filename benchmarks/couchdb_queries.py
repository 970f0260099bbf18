"""CouchDB: finding by Mango selectors against reading the namespace and checking every record here.

    python benchmarks/couchdb_queries.py                       # on PouchDB Server, which it starts
    python benchmarks/couchdb_queries.py --url couchdb://user:password@host:5984/benchmark

PouchDB Server queries slowly, and has no partial indexes: it searches all documents for the *rest*, those that a
declared index leaves out. So the index is also measured without the rest. Only a real CouchDB tells something about
speed. The database that ``--url`` names should be empty; what is written to it is removed, except the design documents.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

from measuring import console, number, print_environment, sample_value, table, take_turns

import datastore

FILTERS: dict[str, dict[str, Any]] = {
    "equality, 1 %": {"group": 7},
    "range, 1 %": {"rank": {"$gte": 0.5, "$lt": 0.51}},
    "$in, 3 %": {"group": {"$in": [7, 8, 9]}},
    "not true, 50 %": {"even": {"$ne": True}},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a CouchDB; by default PouchDB Server is installed and started")
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="the shortest length of a turn")
    arguments = parser.parse_args()
    url = arguments.url
    if url is None:
        from tests.servers import couchdb

        couchdb.start()
        url = f"couchdb://{couchdb.USER}:{couchdb.PASSWORD}@127.0.0.1:{couchdb.server().port}/benchmark"
    print_environment("couchdb3", "httpx")
    with datastore.connect(url, tracking="off", timeout=600) as store:
        agent = store.agent("user", "benchmark")
        fill(agent, arguments.records)
        try:
            compare(store, agent, arguments)
        finally:
            agent.clear()


def fill(agent: datastore.AgentDataStore, records: int) -> None:
    """Write records of 500 bytes with fields to ask for."""
    for start in range(0, records, 1_000):
        agent.set_many({f"key {n}": value_of(n, records) for n in range(start, min(start + 1_000, records))})


def value_of(n: int, records: int) -> dict[str, Any]:
    return {"group": n % 100, "rank": (n + 0.5) / records, "even": n % 2 == 0, **sample_value(n, 400)}


def compare(store: datastore.DataStore, agent: datastore.AgentDataStore, arguments: argparse.Namespace) -> None:
    """Let them take turns, without declared indexes and then with them."""
    backend: Any = store.backend  # its plans are replaced
    planned = backend.plan

    def measure(filter: dict[str, Any], plans: dict[str, Any]) -> tuple[int, Any]:
        def turn(plan: Any) -> int:
            with mock.patch.object(backend, "plan", plan):
                agent.find(filter)
            return 1

        contestants = {name: partial(turn, plan) for name, plan in plans.items()}
        rates = take_turns(contestants, rounds=arguments.rounds, seconds=arguments.seconds, label=str(filter))
        return len(agent.find(filter)), rates

    def without_rest(range: Any, query: Any) -> Any:
        plan = planned(range, query)
        assert plan is not None
        return replace(plan, native=plan.native[:-1])

    rows = table(f"{arguments.records:,} records", "filter", "found", "way", "ms", "times unpushed")
    for name, filter in FILTERS.items():
        found, rates = measure(filter, {"unpushed": lambda *_: None, "pushed": planned})
        for way in ("unpushed", "pushed"):
            rows.add_row(name, number(found), way, *_cells(rates, way))
    began = time.perf_counter()
    for field in ("group", "rank"):
        backend.ensure_index([(field,)], None)
    console.print(f"declaring two indexes took {time.perf_counter() - began:.1f} s")
    for name, filter in FILTERS.items():
        if "even" not in filter:
            plans = {"unpushed": lambda *_: None, "index": planned, "index, no rest": without_rest}
            found, rates = measure(filter, plans)
            for way in ("index", "index, no rest"):
                rows.add_row(name, number(found), way, *_cells(rates, way))
    console.print(rows)


def _cells(rates: Any, way: str) -> tuple[str, str]:
    return number(1_000 / rates.median(way)), f"{1 / rates.ratio(way, 'unpushed'):.3f}"


if __name__ == "__main__":
    main()
