"""Where the time of a call goes on SQLite: `get`, `set`, `find` by a declared index and `iter_records`, as text.

    python benchmarks/profiles.py --name after [--calls get set] [--directory benchmarks/profiles]

For each call it writes ``<call>_<name>.txt`` with two tables:

- *processor time per part*: what the call takes, and what the functions take that it is made of. First a call is made
  with these functions watched, then exactly what they were given is given to each of them again and again, unwatched.
  So no profiler is in these numbers. A part contains those that are indented below it, and each of them was measured
  on its own. The same code over and over is found in the processor's caches, so a call takes longer than the sum of
  its parts: `find` by a third, and more on a machine that is busy.
- what `cProfile` says, which shows everything that is called, and makes small functions look larger than they are.

Processor time is the least of many small blocks, so that what else runs on the machine hardly shows. To compare two
versions, run it with each of them on ``PYTHONPATH``; functions that one of them does not have are left out.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import gc
import importlib
import io
import pstats
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import measuring

import datastore
from datastore.late import Late

RECORDS = 2_000
STEP = 100  # from one record that is read, written or found to the next
STATEMENTS = "SQLite: the statements, and their rows"


class Part(NamedTuple):
    """A function that a call is made of."""

    depth: int
    function: str
    """``module:name`` or ``module:Class.name``, of another version after ``|``; or `STATEMENTS`.

    With ``& name`` at its end, a method that takes something is followed by the one that gives it back.
    """


class Call(NamedTuple):
    """A call to look at."""

    run: Callable[[], object]
    unit: str
    """What is counted: ``call``, or ``record``."""
    units: int
    """How many of them ``run`` is."""
    parts: Sequence[Part]


def _parts(text: str) -> list[Part]:
    """Return the parts in lines that are indented by their depth."""
    lines = [line for line in text.splitlines() if line.strip()]
    least = min(len(line) - len(line.lstrip()) for line in lines)
    return [Part((len(line) - len(line.lstrip()) - least) // 2, line.strip()) for line in lines]


GET = _parts(f"""
    datastore.ids:encode_key
    datastore.core:Core.read_one
      datastore_sqlite.backend:SqliteBackend.read
        datastore_sqlite.reading:Reader.read
          datastore_sqlite.pools:Pool.take | datastore_sqlite.connections:Pool.take & give_back
          {STATEMENTS}
          datastore.values:decode
    datastore.access:AccessTracker.note
""")
SET = _parts(f"""
    datastore.scope:Scope.moment
    datastore.scope:Scope.put
      datastore.ids:encode_key
      datastore.values:checked
      datastore.scope:new_revision
    datastore.core:Core.write_one
      datastore_sqlite.backend:SqliteBackend.write
        datastore_sqlite.writing:Writer.write
          datastore.turns:BargingTurns.take | datastore.turns:Turns.take & leave
          datastore_sqlite.pools:Pool.take | datastore_sqlite.connections:Pool.take & give_back
          datastore_sqlite.writing:_apply | datastore_sqlite.backend:_apply
            datastore_sqlite.codec:row_of | datastore_sqlite.backend:_row
            {STATEMENTS}
          datastore_sqlite.client:File.check | datastore_sqlite.connections:File.check
""")
FIND = _parts(f"""
    datastore.calls.planning:parse_query | datastore.queries.language:parse_query
    datastore_sqlite.backend:SqliteBackend.find_few
      datastore_sqlite.planning:known_plan
      datastore_sqlite.finding:read_few
        {STATEMENTS}
        datastore_sqlite.finding:_sure_documents | datastore_sqlite.damage:documents_of
          datastore.values:decode
    datastore_sqlite.backend:SqliteBackend.plan
      datastore_sqlite.planning:make_plan | datastore_sqlite.finding:make_plan
    datastore.calls.planning:PlannedQuery.choose_with_keys | datastore.finding:Search.choose
      datastore.core:Core.page | datastore.core:Core._page
        datastore_sqlite.backend:SqliteBackend.find
          datastore_sqlite.finding:read_page
    datastore.access:AccessTracker.note_all
""")
ITERATE = _parts(f"""
    datastore_sqlite.backend:SqliteBackend.scan
      {STATEMENTS}
      datastore_sqlite.damage:documents_of
    datastore.documents:checked
    datastore.documents:living
    datastore.documents:key_of
    datastore.record:to_records | datastore.record:to_record
""")


def calls(agent: datastore.AgentDataStore) -> dict[str, Call]:
    numbers = range(0, RECORDS, STEP)
    keys = [f"result-{number:07}" for number in numbers]
    values = [measuring.sample_value(number) for number in numbers]

    def get() -> None:
        for key in keys:
            agent.get(key)

    def set() -> None:
        for key, value in zip(keys, values, strict=True):
            agent.set(key, value)

    def find() -> None:
        for number in numbers:
            agent.find({"number": number})

    return {
        "get": Call(get, "call", len(keys), GET),
        "set": Call(set, "call", len(keys), SET),
        "find_by_index": Call(find, "call", len(keys), FIND),
        "iter_records": Call(lambda: sum(1 for _ in agent.iter_records()), "record", RECORDS, ITERATE),
    }


def least(work: Callable[[], object], seconds: float) -> float:
    """Return the least processor time of a block, in seconds."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


Given = list[tuple[tuple[Any, ...], dict[str, Any]]]
"""What a function was called with, call by call."""


