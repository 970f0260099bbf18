"""How long ``import datastore`` takes, and whether it imports a database client or anything else that is slow.

Run it with ``python benchmarks/import_time.py`` (``--help`` lists the options).

Each measurement is a fresh interpreter. It measures the import within the interpreter, and the whole process compared
with one that imports nothing. The first interpreters, which compile and fill the file cache, do not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from measuring import console, print_environment, table, verdict

TARGET = 0.100
FORBIDDEN = (
    "aiosqlite", "boto3", "botocore", "couchdb", "couchdb3", "google", "grpc", "httpx", "pydantic", "pydantic_core",
    "requests", "rich", "sqlite3", "typer", "urllib3", "datastore_couchdb", "datastore_dynamodb",
    "datastore_firestore", "datastore_memory", "datastore_sqlite",
)  # fmt: skip
"""What the core must not import: database clients, the libraries of the command line, and the adapters."""
_WARM = 3

_IMPORT = """
import sys, time
before = set(sys.modules)
began = time.perf_counter()
import datastore
seconds = time.perf_counter() - began
import json
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def run(code: str) -> tuple[float, str]:
    """Run a fresh interpreter; return how many seconds the process took, and what it printed."""
    began = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()

    inside, with_start, start_only = [], [], []
    modules: list[str] = []
    for number in range(_WARM + options.rounds):
        start = run("pass")[0]
        whole = run("import datastore")[0]
        seconds, modules = json.loads(run(_IMPORT)[1])
        if number >= _WARM:
            inside.append(seconds)
            with_start.append(whole)
            start_only.append(start)
    found = sorted({name.partition(".")[0] for name in modules} & set(FORBIDDEN))

    print_environment()
    median = statistics.median(inside)
    times = table("milliseconds (median of fresh interpreters)", "", "ms", "target", "")
    times.add_row("import datastore", f"{median * 1e3:.1f}", f"< {TARGET * 1e3:.0f}", verdict(median < TARGET))
    times.add_row("python -c 'import datastore'", f"{statistics.median(with_start) * 1e3:.1f}", "", "")
    times.add_row("python -c pass", f"{statistics.median(start_only) * 1e3:.1f}", "", "")
    console.print(times)
    console.print(f"{len(modules)} modules: {', '.join(modules)}", style="dim", highlight=False)
    if found:
        raise SystemExit(f"import datastore also imported {', '.join(found)}")
    console.print("it imports no database client, no adapter, and nothing else that is slow to import")


if __name__ == "__main__":
    main()
