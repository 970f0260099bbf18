"""The Redis backend against bare redis-py, on the same server in one run.

Run it with ``python benchmarks/redis_against_client.py`` (``--help`` lists the options). It starts the tests' server;
``--url`` names another one, in whose database a store ``benchmark`` and keys ``bare:*`` are made and removed.

The rows: one `set`, one tracked `get`, `set_many` and `get_many` of 100 keys, and a listing of all keys; 1,000 keys
with JSON values of about 500 bytes, which exist before the clock starts. Everything is counted in keys per second.

- *ours* runs with its default options, so every `get` is counted. The counts of a turn are written before its clock
  stops, although in real use they are written in the background (``--uncounted`` turns counting off on both sides).
- *redis-py* does the same useful work, as one would write it: a hash with the value as JSON text, when and by whom it
  was created, when it was changed and a revision, and a sorted set of the keys. `set` is a pipeline of ``HSETNX`` for
  what stays, ``HSET`` and ``ZADD``, `get` is ``HMGET`` of the value and the expiry, the batches are pipelines of the
  same. Accesses are counted in memory, and written together at the end of a turn: ``HINCRBY``, and ``HSET`` of when and
  by whom. It merges no metadata, does not notice what is sent twice, not even counts, and counting makes anew what was
  deleted meanwhile. Both sides read answers with hiredis, redis-py's faster parser.
- *plain* is ``SET`` and ``GET`` of the JSON text, ``MSET`` and ``MGET``: the least that there is. It has no target.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from measuring import add_clock, console, number, print_environment, sample_value, table, take_turns, verdict

import datastore

OURS, BARE, PLAIN = "ours", "redis-py", "plain"
KEYS, BATCH, TARGET = 1_000, 100, 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="a server that is already running: redis://host:port/0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--uncounted", action="store_true", help="count no accesses")
    add_clock(parser)
    arguments = parser.parse_args()
    print_environment("redis")
    url = arguments.url
    if url is None:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.servers import redis as server

        url = f"redis://127.0.0.1:{server.server().port}/0"
    options: dict[str, Any] = {"tracking": "off"} if arguments.uncounted else {"flush_interval": 3_600}
    client = redis.Redis.from_url(url)
    store = datastore.connect(f"{url}/benchmark_{uuid.uuid4().hex}", **options)
    try:
        contest(arguments, store, Bare(client, counts=not arguments.uncounted), Plain(client))
    finally:
        store.backend.drop()
        for key in client.scan_iter("bare:*", 1_000):
            client.delete(key)


class Bare:
    """What one would write without this package."""

    def __init__(self, client: Any, *, counts: bool) -> None:
        self.client = client
        self.accesses: Counter[str] | None = Counter() if counts else None

    def set(self, key: str, value: Any) -> None:
        self.set_many({key: value})

    def set_many(self, items: dict[str, Any]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for key, value in items.items():
                now = datetime.now(UTC).isoformat()
                name = f"bare:{{u}}:{key}"
                pipeline.hsetnx(name, "createdAt", now)
                pipeline.hsetnx(name, "createdByAgent", "a")
                changes = {"value": json.dumps(value), "updatedAt": now, "revision": uuid.uuid4().hex}
                pipeline.hset(name, mapping=changes)
                pipeline.zadd("bare:{u}", {key: 0})
            pipeline.execute()

    def get(self, key: str) -> Any:
        value, _ = self.client.hmget(f"bare:{{u}}:{key}", "value", "expiresAt")
        if self.accesses is not None:
            self.accesses[key] += 1
        return json.loads(value)

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        with self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(f"bare:{{u}}:{key}", "value", "expiresAt")
            found = pipeline.execute()
        if self.accesses is not None:
            self.accesses.update(keys)
        return {key: json.loads(value) for key, (value, _) in zip(keys, found, strict=True)}

    def list_keys(self) -> list[str]:
        return [key.decode() for key in self.client.zrangebylex("bare:{u}", "-", "+")]

    def flush(self) -> None:
        if self.accesses:
            last = {"lastAccessedAt": datetime.now(UTC).isoformat(), "lastAccessedByAgent": "a"}
            with self.client.pipeline(transaction=False) as pipeline:
                for key, number in self.accesses.items():
                    pipeline.hincrby(f"bare:{{u}}:{key}", "accessCount", number)
                    pipeline.hset(f"bare:{{u}}:{key}", mapping=last)
                pipeline.execute()
            self.accesses.clear()


class Plain:
    """The least that there is."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def set(self, key: str, value: Any) -> None:
        self.client.set(f"bare:plain:{key}", json.dumps(value))

    def set_many(self, items: dict[str, Any]) -> None:
        self.client.mset({f"bare:plain:{key}": json.dumps(value) for key, value in items.items()})

    def get(self, key: str) -> Any:
        return json.loads(self.client.get(f"bare:plain:{key}"))

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        found = self.client.mget([f"bare:plain:{key}" for key in keys])
        return {key: json.loads(value) for key, value in zip(keys, found, strict=True)}


def contest(arguments: argparse.Namespace, store: datastore.DataStore, bare: Bare, plain: Plain) -> None:
    ours = store.agent("u", "a")
    items = {f"key-{place:04}": sample_value(place) for place in range(KEYS)}
    for side in (ours, bare, plain):
        side.set_many(items)
    keys = list(items)
    random.Random(1).shuffle(keys)
    some = [keys[start : start + BATCH] for start in range(0, KEYS, BATCH)]

    def turns(call: Callable[[Any], object], over: list[Any], counted: int) -> Callable[[], int]:
        following = itertools.cycle(over)

        def turn() -> int:
            call(next(following))
            return counted

        return turn

    def each(side: Any) -> dict[str, Callable[[], int]]:
        return {
            "set": turns(lambda key: side.set(key, items[key]), keys, 1),
            "get": turns(side.get, keys, 1),
            "set_many": turns(lambda batch: side.set_many({key: items[key] for key in batch}), some, BATCH),
            "get_many": turns(side.get_many, some, BATCH),
        }

    sides = {OURS: each(ours), BARE: each(bare), PLAIN: each(plain)}
    sides[OURS]["list_keys"] = turns(lambda _: ours.list_keys(), [None], KEYS)
    sides[BARE]["list_keys"] = turns(lambda _: bare.list_keys(), [None], KEYS)
    assert ours.get(keys[0]) == bare.get(keys[0]) == plain.get(keys[0])
    assert ours.list_keys() == bare.list_keys()
    result = table("keys per second", "call", OURS, BARE, "ratio", "quartiles", f">= {TARGET}", f"of {PLAIN}")
    for name in sides[OURS]:
        rates = take_turns(
            {side: calls[name] for side, calls in sides.items() if name in calls},
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            settle={OURS: store.flush, BARE: bare.flush},
            clock=arguments.clock,
            label=name,
        )
        ratio, (low, high) = rates.ratio(OURS, BARE), rates.spread(OURS, BARE)
        result.add_row(
            name,
            number(rates.median(OURS)),
            number(rates.median(BARE)),
            f"{ratio:.2f}",
            f"{low:.2f}-{high:.2f}",
            verdict(ratio >= TARGET),
            f"{rates.ratio(OURS, PLAIN):.2f}" if name in sides[PLAIN] else "",
        )
    console.print(result)


if __name__ == "__main__":
    main()
