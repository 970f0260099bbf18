"""Which texts have the words of a question: in process (`datastore.memory.keywords`) against SQLite's FTS5.

    python benchmarks/words.py [--texts 10000 100000] [--rounds 7] [--seconds 0.5] [--processor-time]

Texts have 10 to 60 words, some of 50,000 as frequent as words are (Zipf). Both return the 50 best by BM25: of the words
in memory, and of a table of FTS5 in a file, which has been read before. Their orders differ, because FTS5 takes words
apart in its own way and gives frequent ones another weight; *same* is how many of the 50 are the same.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import measuring
import numpy as np

from datastore.memory.keywords import Index, weights, words_of

BEST, WORDS = 50, 50_000
QUESTIONS = {"two rare words": (9_000, 14_000), "three frequent words": (3, 8, 20), "both": (3, 8, 9_000)}


def in_process(index: Index, question: str) -> list[str]:
    """Return the keys of the best texts, by the words in memory."""
    return [hit.key for hit in islice(index.ranked(weights(question, [index]), None), BEST)]


def by_fts5(connection: sqlite3.Connection, question: str) -> list[str]:
    """Return the keys of the best texts, by FTS5."""
    rows = connection.execute(
        "SELECT key FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT ?", (" OR ".join(question.split()), BEST)
    )
    return [key for (key,) in rows]


def measure(number: int, folder: Path, options: argparse.Namespace) -> None:
    """Measure with a number of texts, and print."""
    chance = np.random.default_rng(number)
    shares = 1 / np.arange(1, WORDS + 1)
    drawn = iter(chance.choice(WORDS, 60 * number, p=shares / shares.sum()).tolist())
    lengths = chance.integers(10, 60, number, endpoint=True).tolist()
    texts = {
        f"k{place:07}": " ".join(f"w{one}" for one in islice(drawn, length)) for place, length in enumerate(lengths)
    }
    index, began = Index(), time.process_time()
    for key, text in texts.items():
        index._put(key, key, Counter(words_of(text)))
    filled = [time.process_time() - began]
    connection = sqlite3.connect(folder / f"{number}.db", isolation_level=None)
    began = time.process_time()
    connection.execute("CREATE VIRTUAL TABLE texts USING fts5(key UNINDEXED, text)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO texts VALUES (?, ?)", texts.items())
    connection.execute("COMMIT")
    filled.append(time.process_time() - began)
    questions = {name: " ".join(f"w{place}" for place in places) for name, places in QUESTIONS.items()}
    rates = measuring.take_turns(
        {f"{name}, {how}": work for name, question in questions.items() for how, work in (
            ("in process", lambda question=question: bool(in_process(index, question))),
            ("FTS5", lambda question=question: bool(by_fts5(connection, question))),
        )},
        rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=f"{number:,} texts",
    )  # fmt: skip
    result = measuring.table(f"{number:,} texts", "", "in process, ms", "FTS5, ms", "times FTS5", "quartiles", "same")
    for name, question in questions.items():
        ours, theirs = f"{name}, in process", f"{name}, FTS5"
        low, high = rates.spread(theirs, ours)
        result.add_row(
            name, f"{1e3 / rates.median(ours):.2f}", f"{1e3 / rates.median(theirs):.2f}",
            f"{rates.ratio(theirs, ours):.2f}", f"{low:.2f} to {high:.2f}",
            f"{len({*in_process(index, question)} & {*by_fts5(connection, question)})}",
        )  # fmt: skip
    measuring.console.print(result)
    measuring.console.print(
        f"words brought into memory in {filled[0]:.1f} s of processor time, FTS5's index written in {filled[1]:.1f} s; "
        f"load {os.getloadavg()[0]:.1f}",
        highlight=False,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="the length of a turn")
    measuring.add_clock(parser)
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as folder:
        for number in options.texts:
            measure(number, folder, options)


if __name__ == "__main__":
    main()
