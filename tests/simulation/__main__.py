"""``python -m tests.simulation --backend token --seconds 60 --seed N``, and ``--backend all --hunt FOLDER``."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

from tests.simulation.hunting import counts, hunt
from tests.simulation.playing import BACKENDS, collect_seldom, draw, play, shrunk
from tests.simulation.written import FOUND, write_test


def main(arguments: list[str] | None = None) -> int:
    """Play runs from a seed on, and print the story of the first that goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--backend", choices=(*BACKENDS, "all"), default="token", help="which model of a database")
    parser.add_argument("--seed", type=int, default=0, help="the first run's seed; the others follow")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long to begin further runs")
    parser.add_argument("--runs", type=int, help="how many runs, instead of a time")
    parser.add_argument("--story", action="store_true", help="print the story of the first run, whatever comes of it")
    parser.add_argument(
        "--write-test",
        nargs="?",
        type=Path,
        const=FOUND,
        metavar="FOLDER",
        help="write the first run that goes wrong as a test; by default among those that always run",
    )
    parser.add_argument(
        "--hunt",
        type=Path,
        metavar="FOLDER",
        help="play on whatever goes wrong, without an end unless --runs says how many on each backend; go on where the "
        "record in the folder ends, and leave there what goes wrong. With --runs 0: say what was played",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many of them hunt")
    options = parser.parse_args(arguments)
    if options.hunt is not None:
        hunt(options.hunt, _backends(options.backend), options.seed, options.runs, options.processes)
        print("\n".join(counts(options.hunt)))
        return 0
    if options.backend == "all":
        parser.error("--backend all is for --hunt")
    database = BACKENDS[options.backend]
    collect_seldom()
    began, undecided = time.monotonic(), 0
    numbers = itertools.count(options.seed)
    for number in numbers if options.runs is None else itertools.islice(numbers, options.runs):
        if options.runs is None and time.monotonic() - began > options.seconds:
            break
        played = play(draw(str(number), database), database)
        if options.story:
            print(played.story())
            return bool(played.wrong)
        undecided += played.undecided
        if played.wrong:
            print(f"seed {number} goes wrong: {played.wrong[0]}\n")
            small = shrunk(played, database)
            print(small.story())
            if options.write_test:
                print(f"\nWritten: {write_test(small, options.backend, options.write_test)}")
            print(f"\nAgain: python -m tests.simulation --backend {options.backend} --runs 1 --seed {number}")
            return 1
    runs = number - options.seed + (options.runs is not None)
    seconds = time.monotonic() - began
    print(f"{runs} runs on {options.backend} from seed {options.seed}: all well; {runs / seconds:.0f} runs per second")
    if undecided:
        print(f"{undecided} of them had histories that take too long to judge")
    return 0


def _backends(name: str) -> list[str]:
    return list(BACKENDS) if name == "all" else [name]


if __name__ == "__main__":
    sys.exit(main())
