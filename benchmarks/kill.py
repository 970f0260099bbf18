"""Whether a ``kill -9`` in the middle of writing leaves every acknowledged write, whole, in a file that opens.

Run it with ``python benchmarks/kill.py`` (``--help`` lists the options).

A child process writes without pause to one SQLite file: `set`, `set_many` of up to 20 records, and `increment`, with
values of 1 KB to 500 KB that carry a checksum. It announces each write on its standard output, and acknowledges it
there when the call has returned. The parent kills it at a random moment, opens the file, and compares. This is repeated
50 times on the same file.

A write that was announced but not acknowledged may be there or not, but never in part. For a `set_many`, the store
promises this for each record but not for the whole batch; the summary says how many batches were only partly stored.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import console, print_environment, table, verdict, work_directory
from rich.progress import Progress

import datastore

COUNTER = "counter"
_KEYS = 150
_SMALLEST, _LARGEST = 1_000, 500_000
_PER_BATCH = 20

Checksums = dict[str, Any]
"""By key: the checksum of its value, or the number under `COUNTER`."""


def make_value(chance: random.Random, size: int) -> dict[str, Any]:
    text = chance.randbytes(size // 2).hex()
    return {"text": text, "checksum": _checksum(text)}


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_value(value: Any) -> Any:
    """Return a value's checksum, or ``None`` if it does not match the value."""
    if isinstance(value, int):
        return value
    return value["checksum"] if _checksum(value["text"]) == value["checksum"] else None


# ------------------------------------------------------------------------------------------------------- the child


def write_until_killed(path: Path, seed: int) -> None:
    """Write, and report each write on standard output, until somebody ends the process."""
    chance = random.Random(seed)
    pool = [make_value(chance, int(_SMALLEST * (_LARGEST / _SMALLEST) ** (i / 49))) for i in range(50)]
    with datastore.connect(f"sqlite:///{path}") as store:
        agent = store.agent("user", "agent")
        _say({"ready": True})
        while True:
            call = chance.choices(("set", "set_many", "increment"), (4, 2, 4))[0]
            if call == "increment":
                _say({"call": call, "writes": {COUNTER: agent.get(COUNTER, 0) + 1}})
                agent.increment(COUNTER)
            else:
                number = 1 if call == "set" else chance.randint(2, _PER_BATCH)
                items = {f"key-{i}": _fresh(chance, pool) for i in chance.sample(range(_KEYS), number)}
                _say({"call": call, "writes": {key: value["checksum"] for key, value in items.items()}})
                if call == "set":
                    agent.set(*items.popitem())
                else:
                    agent.set_many(items)
            _say({"done": True})


def _fresh(chance: random.Random, pool: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a value that was never written before; only its beginning is newly drawn, because that is faster."""
    text = chance.randbytes(8).hex() + chance.choice(pool)["text"]
    return {"text": text, "checksum": _checksum(text)}


def _say(message: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


# ------------------------------------------------------------------------------------------------------ the parent


class Findings:
    """What has been acknowledged so far, and what was found in the file after each kill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acknowledged: Checksums = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.calls: collections.Counter[str] = collections.Counter()

    def follow(self, output: bytes) -> Checksums:
        """Read the messages of a killed child; return the writes that it had announced but not acknowledged."""
        announced: dict[str, Any] = {}
        for line in output.split(b"\n")[:-1]:  # after the last line end there is nothing, or part of a line
            message = json.loads(line)
            if "writes" in message:
                announced = message
            elif "done" in message:
                self.acknowledged.update(announced["writes"])
                self.calls[announced["call"]] += 1
                self.counts["acknowledged records"] += len(announced["writes"])
                announced = {}
        self.counts["killed during a call"] += bool(announced)
        in_flight: Checksums = announced.get("writes", {})
        return in_flight

    def compare(self, in_flight: Checksums) -> None:
        """Open the file as a user would, and compare its content with what was acknowledged."""
        self.counts["kills"] += 1
        try:
            with datastore.connect(f"sqlite:///{self.path}", tracking="off") as store:
                stored = {key: check_value(value) for key, value in store.agent("user", "agent").get_all().items()}
        except datastore.DataStoreError as error:
            console.print(f"the file does not open: {error}", style="red")
            self.counts["did not open"] += 1
            return
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            self.counts["integrity_check failed"] += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        self.counts["half a value"] += sum(checksum is None for checksum in stored.values())
        for key in stored.keys() | self.acknowledged.keys():
            allowed = [self.acknowledged.get(key), *([in_flight[key]] if key in in_flight else [])]
            self.counts["not what was acknowledged"] += stored.get(key) not in allowed
        arrived = sum(stored.get(key) == checksum for key, checksum in in_flight.items())
        self.counts["in flight, and there"] += bool(in_flight) and arrived == len(in_flight)
        self.counts["cut set_many"] += 0 < arrived < len(in_flight)
        self.acknowledged = stored


def run(path: Path, kills: int, longest: float) -> Findings:
    findings = Findings(path)
    chance = random.Random()
    with Progress(console=console, transient=True) as progress:
        for number in progress.track(range(kills), description="killing"):
            findings.compare(findings.follow(_kill_one(path, number, chance.uniform(0, longest))))
    return findings


def _kill_one(path: Path, number: int, after: float) -> bytes:
    """Start a child, kill it some seconds after it began to write, and return its output."""
    log = path.with_name("said")
    with log.open("wb") as output:
        command = [sys.executable, __file__, "--child", str(path), "--seed", str(number)]
        child = subprocess.Popen(command, stdout=output)
        try:
            while not log.stat().st_size:
                if child.poll() is not None:
                    raise SystemExit(f"the child ended by itself with {child.returncode}")
                time.sleep(0.005)
            time.sleep(after)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
    if child.returncode != -signal.SIGKILL:
        raise SystemExit(f"the child ended by itself with {child.returncode}")
    return log.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=0.6, help="the most seconds that a child may write")
    parser.add_argument("--directory", type=Path, help="where to put the file, instead of the temporary directory")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        write_until_killed(options.child, options.seed)
        return

    print_environment()
    with work_directory(options.directory) as directory:
        findings = run(directory / "killed.db", options.kills, options.longest)
    raise SystemExit(0 if report(findings) else "a kill left damage behind")


def report(findings: Findings) -> bool:
    counts = findings.counts
    damage = ("did not open", "integrity_check failed", "not what was acknowledged", "half a value")
    rows = table("kill -9 during writing", "", "counted", "must be", "")
    for name in ("kills", "killed during a call", "in flight, and there", "cut set_many", "acknowledged records"):
        rows.add_row(name, f"{counts[name]:,}", "", "")
    for call, made in findings.calls.items():
        rows.add_row(f"  acknowledged {call}", f"{made:,}", "", "")
    for name in damage:
        rows.add_row(name, f"{counts[name]:,}", "0", verdict(counts[name] == 0))
    console.print(rows)
    return not any(counts[name] for name in damage)


if __name__ == "__main__":
    main()
