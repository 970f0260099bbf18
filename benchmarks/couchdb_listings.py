"""CouchDB: two ways to list namespaces side by side, and the memory that iterating over many records takes.

    python benchmarks/couchdb_listings.py                       # on PouchDB Server, which it starts
    python benchmarks/couchdb_listings.py --url couchdb://user:password@host:5984/benchmark

PouchDB Server ranks the ways of listing differently from CouchDB, so only a real CouchDB tells something about speed.
The database that ``--url`` names should be empty; what is written to it is removed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore
from datastore.ids import IdRange
from datastore_couchdb import CouchBackend

NAMESPACES = (1, 10, 100)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a CouchDB; by default PouchDB Server is installed and started")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    url = arguments.url
    if url is None:
        from tests.servers import couchdb

        couchdb.start()
        url = f"couchdb://{couchdb.USER}:{couchdb.PASSWORD}@127.0.0.1:{couchdb.server().port}/benchmark"
    with datastore.connect(url, tracking="off", timeout=600) as store:
        namespaces(store, arguments.rounds)
        iteration(store, arguments.records)


def namespaces(store: datastore.DataStore, rounds: int) -> None:
    """Compare the view with stepping from namespace to namespace."""
    backend = store.backend
    assert isinstance(backend, CouchBackend)
    print("namespaces   view, ms   stepping, ms   stepping / view")
    for number in NAMESPACES:
        agent = store.agent(f"user {number}", "benchmark")
        for name in range(number):
            agent.use_namespace(f"namespace {name}").set_many({f"key {key}": key for key in range(1_000 // number)})
        prefix = f"user {number}:"
        range_ = IdRange(prefix, prefix[:-1] + ";")
        view, stepping = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            counted = [found for found in backend._reader._views.counts(range_) if found.startswith(prefix)]
            view.append(time.perf_counter() - began)
            began = time.perf_counter()
            stepped = backend._reader.skip_through(range_, set())
            stepping.append(time.perf_counter() - began)
            assert sorted(counted) == sorted(stepped)
        of_view, of_stepping = statistics.median(view) * 1_000, statistics.median(stepping) * 1_000
        print(f"{number:10}   {of_view:8.2f}   {of_stepping:12.2f}   {of_stepping / of_view:15.2f}")
        for name in range(number):
            agent.use_namespace(f"namespace {name}").clear()


def iteration(store: datastore.DataStore, records: int) -> None:
    """Iterate over one namespace and print the memory that it took."""
    agent = store.agent("user", "benchmark")
    for start in range(0, records, 5_000):
        agent.set_many({f"key {number}": {"n": number, "text": "x" * 200} for number in range(start, start + 5_000)})
    found, marks = 0, []
    began = time.perf_counter()
    for _ in agent.iter_records():
        found += 1
        if found % (records // 4) == 0:
            marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024)
    seconds = time.perf_counter() - began
    print(f"{found:,} records iterated in {seconds:.1f} s; peak memory by quarter, MB: {marks}")


if __name__ == "__main__":
    main()
