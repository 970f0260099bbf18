"""Steps of durable runs on SQLite: ours, LangGraph's savers and DBOS, in turns in one run.

    pip install langgraph-checkpoint-sqlite dbos
    python benchmarks/durable.py [rounds]

Two loads: a step with a small result, and a step of a run with 100 variables of 1 KB each, of which one changes.
LangGraph puts a checkpoint of all variables with each step, as its graphs do. DBOS keeps what a step returns: all
variables, for that is how its steps hand state on. What is not installed is left out, and the table says so.
LangGraph leaves SQLite's ``synchronous`` at full, which survives a loss of power; ours is normal unless the URL says
full, which is measured as well. There the disk decides, whose speed changes from one second to the next on a shared
machine. So the two are measured once more in short turns, and compared turn by turn.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import datastore

STEPS = 300
VARIABLES = 100
KILOBYTE = "x" * 1_000
TURN, TURNS = 25, 80


class Measured(NamedTuple):
    """How fast it was, and how much the database grew."""

    steps_per_second: float
    bytes_per_step: float


def initial(variables: int) -> dict[str, str]:
    """Return the variables of a run before its first step."""
    return {f"v{number}": KILOBYTE for number in range(variables)}


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def _measured(directory: Path, steps: Callable[[], None]) -> Measured:
    before, began = _size(directory), time.perf_counter()
    steps()
    took = time.perf_counter() - began
    return Measured(STEPS / took, (_size(directory) - before) / STEPS)


def ours(directory: Path, variables: int, synchronous: str = "normal") -> Measured:
    """Take steps of a run."""
    url = f"sqlite:///{directory}/a.db?synchronous={synchronous}"
    with datastore.connect(url, tracking="off") as store:
        run = store.agent("user", "agent").runs.start("run")
        run.state.update(initial(variables))
        run.step("first", str)

        def steps() -> None:
            for number in range(STEPS):
                if variables:
                    run.state[f"v{number % variables}"] = f"{number:06}" + KILOBYTE[6:]
                run.step("step", int, number)

        measured = _measured(directory, steps)
        run.release()
    return measured._replace(bytes_per_step=_settled(directory, measured))


def ours_awaited(directory: Path, variables: int) -> Measured:
    """Take steps of a run, awaited one after the other."""

    async def work() -> Measured:
        async with datastore.connect_async(f"sqlite:///{directory}/a.db", tracking="off") as store:
            run = await store.agent("user", "agent").runs.start("run")
            run.state.update(initial(variables))
            await run.step("first", str)
            before, began = _size(directory), time.perf_counter()
            for number in range(STEPS):
                if variables:
                    run.state[f"v{number % variables}"] = f"{number:06}" + KILOBYTE[6:]
                await run.step("step", int, number)
            took = time.perf_counter() - began
            await run.release()
        return Measured(STEPS / took, (_size(directory) - before) / STEPS)

    measured = asyncio.run(work())
    return measured._replace(bytes_per_step=_settled(directory, measured))


def _settled(directory: Path, measured: Measured) -> float:
    """Return the bytes for each step in the file alone, when the log has been written back and is gone."""
    return _size(directory) / STEPS if _size(directory) else measured.bytes_per_step


def _checkpoint(number: int, values: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    from langgraph.checkpoint.base import empty_checkpoint

    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = dict(values)
    checkpoint["channel_versions"] = dict.fromkeys(values, f"{number + 1:032}.0")
    return checkpoint, {"source": "loop", "step": number, "parents": {}}, checkpoint["channel_versions"]


def saver(directory: Path, variables: int) -> Measured:
    """Put checkpoints with LangGraph's `SqliteSaver`."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(str(directory / "a.db")) as store:
        store.setup()
        config: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}
        values: dict[str, Any] = initial(variables)

        def steps() -> None:
            nonlocal config
            for number in range(STEPS):
                values[f"v{number % (variables or 1)}"] = f"{number:06}" + KILOBYTE[6:] if variables else number
                checkpoint, metadata, versions = _checkpoint(number, values)
                config = store.put(config, checkpoint, metadata, versions)

        measured = _measured(directory, steps)
        store.conn.close()
    return measured._replace(bytes_per_step=_settled(directory, measured))


