"""How long ``import datastore`` and the first calls take, and whether they import what they do not need.

Run it with ``python benchmarks/import_time.py`` (``--help`` lists the options).

Each measurement is a fresh interpreter. It measures the import within the interpreter, and the whole process compared
with one that imports nothing. Then it opens a new SQLite file, and sets and gets the first record: what an import saves
must not be lost there. The time is also given as processor time, which other programs disturb less. The first
interpreters, which compile and fill the file cache, do not count. What they compile is kept, as it is where a package
is installed, even if ``PYTHONDONTWRITEBYTECODE`` is set: compiling takes longer than all the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import TypeAlias

from measuring import console, print_environment, table, verdict, work_directory

Step: TypeAlias = list[tuple[float, float]]

TARGET = 0.040
FORBIDDEN = (
    "aiosqlite", "boto3", "botocore", "couchdb", "couchdb3", "google", "grpc", "httpx", "pydantic", "pydantic_core",
    "requests", "rich", "sqlite3", "typer", "urllib3", "datastore_couchdb", "datastore_dynamodb",
    "datastore_firestore", "datastore_memory", "datastore_postgresql", "datastore_redis", "datastore_sqlite", "redis",
    "difflib", "hashlib", "logging", "random", "urllib",
    "asyncio", "concurrent", "email", "http", "socket", "ssl", "zipfile",
    "dataclasses", "inspect", "json", "orjson", "platform", "uuid",
)  # fmt: skip
"""What the core must not import: database clients, the libraries of the command line, the adapters, and modules of the
standard library that are slow to import and that few programs need."""
_CLIENTS = {
    "boto3",
    "botocore",
    "couchdb",
    "email",
    "google",
    "grpc",
    "httpx",
    "psycopg",
    "redis",
    "requests",
    "urllib3",
    "zipfile",
}
"""What opening a SQLite file must not import; two of them are signs of `importlib.metadata`."""
_WARM = 3

_IMPORT = """
import sys, time
before = set(sys.modules)
times = [(time.perf_counter(), time.process_time())]
def note():
    times.append((time.perf_counter(), time.process_time()))
import datastore
note()
modules = sorted(set(sys.modules) - before)
store = datastore.connect("sqlite:///" + sys.argv[1])
note()
agent = store.agent("user", "agent")
agent.set("key", 1)
note()
agent.get("key")
note()
import json
print(json.dumps([times, modules, sorted(set(sys.modules) - before)]))
"""
_STEPS = ("import datastore", "connect to a new SQLite file", "first set", "first get")


def run(code: str, *arguments: str) -> tuple[float, str]:
    """Run a fresh interpreter; return how many seconds the process took, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return time.perf_counter() - began, result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()

    steps, with_start, start_only = list[Step](), [], []
    modules, later = list[str](), list[str]()
    with work_directory() as directory:
        for number in range(_WARM + options.rounds):
            start = run("pass")[0]
            whole = run("import datastore")[0]
            moments, modules, later = json.loads(run(_IMPORT, str(directory / f"{number}.db"))[1])
            if number >= _WARM:
                steps.append([(end[0] - at[0], end[1] - at[1]) for at, end in pairwise(moments)])
                with_start.append(whole)
                start_only.append(start)
    found = sorted({name.partition(".")[0] for name in modules} & set(FORBIDDEN))
    found += sorted({name.partition(".")[0] for name in later} & _CLIENTS)

    print_environment()
    times = table("milliseconds (median of fresh interpreters)", "", "ms", "of processor time", "target", "")
    for place, name in enumerate(_STEPS):
        elapsed, used = (statistics.median(run[place][clock] for run in steps) for clock in (0, 1))
        target = (f"< {TARGET * 1e3:.0f}", verdict(elapsed < TARGET)) if place == 0 else ("", "")
        times.add_row(name, f"{elapsed * 1e3:.1f}", f"{used * 1e3:.1f}", *target)
    elapsed, used = (statistics.median(sum(step[clock] for step in run) for run in steps) for clock in (0, 1))
    times.add_row("together", f"{elapsed * 1e3:.1f}", f"{used * 1e3:.1f}", "", "")
    times.add_row("python -c 'import datastore'", f"{statistics.median(with_start) * 1e3:.1f}", "", "", "")
    times.add_row("python -c pass", f"{statistics.median(start_only) * 1e3:.1f}", "", "", "")
    console.print(times)
    console.print(f"{len(modules)} modules: {', '.join(modules)}", style="dim", highlight=False)
    if found:
        raise SystemExit(f"it also imported {', '.join(found)}")
    console.print(
        "the core imports no database client, no adapter, and nothing else that is slow to import; "
        "a store on SQLite imports no other database's client"
    )


if __name__ == "__main__":
    main()
