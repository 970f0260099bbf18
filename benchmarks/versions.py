"""This version against another checkout of it, call by call on SQLite, in one process: what a change gave or cost.

    git worktree add ../before main
    python benchmarks/versions.py ../before [--seconds 60] [--only find scan]

Both versions are loaded side by side and take turns in small blocks. The ratio is that of the least blocks, which what
else runs on the machine hardly changes, and its quartiles are those of the blocks that were measured side by side.
Above 1 this version takes less processor time. Both work on files of their own with the same records; access counting
is on, but nothing is written of it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

from measuring import console, print_environment, sample_value, table, work_directory

RECORDS = 2_000
OURS = ("datastore", "datastore_sqlite")
HERE = Path(__file__).resolve().parents[1]

Block = tuple[int, Callable[[], object]]
"""How many calls or records it is, and the work."""


class Version:
    """One version of the packages, loaded beside others."""

    def __init__(self, checkout: Path) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._path = [str(checkout), str(checkout / "backends")]
        with self.current():
            self.datastore: Any = importlib.import_module("datastore")
            found = Path(self.datastore.__file__ or "").resolve()
            assert found.is_relative_to(checkout), f"{found} is not of {checkout}"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the version that import statements find: calls import some modules when they are first needed."""
        path = sys.path[:]
        sys.path[:0] = self._path
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            sys.path[:] = path
            for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
                self._modules[name] = sys.modules.pop(name)


def blocks_of(store: Any) -> dict[str, Block]:
    """Fill a store, and return the work to measure."""
    agent = store.agent("user", "agent")
    values = {f"result-{place:05}": {**sample_value(place), "five": place // 5} for place in range(RECORDS)}
    agent.set_many(values)
    for field in ("number", "five"):
        store.ensure_index([field])
    small = store.agent("user", "agent", namespace="small")
    small.set_many({f"k{place:05}": {"n": place, "text": "x" * 60} for place in range(200)})
    nothing, log = store.agent("user", "agent", namespace="nothing"), small.log("talk")
    for place in range(100):
        log.append({"role": "user", "content": f"message {place} " + "word " * 50})
    few, value = range(0, 800, 100), sample_value(1)
    hundred = list(values)[:100]
    some = {key: values[key] for key in hundred}
    return {
        "get": (8, lambda: [agent.get(f"result-{at:05}") for at in few]),
        "set": (8, lambda: [agent.set(f"result-{at:05}", values[f"result-{at:05}"]) for at in few]),
        "get_many of 100": (100, lambda: agent.get_many(hundred)),
        "set_many of 100": (100, lambda: agent.set_many(some)),
        "increment": (4, lambda: [agent.increment("number") for _ in range(4)]),
        "add, delete": (4, lambda: [(agent.add("new", value), agent.delete("new")) for _ in range(4)]),
        "find, 1 result": (4, lambda: [agent.find({"number": at}) for at in few[:4]]),
        "find, 5 results": (4, lambda: [agent.find({"five": at}) for at in few[:4]]),
        "find, range of 5": (4, lambda: [agent.find({"number": {"$gte": at, "$lt": at + 5}}) for at in few[:4]]),
        "count, 5 results": (4, lambda: [agent.count({"five": at}) for at in few[:4]]),
        "find_records, 5 results": (4, lambda: [agent.find_records({"five": at}) for at in few[:4]]),
        "iter_records": (200, lambda: deque(small.iter_records(), 0)),
        "scan": (200, lambda: deque(small.scan(), 0)),
        "get_all": (200, small.get_all),
        "list_keys": (200, small.list_keys),
        "short: get_record": (1, lambda: agent.get_record("result-00100")),
        "short: get_records of 1": (1, lambda: agent.get_records(["result-00100"])),
        "short: get_records of 2": (1, lambda: agent.get_records(["result-00100", "result-00101"])),
        "short: scan of the same 2": (1, lambda: agent.scan(start="result-00100", end="result-00102")),
        "short: last": (1, agent.last),
        "short: scan of nothing": (1, nothing.scan),
        "short: scan of 1": (1, lambda: agent.scan(limit=1)),
        "short: scan of 10": (1, lambda: agent.scan(limit=10)),
        "short: iter_records of 10": (1, lambda: deque(agent.iter_records(limit=10), 0)),
        "short: get_all of 10": (1, lambda: agent.get_all(limit=10)),
        "short: list_keys of 10": (1, lambda: agent.list_keys(limit=10)),
        "short: last entry of a log": (1, log.last),
        "short: last 20 entries": (1, lambda: log.read(limit=20, reverse=True)),
        "short: first 20 entries": (1, lambda: log.read(limit=20)),
        "short: no entry that is new": (1, lambda: log.read(after=100)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it takes altogether")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="only calls with one in their name")
    options = parser.parse_args()
    print_environment()
    versions = {"this": Version(HERE), "other": Version(options.other.resolve())}
    shown = table("microseconds of processor time", "", "other", "this", "other / this", "quartiles")
    with work_directory() as directory:
        stores, blocks = [], dict[str, dict[str, Block]]()
        for name, version in versions.items():
            with version.current():
                store = version.datastore.connect(
                    f"sqlite:///{directory}/{name}.db", flush_interval=600, max_pending=10_000_000
                )
                stores.append((version, store))
                blocks[name] = blocks_of(store)
        chosen = [call for call in blocks["this"] if any(word in call for word in options.only)]
        taken = {(call, name): list[float]() for call in chosen for name in versions}
        gc.collect()
        gc.freeze()
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end:
            for call in chosen:
                for name, version in versions.items():
                    count, block = blocks[name][call]
                    with version.current():
                        taken[call, name].append(1e6 * _least(block) / count)
        for call in chosen:
            ours, theirs = taken[call, "this"], taken[call, "other"]
            each = [other / this for this, other in zip(ours, theirs, strict=True)]
            low, _, high = statistics.quantiles(each, n=4, method="inclusive")
            ratio = f"{min(theirs) / min(ours):.2f}"
            shown.add_row(call, f"{min(theirs):.2f}", f"{min(ours):.2f}", ratio, f"{low:.2f}-{high:.2f}")
        for version, store in stores:
            with version.current():
                store.close()
    console.print(shown)


def _least(block: Callable[[], object]) -> float:
    """Return the least time of some turns, the first of which makes the processor's caches warm."""
    least = inf
    for _ in range(8):
        began = time.thread_time()
        block()
        least = min(least, time.thread_time() - began)
    return least


if __name__ == "__main__":
    main()