def saver_awaited(directory: Path, variables: int) -> Measured:
    """Put checkpoints with LangGraph's `AsyncSqliteSaver`."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async def work() -> Measured:
        async with AsyncSqliteSaver.from_conn_string(str(directory / "a.db")) as store:
            await store.setup()
            config: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}
            values: dict[str, Any] = initial(variables)
            before, began = _size(directory), time.perf_counter()
            for number in range(STEPS):
                values[f"v{number % (variables or 1)}"] = f"{number:06}" + KILOBYTE[6:] if variables else number
                checkpoint, metadata, versions = _checkpoint(number, values)
                config = await store.aput(config, checkpoint, metadata, versions)
            took = time.perf_counter() - began
        return Measured(STEPS / took, (_size(directory) - before) / STEPS)

    measured = asyncio.run(work())
    return measured._replace(bytes_per_step=_settled(directory, measured))


def dbos(directory: Path, variables: int) -> Measured:
    """Take steps of a DBOS workflow."""
    from dbos import DBOS

    DBOS.destroy(destroy_registry=True)
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{directory}/a.db", "log_level": "ERROR"})

    @DBOS.step()  # type: ignore[untyped-decorator]  # it need not be installed
    def step(number: int, values: dict[str, Any]) -> Any:
        if not variables:
            return number
        values[f"v{number % variables}"] = f"{number:06}" + KILOBYTE[6:]
        return values

    @DBOS.workflow()  # type: ignore[untyped-decorator]  # as above
    def workflow() -> float:
        values: dict[str, Any] = initial(variables)
        began = time.perf_counter()
        for number in range(STEPS):
            made = step(number, values)
            values = made if variables else values
        return time.perf_counter() - began

    DBOS.launch()
    try:
        took = workflow()
    finally:
        DBOS.destroy(destroy_registry=True)
    return Measured(STEPS / took, _size(directory) / STEPS)


def full_in_turns(rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds per step of each turn, ours with ``synchronous=full`` and `SqliteSaver`'s."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    taken: tuple[list[float], list[float]] = ([], [])
    with (
        tempfile.TemporaryDirectory() as directory,
        datastore.connect(f"sqlite:///{directory}/a.db?synchronous=full", tracking="off") as store,
        SqliteSaver.from_conn_string(f"{directory}/b.db") as saver,
        store.agent("user", "agent").runs.start("run") as run,
    ):
        saver.setup()
        config: Any = {"configurable": {"thread_id": "run", "checkpoint_ns": ""}}
        for turn in range(rounds):
            began = time.perf_counter()
            for number in range(TURN):
                run.step("step", int, number)
            between = time.perf_counter()
            for number in range(TURN):
                checkpoint, metadata, versions = _checkpoint(turn * TURN + number, {"v0": number})
                config = saver.put(config, checkpoint, metadata, versions)
            taken[0].append((between - began) / TURN)
            taken[1].append((time.perf_counter() - between) / TURN)
    return taken


WAYS: dict[str, tuple[str | None, Callable[[Path, int], Measured]]] = {
    "ours": (None, ours),
    "ours, synchronous=full": (None, partial(ours, synchronous="full")),
    "ours, awaited": (None, ours_awaited),
    "LangGraph SqliteSaver.put": ("langgraph.checkpoint.sqlite", saver),
    "LangGraph AsyncSqliteSaver.aput": ("langgraph.checkpoint.sqlite", saver_awaited),
    "DBOS": ("dbos", dbos),
}
"""Each way with the module that it needs."""


def is_there(module: str | None) -> bool:
    """Return whether a module is installed."""
    try:
        return module is None or find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main(rounds: int) -> None:
    """Measure all ways in turns, and print the medians."""
    print(f"{STEPS} steps, medians of {rounds} rounds, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    for title, variables in (("a small result", 0), (f"{VARIABLES} KB of state, 1 KB changes", VARIABLES)):
        found: dict[str, list[Measured]] = {name: [] for name, (module, _) in WAYS.items() if is_there(module)}
        for _ in range(rounds):
            for name in found:
                with tempfile.TemporaryDirectory() as directory:
                    found[name].append(WAYS[name][1](Path(directory), variables))
        print(f"\n{title:<36}{'steps/s':>10}{'bytes/step':>12}")
        for name in WAYS:
            if name not in found:
                print(f"{name:<36}{'not installed':>22}")
                continue
            speed = median(one.steps_per_second for one in found[name])
            size = median(one.bytes_per_step for one in found[name])
            print(f"{name:<36}{speed:>10,.0f}{size:>12,.0f}")
    if is_there("langgraph.checkpoint.sqlite"):
        ours_, theirs = full_in_turns(TURNS)
        print(f"\nsynchronous=full, {TURNS} turns of {TURN} steps: steps/s of all together, and per turn theirs / ours")
        low, middle, high = quantiles([b / a for a, b in zip(ours_, theirs, strict=True)], n=4)
        print(f"{TURNS / sum(ours_):,.0f} and {TURNS / sum(theirs):,.0f}; {middle:.2f} ({low:.2f}-{high:.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
