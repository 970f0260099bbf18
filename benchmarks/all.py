"""All benchmarks whose ratios have a target, one after another: for a quiet machine and an hour.

    python benchmarks/all.py                     # everything; some of it starts test servers (see `tests/servers`)
    python benchmarks/all.py --list              # what there is, and how many minutes it takes
    python benchmarks/all.py --only find get     # what has one of these words in its name
    python benchmarks/all.py --only quiet        # what says something only on a machine that does nothing else

Each prints its ratios with medians and quartiles. The packages of ``requirements.txt`` must be there. At the end comes
how long each took, and whether it ran to its end; the exit code is 1 if one did not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from measuring import console, table

HERE = Path(__file__).parent


class Run(NamedTuple):
    """A benchmark to run."""

    name: str
    minutes: float
    """About how long it takes."""
    command: str
    """The script and its options."""


RUNS = (
    Run("sqlite: get against peers", 2.6, "sqlite_against_peers.py --calls get 'get, tracking off'"),
    Run("sqlite: get by part, and diskcache's (quiet)", 0.5, "get_by_part.py"),
    Run("sqlite: set, set_many against peers", 2.6, "sqlite_against_peers.py --calls set set_many"),
    Run("sqlite: get_many against peers", 2.6, "sqlite_against_peers.py --calls get_many 'get_many, tracking off'"),
    Run("sqlite: find by a declared index (quiet)", 1.2, "sqlite_queries.py --part index --seconds 0.15"),
    Run("sqlite: find by part (quiet)", 1, "find_by_part.py --seconds 15"),
    Run("sqlite: find, pushed down or not", 1.5, "sqlite_queries.py --part pushed"),
    Run("sqlite: listings (quiet)", 1.5, "listings.py --rounds 9"),
    Run("sqlite: listings by part (quiet)", 1, "listings_by_part.py --records 10000"),
    Run(
        "sqlite: growth to 1,000,000 records (quiet)",
        3,
        "sqlite_scale.py --rounds 7 --calls get 'get, tracking off' set",
    ),
    Run("sqlite: one user among 1,000,000", 3, "many_users.py --rounds 7"),
    Run("sqlite: 32 threads (quiet)", 1.5, "throughput.py sqlite"),
    Run("sqlite: 32 threads, order of writers", 1, "write_turns.py"),
    Run("sqlite: copy, export, import (quiet)", 2, "moving.py --rounds 5"),
    Run("sqlite: awaited reads", 1.5, "async_calls.py --no-server"),
    Run("sqlite: ordered logs", 1, "durable.py"),
    Run("import of the package (quiet)", 0.5, "import_time.py"),
    Run("couchdb: calls (quiet)", 3, "couchdb_against_http.py --rounds 5"),
    Run("couchdb: 32 threads (quiet)", 1.5, "throughput.py couchdb --rounds 3"),
    Run("dynamodb: calls, not counted", 2, "dynamodb_against_boto3.py --uncounted --rounds 5"),
    Run("dynamodb: the client's side alone", 2, "dynamodb_against_boto3.py --uncounted --replay --rounds 5"),
    Run("dynamodb: the server's part (quiet)", 1, "dynamodb_against_boto3.py --uncounted --waiting"),
    Run("dynamodb: calls, counted", 2, "dynamodb_against_boto3.py --rounds 5"),
    Run("dynamodb: 32 threads (quiet)", 1.5, "throughput.py dynamodb --rounds 3"),
    Run("firestore: calls", 2, "firestore_against_client.py --rounds 5"),
    Run("firestore: 32 threads", 1.5, "throughput.py firestore --rounds 3"),
    Run("postgresql: calls, not counted", 1.5, "postgresql_against_client.py --uncounted --rounds 5"),
    Run("postgresql: calls, counted", 1.5, "postgresql_against_client.py --rounds 5"),
    Run("redis: calls, not counted", 1, "redis_against_client.py --uncounted --rounds 5"),
    Run("redis: calls, counted", 1, "redis_against_client.py --rounds 5"),
)


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print what there is, and run nothing")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="only what has one in its name")
    options = parser.parse_args()
    chosen = [run for run in RUNS if any(word in run.name for word in options.only)]
    rows = table("benchmarks", "", "minutes", "took", "", "command")
    failed = False
    for run in chosen:
        taken, outcome = "", ""
        if not options.list:
            console.rule(run.name)
            script, *given = shlex.split(run.command)
            began = time.perf_counter()
            code = subprocess.run([sys.executable, str(HERE / script), *given], check=False).returncode
            taken, outcome = f"{(time.perf_counter() - began) / 60:.1f}", "" if not code else f"failed ({code})"
            failed = failed or bool(code)
        rows.add_row(run.name, f"{run.minutes:g}", taken, outcome, run.command)
    console.print(rows)
    console.print(f"{sum(run.minutes for run in chosen):.0f} minutes; load {os.getloadavg()[0]:.1f}", highlight=False)
    sys.exit(failed)


if __name__ == "__main__":
    main()
