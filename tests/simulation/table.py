"""``python -m tests.simulation.table``: the faults' table anew, in `test_faults.py` and in the guide.

Each change of what is drawn makes other runs of the seeds. For each fault this plays them from 0 on, until one finds
it and is made small enough, which takes some minutes of processor time for all of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
from pathlib import Path

from tests.simulation import test_faults
from tests.simulation.playing import BACKENDS, collect_seldom, draw, play, shrunk
from tests.simulation.test_faults import FAULTY, FINDS, GUIDE, MOST_RUNS, MOST_STEPS, Find, row

_HEAD = "| backend | fault | seed | steps |\n|---|---|---|---|\n"
Fault = tuple[str, str]


def found(fault: Fault) -> tuple[Fault, Find | None]:
    """Return how a fault is found; ``None`` if it is not, in as many runs as it may take."""
    collect_seldom()
    sound, database = BACKENDS[fault[0]], FAULTY[fault]
    for seed in range(MOST_RUNS):
        played = play(plan := draw(str(seed), database), database)
        if played.wrong and not play(plan, sound).wrong and (steps := shrunk(played, database).steps) <= MOST_STEPS:
            return fault, FINDS[fault]._replace(seed=seed, steps=steps)
    return fault, None


def write(finds: dict[Fault, Find]) -> None:
    """Write the table to both places. What the table does not have yet needs its line in `test_faults.py` before."""
    tests = Path(test_faults.__file__)
    text = tests.read_text()
    for (backend, name), find in finds.items():
        place = rf'(\("{backend}", "{re.escape(name)}"\): Find\(\s*"[^\n]*",\s*)\d+, \d+'
        text, lines = re.subn(place, rf"\g<1>{find.seed}, {find.steps}", text)
        assert lines == 1, (backend, name)
    tests.write_text(text)
    before, _, rest = GUIDE.read_text().partition(_HEAD)
    after = rest.partition("\n\n")[2]
    rows = "\n".join(row(backend, finds.get((backend, name), find)) for (backend, name), find in FINDS.items())
    GUIDE.write_text(f"{before}{_HEAD}{rows}\n\n{after}")


def main() -> None:
    """Look for all faults, or for those of some backends."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.table")
    parser.add_argument("--backend", action="append", help="the faults on this one alone; may be repeated")
    parser.add_argument("--name", action="append", help="the faults of these names alone; may be repeated")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many of them look")
    options = parser.parse_args()
    asked = (options.backend, options.name)
    wanted = [one for one in FAULTY if all(some is None or it in some for it, some in zip(one, asked, strict=True))]
    finds = {}
    with multiprocessing.get_context("spawn").Pool(options.processes) as workers:
        for fault, find in workers.imap_unordered(found, wanted):
            print(row(fault[0], find) if find else f"{fault[1]} on {fault[0]} is not found", flush=True)
            finds[fault] = find or FINDS[fault]
    write(finds)


if __name__ == "__main__":
    main()
