"""What a listing of few records costs on SQLite, beside a `get`: what a call takes whatever it returns.

    python benchmarks/short_listings.py [--seconds 30] [--against PATH]

Sessions, checkpoints and logs read little at a time, so they pay this in each step. Everything takes turns in one
process, in small blocks of which the least counts, so that what else runs on the machine hardly shows. *By hand* is
the statement of the call with its columns, carried out on a bare connection, and its values decoded with ``orjson``.

With ``--against``, the folder of another version of this package, both take turns, each in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
from measuring import console, least_of_blocks, print_environment, sample_value, table, work_directory

import datastore
from datastore.backend import Fields
from datastore_sqlite.statements import READ_ONE, SCAN, SCAN_BACK

CALLS = 20
"""So many calls are a block."""
ROUNDS = 4
"""How many turns each version has, with ``--against``."""
RECORDS = 400
PREFIX, END = "user:notes:", "user:notes;"
EMPTY = ("user:empty:", "user:empty;")


def blocks_of(agent: datastore.AgentDataStore, bare: sqlite3.Connection) -> dict[str, Callable[[], object]]:
    """Return a call of each kind, and those by hand, which begin with *by hand*."""
    empty, log = agent.use_namespace("empty"), agent.log("talk")
    key = f"result-{RECORDS // 2:07}"
    id = bare.execute("SELECT _id FROM agent_data_store WHERE key = ?", (key,)).fetchone()[0]
    log_from = bare.execute("SELECT min(_id) FROM agent_data_store WHERE key LIKE 'talk:%'").fetchone()[0]
    log_to = log_from.rpartition(":")[0] + ";"

    def by_hand(statement: str, *parameters: object) -> list[object]:
        return [orjson.loads(row[4]) for row in bare.execute(statement, parameters)]

    whole, back = SCAN[Fields.ALL], SCAN_BACK[Fields.ALL]
    return {
        "get": lambda: agent.get(key),
        "get_record": lambda: agent.get_record(key),
        "get_records of 1": lambda: agent.get_records([key]),
        "first": agent.first,
        "last": agent.last,
        "scan of nothing": empty.scan,
        "scan(limit=1)": lambda: agent.scan(limit=1),
        "scan(limit=10)": lambda: agent.scan(limit=10),
        "iter_records(limit=10)": lambda: list(agent.iter_records(limit=10)),
        "get_all(limit=10)": lambda: agent.get_all(limit=10),
        "list_keys(limit=10)": lambda: agent.list_keys(limit=10),
        "log: last entry": lambda: log.read(limit=1, reverse=True),
        "log: last 20 entries": lambda: log.read(limit=20, reverse=True),
        "log: first 20 entries": lambda: log.read(limit=20),
        "log: nothing new": lambda: log.read(after=RECORDS),
        "by hand: get": lambda: orjson.loads(bare.execute(READ_ONE[Fields.VALUE], (id,)).fetchone()[3]),
        "by hand: last": lambda: by_hand(back, PREFIX, END, 1),
        "by hand: scan of nothing": lambda: by_hand(whole, *EMPTY, 10_000),
        "by hand: scan(limit=10)": lambda: by_hand(whole, PREFIX, END, 11),
        "by hand: log: last 20 entries": lambda: by_hand(back, log_from, log_to, 20),
    }


def measured(seconds: float) -> dict[str, float]:
    """Return the least microseconds of processor time of each call."""
    with work_directory() as directory:
        path = directory / "short.db"
        with datastore.connect(f"sqlite:///{path}", flush_interval=600, max_pending=10_000_000) as store:
            agent = store.agent("user", "agent", "notes")
            for number in range(RECORDS):
                agent.set(f"result-{number:07}", sample_value(number, 300))
                agent.log("talk").append(sample_value(number, 300))
            store.flush()
            bare = sqlite3.connect(path, isolation_level=None)

            def repeated(call: Callable[[], object]) -> Callable[[], None]:
                def block() -> None:
                    for _ in range(CALLS):
                        call()

                return block

            blocks = {name: repeated(call) for name, call in blocks_of(agent, bare).items()}
            taken = least_of_blocks(blocks, seconds, CALLS)
            bare.close()
    return {name: min(times) for name, times in taken.items()}


def in_a_process(folder: Path | None, seconds: float) -> dict[str, float]:
    """Measure a version in a process of its own: that in a folder, or this one."""
    environment = dict(os.environ)
    if folder is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(folder / "backends")])
    command = [sys.executable, __file__, "--seconds", str(seconds), "--json"]
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(found.stdout))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it takes altogether")
    parser.add_argument("--against", type=Path, help="the folder of another version, to compare with")
    parser.add_argument("--json", action="store_true", help="print what was measured and nothing else")
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measured(options.seconds)))
        return
    print_environment()
    folders = [None] if options.against is None else [options.against, None]
    turns = [in_a_process(folder, options.seconds / ROUNDS / len(folders)) for _ in range(ROUNDS) for folder in folders]
    versions = [turns[place :: len(folders)] for place in range(len(folders))]
    names = ["takes"] if options.against is None else ["the other takes", "this takes"]
    shown = table("Least microseconds of processor time", "", *names, "by hand")
    for name in turns[0]:
        if not name.startswith("by hand"):
            least = [f"{min(one[name] for one in version):.1f}" for version in versions]
            by_hand = [one[f"by hand: {name}"] for one in turns if f"by hand: {name}" in one]
            shown.add_row(name, *least, f"{min(by_hand):.1f}" if by_hand else "")
    console.print(shown)


if __name__ == "__main__":
    main()
