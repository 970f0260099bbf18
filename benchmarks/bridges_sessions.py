"""What the session of the OpenAI Agents SDK costs over a SQLite file, against the SDK's own `SQLiteSession`.

    python benchmarks/bridges_sessions.py [--items 1000] [--rounds 3]

A conversation of many items of 300 bytes, added one at a time, as a run of an agent does. Each has its turn in each
round, at the same durability: the SDK's own takes what SQLite does if nobody says otherwise, ``full``. The ratios are
those of the medians.

It needs the SDK (``benchmarks/requirements.txt``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from agents.memory import SQLiteSession

import datastore
from datastore.bridges.openai_sessions import DataStoreSession

Times = dict[str, float]


async def play(session: Any, items: int) -> Times:
    """Use a session, and return milliseconds per call."""
    times: Times = {}

    async def measure(name: str, number: int, call: Callable[[int], Awaitable[Any]]) -> None:
        began, processor = time.perf_counter(), time.process_time()
        for turn in range(number):
            await call(turn)
        times[name] = (time.perf_counter() - began) * 1_000 / number
        times[f"{name}, processor"] = (time.process_time() - processor) * 1_000 / number

    await measure("add_items of 1", items, lambda turn: session.add_items([item(turn)]))
    await measure("get_items(20)", 100, lambda turn: session.get_items(20))
    await measure("get_items()", 10, lambda turn: session.get_items())
    await measure("pop_item", 50, lambda turn: session.pop_item())
    await measure("add_items of 50", 20, lambda turn: session.add_items([item(turn)] * 50))
    await measure("get_items(20) of these", 100, lambda turn: session.get_items(20))
    assert len(await session.get_items()) == items - 50 + 20 * 50
    return times


def item(number: int) -> dict[str, str]:
    """Return an item of some 300 bytes."""
    return {"role": "user", "content": f"message {number} " + "word " * 50}


def ours(folder: Path, items: int) -> Times:
    """Measure the bridge."""
    with datastore.connect(f"sqlite:///{folder}/agents.db?synchronous=full") as store:
        return asyncio.run(play(DataStoreSession(store.agent("ann", "assistant"), "talk"), items))


def theirs(folder: Path, items: int) -> Times:
    """Measure the SDK's own."""
    session = SQLiteSession("talk", folder / "agents.db")
    try:
        return asyncio.run(play(session, items))
    finally:
        session.close()


def main() -> None:
    """Measure, and print what each call took."""
    parser = argparse.ArgumentParser(description="OpenAI's sessions on SQLite: the bridge against the SDK's own.")
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Times]] = {"bridge": [], "SQLiteSession": []}
    sizes: dict[str, list[float]] = {"bridge": [], "SQLiteSession": []}
    print(f"load {os.getloadavg()[0]:.1f}")
    for _ in range(options.rounds):
        for name, measured in (("bridge", ours), ("SQLiteSession", theirs)):
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(measured(Path(folder), options.items))
                sizes[name].append(sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6)
    print(f"{'':36}{'bridge':>10}{'SQLiteSession':>16}{'ratio':>8}")
    for call in found["bridge"][0]:
        mine, other = (median(times[call] for times in found[name]) for name in ("bridge", "SQLiteSession"))
        print(f"{call:36}{mine:>8.2f}ms{other:>14.2f}ms{mine / other:>8.2f}")
    mine, other = (median(sizes[name]) for name in ("bridge", "SQLiteSession"))
    print(f"{'on the disk':36}{mine:>8.2f}MB{other:>14.2f}MB{mine / other:>8.2f}")


if __name__ == "__main__":
    main()