def find_function(names: str) -> tuple[Any, str, Callable[..., Any]] | None:
    """Return what holds a function, its name there and the function; ``None`` if this version does not have it."""
    for name in names.split(" | "):
        module, _, path = name.partition(":")
        try:
            holder: Any = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        *outer, last = path.split(".")
        for one in outer:
            holder = getattr(holder, one, None)
        if (function := getattr(holder, last, None)) is not None:
            return holder, last, function
    return None


@contextmanager
def watched(names: str) -> Iterator[tuple[Given, Callable[..., Any]] | None]:
    """Note what a function is called with, wherever it is called from.

    Args:
        names: The names of the function, as in a `Part`.

    Yields:
        What it is called with, and the function; ``None`` if this version does not have it.
    """
    if names == STATEMENTS:
        names = "datastore_sqlite.client:Connection.execute | datastore_sqlite.connections:Connection.execute"
    found = find_function(names)
    if found is None:
        yield None
        return
    holder, last, function = found
    given: Given = []

    @functools.wraps(function)
    def watch(*arguments: Any, **options: Any) -> Any:
        given.append((arguments, options))
        return function(*arguments, **options)

    holders = [holder]
    if not isinstance(holder, type):  # modules that have imported it by its name
        modules = list(sys.modules.values())
        holders = [module for module in modules if getattr(module, last, None) is function]
        lates = {id(late): late for module in modules for late in vars(module).values() if type(late) is Late}
        holders += [late for late in lates.values() if vars(late).get(last) is function]
    inherited = isinstance(holder, type) and last not in vars(holder)
    for one in holders:
        setattr(one, last, watch)
    try:
        yield given, function
    finally:
        for one in holders:
            if inherited:
                delattr(one, last)
            else:
                setattr(one, last, function)


def repeater(part: Part, given: Given, function: Callable[..., Any]) -> Callable[[], None]:
    """Return a function that calls a part with all that it was given."""
    _, _, back = part.function.partition(" & ")

    def statements() -> None:
        for (connection, *arguments), _ in given:
            if connection.in_transaction and arguments[0].startswith("BEGIN"):
                connection.rollback()  # a method of its own, which was not watched
            connection.execute(*arguments).fetchall()
        if connection.in_transaction:
            connection.rollback()

    def give_back() -> None:
        for (holder, *arguments), options in given:
            taken = function(holder, *arguments, **options)
            if hasattr(holder, back):
                getattr(holder, back)(taken)
            else:
                getattr(taken, back)()

    def again() -> None:
        for arguments, options in given:
            function(*arguments, **options)

    return statements if part.function == STATEMENTS else give_back if back else again


def parts_table(call: Call, seconds: float) -> list[str]:
    """Return the lines of the table of processor time."""
    whole = least(call.run, seconds)
    rows = [(f"us a {call.unit}", f"calls a {call.unit}", "")]
    rows.append((f"{1e6 * whole / call.units:.2f}", "", "the whole"))
    for part in call.parts:
        with watched(part.function.partition(" & ")[0]) as watch:
            if watch is not None:
                call.run()
        if watch is None or not watch[0]:
            continue
        given, function = watch
        taken = least(repeater(part, given, function), seconds)
        nothing = least(repeater(Part(0, ""), given, lambda *_, **__: None), seconds / 4)
        name = part.function if part.function == STATEMENTS else _shown(part.function)
        rows.append(
            (
                f"{1e6 * max(taken - nothing, 0) / call.units:.2f}",
                f"{len(given) / call.units:.4g}",
                "  " * (part.depth + 1) + name,
            )
        )
    return [f"{time:>12} {number:>16}  {name}".rstrip() for time, number, name in rows]


def _shown(function: str) -> str:
    """Return the name of a part without its modules, which differ from version to version."""
    names, _, back = function.partition(" & ")
    name = names.partition(" | ")[0].partition(":")[2]
    return f"{name} and {back}" if back else name


def profiled(call: Call) -> list[str]:
    """Return what cProfile says of the call, as lines."""
    watch, text = cProfile.Profile(), io.StringIO()
    watch.runcall(call.run)
    pstats.Stats(watch, stream=text).strip_dirs().sort_stats("tottime").print_stats(30)
    return [line.rstrip() for line in text.getvalue().strip().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="after", help="what the files' names end with")
    parser.add_argument("--calls", nargs="+", choices=["get", "set", "find_by_index", "iter_records"])
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent / "profiles")
    parser.add_argument("--seconds", type=float, default=1.0, help="for how long each part is measured")
    parser.add_argument("--tracking", choices=["deferred", "off"], default="deferred")
    options = parser.parse_args()
    options.directory.mkdir(exist_ok=True)
    with measuring.work_directory() as directory:
        # No counts are written while anything is measured.
        quiet = {"flush_interval": 600, "max_pending": 1_000_000, "tracking": options.tracking}
        with datastore.connect(f"sqlite:///{directory}/profiles.db", **quiet) as store:
            agent = store.agent("user", "agent", "notes")
            agent.set_many({f"result-{number:07}": measuring.sample_value(number) for number in range(RECORDS)})
            store.ensure_index(["number"])
            todo = calls(agent)
            gc.collect()
            gc.freeze()  # the garbage collector must not examine the sample data while something is measured
            for name, call in todo.items():
                if options.calls and name not in options.calls:
                    continue
                call.run()
                lines = [f"{name}: processor time per part", "", *parts_table(call, options.seconds)]
                lines += ["", "cProfile", "", *profiled(call)]
                (options.directory / f"{name}_{options.name}.txt").write_text("\n".join(lines) + "\n")
                measuring.console.print("\n".join(lines[: lines.index("cProfile")]), highlight=False)


if __name__ == "__main__":
    main()
