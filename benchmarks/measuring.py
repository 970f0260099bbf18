"""What the benchmarks share: taking turns, medians, sample data and tables.

A machine is never idle. So contestants take short turns, one after another and round after round, and a ratio is the
median of the ratios within the rounds: a disturbance then affects both sides of a round.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

console = Console(width=None if sys.stdout.isatty() else 120)

Turn = Callable[[], int]
"""Does a small block of work and returns how many operations it was."""


class Rates:
    """Operations per second of several contestants, round by round."""

    def __init__(self, by_name: Mapping[str, Sequence[float]]) -> None:
        self._by_name = by_name

    def median(self, name: str) -> float:
        return statistics.median(self._by_name[name])

    def ratio(self, name: str, other: str) -> float:
        """Return how many times as fast as another contestant one is: the median over the rounds."""
        return statistics.median(self.each(name, other))

    def spread(self, name: str, other: str) -> tuple[float, float]:
        """Return the lower and upper quartile of the ratio over the rounds."""
        low, _, high = statistics.quantiles(self.each(name, other), n=4, method="inclusive")
        return low, high

    def each(self, name: str, other: str) -> list[float]:
        """Return the ratio in each round."""
        return [mine / theirs for mine, theirs in zip(self._by_name[name], self._by_name[other], strict=True)]


def take_turns(
    contestants: Mapping[str, Turn],
    *,
    rounds: int,
    seconds: float,
    settle: Mapping[str, Callable[[], object]] | None = None,
    time_settling: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    label: str = "",
) -> Rates:
    """Let each contestant work for about ``seconds`` in each round, after one turn to warm up that does not count.

    Each round begins with the next contestant.

    Args:
        contestants: The work of each, by name.
        rounds: How many rounds count.
        seconds: The length of a turn.
        settle: What a contestant does at the end of each of its turns, such as writing what it has deferred, so that
            it does not happen in the turn of another one.
        time_settling: Whether that is part of its time.
        clock: The clock that measures the turns; `add_clock` offers the choice.
        label: The label of the progress bar.
    """
    names = list(contestants)
    rates: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # the garbage collector must not examine the benchmark's own data in the contestants' turns
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(label, total=(rounds + 1) * len(names))
        for number in range(rounds + 1):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                after = (settle or {}).get(name, _nothing)
                rate = _turn(contestants[name], seconds, after if time_settling else _nothing, clock)
                if not time_settling:
                    after()
                if number:
                    rates[name].append(rate)
                progress.advance(task)
    gc.unfreeze()
    return Rates(rates)


def _nothing() -> None:
    pass


def _turn(work: Turn, seconds: float, settle: Callable[[], object], clock: Callable[[], float]) -> float:
    gc.collect()
    operations = 0
    began = clock()
    end = time.perf_counter() + seconds  # whichever clock counts: a slow server takes hardly any processor time of ours
    while time.perf_counter() < end:
        operations += work()
    settle()
    return operations / (clock() - began)


def least_of_blocks(blocks: Mapping[str, Callable[[], object]], seconds: float, calls: int) -> dict[str, list[float]]:
    """Return the microseconds of processor time of a call, turn by turn: the least of five blocks in each.

    What else runs on the machine takes a block longer and never shorter, so the least of many is what the call takes.

    Args:
        blocks: The work, by name; they take turns.
        seconds: How long it takes altogether.
        calls: How many calls a block is.
    """
    taken: dict[str, list[float]] = {name: [] for name in blocks}
    gc.collect()
    gc.freeze()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, block in blocks.items():
            least = inf
            for _ in range(5):
                began = time.thread_time()
                block()
                least = min(least, time.thread_time() - began)
            taken[name].append(1e6 * least / calls)
    gc.unfreeze()
    return taken


def add_clock(parser: argparse.ArgumentParser) -> None:
    """Add the option for the clock to use."""
    parser.add_argument(
        "--processor-time",
        dest="clock",
        action="store_const",
        const=time.process_time,
        default=time.perf_counter,
        help="count processor time, of all threads, instead of elapsed time: steadier on a machine that is busy with "
        "other things, but it does not count waiting for the disk",
    )


def sample_value(number: int, size: int = 500) -> dict[str, Any]:
    """Return an agent-like JSON object of about ``size`` bytes; the same for the same number."""
    chance = random.Random(number)
    value: dict[str, Any] = {
        "number": number,
        "title": f"Result {number} of the nightly search",
        "score": chance.random(),
        "done": chance.random() < 0.5,
        "parent": None,
        "tags": [chance.choice(["draft", "review", "urgent", "later"]) for _ in range(3)],
        "usage": {"input": chance.randrange(10_000), "output": chance.randrange(10_000), "cached": False},
    }
    missing = size - len(json.dumps(value, separators=(",", ":"))) - len(',"text":""')
    words = "the agent has read the page and keeps the part that answers the question "
    value["text"] = (words * (missing // len(words) + 1))[: max(missing, 0)]
    return value


def sqlite_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a store's file, and those of the connections to it, for code written by hand."""
    from datastore_sqlite.client import Settings, open_connection

    names = ["page_size", "auto_vacuum", "journal_mode", "synchronous", "cache_size", "mmap_size", "wal_autocheckpoint"]
    connection = open_connection(Settings(path))
    try:
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    finally:
        connection.close()


@contextmanager
def work_directory(place: Path | None = None) -> Iterator[Path]:
    """Create a directory for database files, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=place) as name:
        yield Path(name)


def table(title: str, *columns: str) -> Table:
    """Return an empty table whose first column holds text and whose others hold numbers."""
    result = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        result.add_column(column, justify="right" if index else "left", no_wrap=not index)
    return result


def number(value: float) -> str:
    """Return a rate or a count with three significant digits, and separators."""
    if value >= 1_000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def verdict(met: bool) -> str:
    """Return the text in a table that says whether a target was met."""
    return "[green]met[/green]" if met else "[red]missed[/red]"


def print_environment(*packages: str) -> None:
    """Print what a result depends on: kind of machine, date, versions, and the load of the machine."""
    versions = [f"{package} {version(package)}" for package in ("agent-datastore", *packages)]
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d}; {_processor()}, {os.cpu_count()} cores, {_memory()}; {platform.system()} "
        f"{platform.machine()}; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        + ", ".join(versions)
        + f"; load {os.getloadavg()[0]:.1f}",
        highlight=False,
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"
    except (AttributeError, OSError, ValueError):
        return "unknown memory"
