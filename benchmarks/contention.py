"""Many writers and readers of one key of one SQLite file: nothing may be lost or fail, and how fast is it?

Run it with ``python benchmarks/contention.py`` (``--help`` lists the options).

1. Two processes call `increment` 200 times each on one key. The sum must be 400.
2. Eight threads of one process share one hot key for 20 seconds: they get it, increment it, and set other keys, with
   accesses tracked. No call may fail. The counter must equal the number of increments, and after `flush()` the access
   count in the file must equal the number of calls of `get`.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import multiprocessing.synchronize
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import console, number, print_environment, sample_value, table, verdict, work_directory

import datastore
from datastore.backend import Outcome, Write
from datastore_sqlite import SqliteBackend
from datastore_sqlite.client import Settings

HOT = "hot"


class CountingBackend(SqliteBackend):
    """The SQLite backend; it counts the conditional writes whose revision was no longer current."""

    def __init__(self, path: Path) -> None:
        super().__init__(Settings(path))
        self.conflicts = 0
        self._counting = threading.Lock()

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = super().write(writes)
        late = sum(not outcome.done for outcome in outcomes)
        if late:
            with self._counting:
                self.conflicts += late
        return outcomes


def processes(path: Path, count: int, increments: int) -> bool:
    """Let processes increment one key, and report."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(count), context.SimpleQueue()
    workers = [context.Process(target=_increment, args=(path, increments, start, results)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a process failed; its traceback is above")
    timed: list[tuple[float, float, int]] = [results.get() for _ in workers]
    seconds = max(ended for _, ended, _ in timed) - min(began for began, _, _ in timed)
    conflicts = sum(more for _, _, more in timed)
    with datastore.connect(f"sqlite:///{path}") as store:
        counter = store.agent("user", "agent").get(HOT)
    rows = table(f"{count} processes x {increments} increments of one key", "", "measured", "must be", "")
    exact = bool(counter == count * increments)
    rows.add_row("the counter", str(counter), str(count * increments), verdict(exact))
    rows.add_row("seconds", f"{seconds:.2f}", "", "")
    rows.add_row("increments per second", number(count * increments / seconds), "", "")
    rows.add_row("conflicts", str(conflicts), "", "")
    rows.add_row("conflicts per second", number(conflicts / seconds), "", "")
    console.print(rows)
    return exact


def _increment(
    path: Path,
    times: int,
    start: multiprocessing.synchronize.Barrier,
    results: multiprocessing.SimpleQueue[tuple[float, float, int]],
) -> None:
    backend = CountingBackend(path)
    with datastore.DataStore(backend) as store:
        agent = store.agent("user", "agent")
        start.wait()
        began = time.time()
        for _ in range(times):
            agent.increment(HOT)
        results.put((began, time.time(), backend.conflicts))


class Thread(threading.Thread):
    """Makes random calls until it is told to stop, and counts them."""

    def __init__(self, number: int, agent: datastore.AgentDataStore, stop: threading.Event) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()
        self.longest: dict[str, float] = collections.defaultdict(float)
        self.failed: list[Exception] = []
        self._number = number
        self._agent = agent
        self._stopping = stop

    def run(self) -> None:
        chance = random.Random(self._number)
        while not self._stopping.is_set():
            call = chance.choices(("get", "increment", "set"), (8, 1, 1))[0]
            began = time.perf_counter()
            try:
                self._call(call, chance)
            except Exception as error:  # noqa: BLE001  # every kind of failure is counted
                self.failed.append(error)
            else:
                self.calls[call] += 1
            self.longest[call] = max(self.longest[call], time.perf_counter() - began)

    def _call(self, call: str, chance: random.Random) -> None:
        if call == "get":
            if self._agent.get(HOT) is None:
                raise AssertionError("a read did not find the record")
        elif call == "increment":
            self._agent.increment(HOT)
        else:
            neighbour = chance.randrange(100)
            self._agent.set(f"{HOT}-{neighbour}", sample_value(neighbour))


def threads(path: Path, count: int, seconds: float) -> bool:
    """Let threads share one hot key, and report."""
    backend = CountingBackend(path)
    with datastore.DataStore(backend) as store:
        agent = store.agent("user", "agent")
        agent.set(HOT, 0)
        stop = threading.Event()
        workers = [Thread(i, agent, stop) for i in range(count)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        time.sleep(seconds)
        stop.set()
        for worker in workers:
            worker.join()
        elapsed = time.perf_counter() - began
        store.flush()
        with datastore.connect(f"sqlite:///{path}") as other:  # sees only what is in the file, nothing pending
            record = other.agent("user", "agent").get_record(HOT)
    assert record is not None
    calls = sum((worker.calls for worker in workers), collections.Counter[str]())
    failed = [error for worker in workers for error in worker.failed]

    rows = table(f"{count} threads on one hot key for {elapsed:.0f} s", "", "measured", "must be", "")
    facts = [
        ("failed calls", len(failed), 0),
        ("the counter", record.value, calls["increment"]),
        ("the access count", record.access_count, calls["get"]),
    ]
    for fact, measured, wanted in facts:
        rows.add_row(fact, f"{measured:,}", f"{wanted:,}", verdict(measured == wanted))
    rows.add_row("calls per second", number(calls.total() / elapsed), "", "")
    for call, made in sorted(calls.items()):
        rows.add_row(f"  {call} per second", number(made / elapsed), "", "")
    rows.add_row("conflicts per second", number(backend.conflicts / elapsed), "", "")
    for call in sorted(calls):
        rows.add_row(f"longest {call}, ms", f"{max(worker.longest[call] for worker in workers) * 1e3:.0f}", "", "")
    console.print(rows)
    for error in failed[:5]:
        console.print(f"{type(error).__name__}: {error}", style="red")
    return all(measured == wanted for _, measured, wanted in facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--increments", type=int, default=200, help="of each process")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--directory", type=Path, help="where to put the files, instead of the temporary directory")
    options = parser.parse_args()

    print_environment()
    with work_directory(options.directory) as directory:
        exact = processes(directory / "processes.db", options.processes, options.increments)
        exact &= threads(directory / "threads.db", options.threads, options.seconds)
    raise SystemExit(0 if exact else "something was lost or failed")


if __name__ == "__main__":
    main()
