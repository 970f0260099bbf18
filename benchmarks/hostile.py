"""What one agent can do to others: the longest call, their writes during a batch of 270 MB, the open descriptors.

    python benchmarks/hostile.py [--max-seconds 5]

For SQLite and memory, it prints how long each of the worst known calls took until it was done or refused, and how long
others waited meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import datastore

WIDE = [0, [1, [2, [3]]]] * 20_000
NESTED: object = {"0": 1}
for _ in range(90):
    NESTED = {"0": [NESTED]}

HOSTILE: dict[str, Callable[[datastore.AgentDataStore], object]] = {
    "a path of 35 steps through nested arrays": lambda agent: agent.find({".".join(["0"] * 35): {"$gt": 5}}),
    "a path of 180 steps through nested arrays": lambda agent: agent.find({".".join(["0"] * 180): {"$gt": 5}}),
    "1,000 alternatives on an array of 80,000": lambda agent: agent.count(
        {"$or": [{"wide": {"$gt": number}} for number in range(10**6, 10**6 + 1_000)]}
    ),
    "$all of 1,000 on an array of 80,000": lambda agent: agent.count({"wide": {"$all": list(range(1_000))}}),
    "$in of 50,000 objects": lambda agent: agent.count({"wide": {"$in": [{"a": number} for number in range(50_000)]}}),
    "'c' * 2000 in 900,000 characters": lambda agent: agent.count({"text": {"$regex": "c" * 2_000}}),
    "(c|cc)+d in 900,000 characters": lambda agent: agent.count({"text": {"$regex": "(c|cc)+d"}}),
    "(c{1,30}){1,30}d in 900,000 characters": lambda agent: agent.count({"text": {"$regex": "(c{1,30}){1,30}d"}}),
    "a sort of 100,000 records": lambda agent: agent.find(sort=[("n", -1)], limit=1),
    "a filter without an index on 100,000 records": lambda agent: agent.find({"n": {"$mod": [7, 9]}}),
    "everything, 100,000 records": lambda agent: agent.get_all(),
    "update_where on 100,000 records": lambda agent: agent.update_where({"n": {"$gte": 0}}, {"$inc": {"n": 1}}),
    "clear of 100,000 records": lambda agent: agent.clear(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-seconds", type=float, default=5.0)
    seconds = parser.parse_args().max_seconds
    with tempfile.TemporaryDirectory() as directory:
        for url in (f"sqlite:///{directory}/a.db", "memory://"):
            hostile_calls(url, seconds)
        beside_a_batch(f"sqlite:///{directory}/b.db")
        descriptors(f"sqlite:///{directory}/c.db")


def hostile_calls(url: str, seconds: float) -> None:
    print(f"\n{url.partition(':')[0]}, max_seconds={seconds:g}")
    with datastore.connect(url, max_seconds=600) as store:
        agent = store.agent("evil", "a")
        for start in range(0, 100_000, 10_000):
            agent.set_many({f"{i}": {"n": i} for i in range(start, start + 10_000)})
        agent.use_namespace("one").set("k", NESTED)
        agent.use_namespace("one").set("w", {"wide": WIDE, "text": "c" * 100})
        agent.use_namespace("one").set("t", {"text": "c" * 900_000})
        store._core.max_seconds = seconds
        other = store.agent("good", "a")
        other.set("k", 1)
        longest = 0.0
        for name, call in HOSTILE.items():
            place = agent if "records" in name else agent.use_namespace("one")
            over, waits = threading.Event(), list[float]()

            def watch(over: threading.Event = over, waits: list[float] = waits) -> None:
                while not over.is_set():
                    began = time.perf_counter()
                    other.get("k")
                    waits.append(time.perf_counter() - began)
                    time.sleep(0.002)

            watcher = threading.Thread(target=watch)
            watcher.start()
            began = time.perf_counter()
            try:
                call(place)
                outcome = "done"
            except datastore.DataStoreError as error:
                outcome = type(error).__name__
            took = time.perf_counter() - began
            over.set()
            watcher.join()
            longest = max(longest, took)
            print(f"  {name:45} {took:7.2f} s  {outcome:24} others' longest get {max(waits) * 1e3:7.1f} ms")
        print(f"  the longest: {longest:.2f} s")


def beside_a_batch(url: str) -> None:
    with datastore.connect(url, max_seconds=600) as store:
        one, other = store.agent("one", "a"), store.agent("other", "a")
        batch = {f"k{i}": "x" * 900_000 for i in range(300)}
        writer = threading.Thread(target=one.set_many, args=(batch,))
        writer.start()
        waits = []
        while writer.is_alive():
            began = time.perf_counter()
            other.set("k", 1)
            waits.append(time.perf_counter() - began)
            time.sleep(0.005)
        writer.join()
    waits.sort()
    print(
        f"\nset beside another's batch of 270 MB: {len(waits)} writes, median {statistics.median(waits) * 1e3:.1f} ms, "
        f"p99 {waits[int(len(waits) * 0.99)] * 1e3:.0f} ms, longest {waits[-1] * 1e3:.0f} ms"
    )


def descriptors(url: str) -> None:
    listing = Path("/proc/self/fd")
    if not listing.is_dir():
        return
    before = len(list(listing.iterdir()))
    with datastore.connect(url) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        threads = [threading.Thread(target=lambda: [agent.get("k") for _ in range(50)]) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = len(list(listing.iterdir()))
        print(f"descriptors after 300 threads: {after - before} more than before")


if __name__ == "__main__":
    main()
