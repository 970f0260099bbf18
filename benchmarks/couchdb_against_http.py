"""CouchDB: this package against a hand-written HTTP client, on the same server in one run.

    python benchmarks/couchdb_against_http.py                       # on PouchDB Server, which it starts
    python benchmarks/couchdb_against_http.py --url couchdb://user:password@host:5984/benchmark
    python benchmarks/couchdb_against_http.py --processor-time      # the client's work alone, without the server's

PouchDB Server takes many times as long as CouchDB for some requests, and then the elapsed time says little about the
client. ``--processor-time`` leaves the server out. The database that ``--url`` names should be empty; it and one with
``_bare`` after its name are written to, and what was written is removed.

The rows: `get` and `increment` of one key, `get_many` of 100, `list_keys` and `count` of all records, and `find` by a
filter for 1 and for 20 of 100 records, by an index of the namespace and then by one of the field. The records are JSON
of about 500 bytes. Each row shows
the time of ours divided by that of the other side, so less is better.

- *ours* counts no accesses, because the other side counts none.
- *bare* is what a careful author writes with `httpx`, the client that ours uses too: one client that keeps its
  connections, ids ``user:namespace:key``, a document with the value, the times and the author, an index and a view for
  what is asked. It looks at the status of each answer and at whether a record has expired, but not in `list_keys`. It
  does not survive lost or damaged answers, does not tell damaged documents from sound ones, and gives numbers back as
  the server does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from measuring import add_clock, console, number, print_environment, sample_value, table, take_turns, verdict

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore

OURS, BARE = "ours", "bare"
TARGET, BATCH = 1.15, 100
INDEXES = {"by_namespace": ["namespace"], "by_group": ["namespace", "value.group"]}
FILTERS = {"1 %": {"group": 7}, "20 %": {"group": {"$gte": 20, "$lt": 40}}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a CouchDB; by default PouchDB Server is installed and started")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="the shortest length of a turn")
    parser.add_argument("--rows", nargs="*", help="only these rows")
    add_clock(parser)
    arguments = parser.parse_args()
    url = arguments.url
    if url is None:
        from tests.servers import couchdb

        url = f"couchdb://{couchdb.USER}:{couchdb.PASSWORD}@127.0.0.1:{couchdb.server().port}/benchmark"
    print_environment("couchdb3", "httpx")
    bare = Bare(url + "_bare")
    with datastore.connect(url, tracking="off", timeout=600) as store:
        agent = store.agent("user", "benchmark")
        try:
            compare(store, agent, bare, arguments)
        finally:
            agent.clear()
            bare.drop()


class Bare:
    """What one would write without this package."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._prefix = "user:default:"
        self._client = httpx.Client(
            base_url=f"http://{parts.hostname}:{parts.port}{parts.path}/",
            auth=(parts.username or "", parts.password or ""),
            timeout=600,
        )
        self._client.put("")
        for name, fields in INDEXES.items():
            index = {"index": {"fields": fields}, "ddoc": name, "name": name}
            self._client.post("_index", json=index).raise_for_status()
        views = {
            "count": {"map": "function (doc) { emit(doc.namespace, null) }", "reduce": "_count"},
            "expiring": {"map": "function (doc) { if (doc.expiresAt) emit([doc.namespace, doc.expiresAt], null) }"},
        }
        self._client.put("_design/records", json={"views": views}).raise_for_status()

    def fill(self, items: dict[str, Any]) -> None:
        """Write new records."""
        now = _now()
        documents = [
            {
                "_id": self._prefix + key,
                "namespace": "user:default",
                "value": value,
                "createdAt": now,
                "updatedAt": now,
                "createdByAgent": "benchmark",
            }
            for key, value in items.items()
        ]
        self._answer(self._client.post("_bulk_docs", json={"docs": documents}))

    def get(self, key: str) -> Any:
        response = self._client.get(quote(self._prefix + key, safe=""))
        if response.status_code == 404:
            return None
        document = self._answer(response)
        return None if _expired(document, _now()) else document["value"]

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        asked = {"docs": [{"id": self._prefix + key} for key in keys]}
        now, found = _now(), {}
        for result in self._answer(self._client.post("_bulk_get", json=asked))["results"]:
            document = result["docs"][0].get("ok")
            if document is not None and not document.get("_deleted") and not _expired(document, now):
                found[document["_id"][len(self._prefix) :]] = document["value"]
        return found

    def increment(self, key: str) -> int:
        path = quote(self._prefix + key, safe="")
        while True:
            document = self._answer(self._client.get(path))
            document["value"] += 1
            document["updatedAt"] = _now()
            response = self._client.put(path, json=document)
            if response.status_code != 409:
                self._answer(response)
                return int(document["value"])

    def list_keys(self) -> list[str]:
        ends = {"startkey": json.dumps(self._prefix), "endkey": json.dumps(self._prefix[:-1] + ";")}
        rows = self._answer(self._client.get("_all_docs", params=ends))["rows"]
        return [row["id"][len(self._prefix) :] for row in rows]

    def count(self) -> int:
        rows = self._answer(self._client.get("_design/records/_view/count", params={"key": '"user:default"'}))["rows"]
        return (rows[0]["value"] if rows else 0) - self._expired()

    def find(self, filter: dict[str, Any], index: str) -> dict[str, Any]:
        selector = {"namespace": "user:default"} | {f"value.{name}": one for name, one in filter.items()}
        asked = {
            "selector": selector,
            "fields": ["_id", "value", "expiresAt"],
            "use_index": [index, index],
            "limit": 10_000,
        }
        now = _now()
        found = self._answer(self._client.post("_find", json=asked))["docs"]
        return {one["_id"][len(self._prefix) :]: one["value"] for one in found if not _expired(one, now)}

    def drop(self) -> None:
        self._client.delete("")

    def _expired(self) -> int:
        ends = {"startkey": json.dumps(["user:default"]), "endkey": json.dumps(["user:default", _now()])}
        rows = self._answer(self._client.get("_design/records/_view/expiring", params=ends))["rows"]
        return len(rows)

    def _answer(self, response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json()


def compare(store: datastore.DataStore, agent: datastore.AgentDataStore, bare: Bare, options: Any) -> None:
    """Let the two take turns, call by call."""
    size = options.records - 1  # and a counter
    for start in range(0, size, 1_000):
        some = {f"key-{n:06}": {"group": n % 100, **sample_value(n)} for n in range(start, min(start + 1_000, size))}
        agent.set_many(some)
        bare.fill(some)
    counter = f"key-{size:06}"
    agent.set(counter, 0)
    bare.fill({counter: 0})
    keys = [f"key-{n:06}" for n in range(0, size, 7)]
    batches = [keys[start : start + BATCH] for start in range(0, len(keys) - BATCH + 1, BATCH)]
    title = f"{options.records:,} records, time of ours / theirs"
    result = table(title, "call", "ours, ms", "bare, ms", "ratio", "quartiles", "")

    def measure(name: str, mine: Callable[[Any], Any], theirs: Callable[[Any], Any], given: list[Any]) -> None:
        if options.rows and not any(row in name for row in options.rows):
            return
        assert mine(given[0]) == theirs(given[0]), name
        contestants = {OURS: _turns(mine, given), BARE: _turns(theirs, given)}
        rates = take_turns(contestants, rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=name)
        ratio, (low, high) = rates.ratio(BARE, OURS), rates.spread(BARE, OURS)
        times = [number(1_000 / rates.median(side)) for side in (OURS, BARE)]
        result.add_row(name, *times, f"{ratio:.2f}", f"{low:.2f}-{high:.2f}", verdict(ratio <= TARGET))
        console.print(f"{name}: {ratio:.2f} ({low:.2f}-{high:.2f})", highlight=False)

    measure("get", agent.get, bare.get, keys)
    measure(f"get_many of {BATCH}", agent.get_many, bare.get_many, batches)
    measure("increment", agent.increment, lambda key: bare.increment(key), [counter])
    measure("list_keys", lambda _: agent.list_keys(), lambda _: bare.list_keys(), [None])
    measure("count", lambda _: agent.count(), lambda _: bare.count(), [None])
    for share, filter in FILTERS.items():
        measure(f"find {share}", agent.find, lambda one: bare.find(one, "by_namespace"), [filter])
    if not options.rows or any("declared" in row for row in options.rows):
        store.ensure_index(["group"])
    for share, filter in FILTERS.items():
        measure(f"find {share}, declared index", agent.find, lambda one: bare.find(one, "by_group"), [filter])
    console.print(result)


def _turns(call: Callable[[Any], object], arguments: list[Any]) -> Callable[[], int]:
    following = itertools.cycle(arguments)

    def turn() -> int:
        call(next(following))
        return 1

    return turn


def _expired(document: dict[str, Any], now: str) -> bool:
    return document.get("expiresAt") is not None and document["expiresAt"] <= now


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    main()
